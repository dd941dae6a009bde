"""Files that are whole or not there, whatever happens while they are written, and whose they are."""

import contextlib
import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deconv_ae.errors import InputError
from deconv_ae.unfinished import finished_first

try:
    import fcntl
except ImportError:  # Windows has none; there, two processes that write one directory are not noticed.
    fcntl = None  # type: ignore[assignment]

CHECKSUM = "sha256"
"""The field of a JSON file that holds the checksum of all others."""

LARGEST_RECORD = 10_000_000


def flush_to_disk(path: Path) -> None:
    """Waits until a file, or a directory's list of names, is on the disk: a rename alone outlives a
    kill of the process, but not a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_beside(file: Path, text: str) -> None:
    """Writes a text file under another name, which is nobody else's, and renames it, so that it is never seen
    half-written. A link is followed, and stays."""
    file = file.resolve()
    partial = unique_beside(file)
    with finished_first():
        try:
            partial.write_text(text, encoding="utf-8")
            flush_to_disk(partial)
            partial.replace(file)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        flush_to_disk(file.parent)


def unique_beside(path: Path) -> Path:
    """A hidden name beside a file or directory, that no other process makes: a fixed one two writers would share."""
    return path.with_name(f".partial-{secrets.token_hex(8)}")


def flush_tree_to_disk(directory: Path) -> None:
    """`flush_to_disk` for a directory and all that is in it."""
    for path in (*directory.rglob("*"), directory):
        flush_to_disk(path)


@finished_first()
def move_together(moves: Sequence[tuple[Path, Path]]) -> None:
    """Renames files, all of them, also where an interruption comes in between.

    Raises:
        OSError: before the first is moved, if a directory has the name of one.
    """
    for _, target in moves:
        if target.is_dir():
            raise IsADirectoryError(21, f"{target} is a directory")
    remaining = list(moves)
    try:
        while remaining:
            source, target = remaining[0]
            source.replace(target)
            del remaining[0]
    except OSError:
        raise
    except BaseException:
        for source, target in remaining:
            if source.exists():
                source.replace(target)
        raise


def move_tree_together(source: Path, target: Path) -> None:
    """`move_together` for all files below a directory; their directories are made."""
    found = sorted(file for file in source.rglob("*") if file.is_file())
    moves = [(file, target / file.relative_to(source)) for file in found]
    for _, moved in moves:
        moved.parent.mkdir(parents=True, exist_ok=True)
    move_together(moves)


@contextlib.contextmanager
def in_use(argument: str, directory: Path) -> Iterator[None]:
    """Keeps every other process out of a directory that asks in this way, until it is left or the process ends.

    Raises:
        InputError: if another process is in.
    """
    lock_file = directory.with_name(f".{directory.name}.lock")
    lock = lock_exclusively(argument, directory, lock_file)
    try:
        yield
    finally:
        # While the lock is held: whoever makes a file of this name anew locks another one.
        lock_file.unlink(missing_ok=True)
        os.close(lock)


def lock_exclusively(argument: str, directory: Path, lock_file: Path) -> int:
    """The descriptor of a locked file, which is made where it does not exist.

    Raises:
        InputError: that `directory` is in use, if another process has locked the file.
    """
    while True:
        descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise InputError(
                f"{argument}: {directory} is in use by another run; wait for it to end, or give another directory"
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):  # Some network file systems have none.
                os.close(descriptor)
                raise
        with contextlib.suppress(FileNotFoundError):
            # Another process may have deleted it since it was opened.
            if os.path.samestat(os.fstat(descriptor), lock_file.stat()):
                return descriptor
        os.close(descriptor)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def with_checksum(fields: dict[str, Any]) -> str:
    """A JSON object as text, with the checksum of its fields."""
    return json.dumps(fields | {CHECKSUM: _checksum(fields)}, indent=2) + "\n"


def read_with_checksum(file: Path) -> dict[str, Any]:
    """What `with_checksum` made; files of earlier versions have no checksum.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no JSON object, or not the one that was written.
    """
    if file.exists() and not file.is_file():  # Of a pipe, one would wait for ever for somebody to write.
        raise OSError(errno.EINVAL, "it is no file")
    if file.stat().st_size > LARGEST_RECORD:
        raise ValueError(f"larger than {LARGEST_RECORD} bytes")
    try:
        fields = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(fields, dict):
        raise ValueError("no JSON object")
    checksum = fields.pop(CHECKSUM, None)
    if checksum is not None and checksum != _checksum(fields):
        raise ValueError("it is not what was written, its checksum differs")
    return fields


def _checksum(fields: dict[str, Any]) -> str:
    return sha256(json.dumps(fields, sort_keys=True).encode())


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")
