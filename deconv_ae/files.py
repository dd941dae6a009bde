"""Files that are whole or not there, whatever happens while they are written, and whose they are."""

import contextlib
import errno
import functools
import glob
import hashlib
import io
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deconv_ae.cleanup import cleared_by, finished_first
from deconv_ae.errors import InputError, first_line

if TYPE_CHECKING:
    from filelock import BaseFileLock

PARTIAL = ".partial-"
"""How the names of all begin that is not whole yet. They are hidden, and nobody reads them."""

CHECKSUM = "sha256"
"""The field of a JSON file that holds the checksum of all others."""

LARGEST_RECORD = 10_000_000
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
"""What some network file systems answer; there, two processes that write one directory are not noticed."""


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
    partial = partial_beside(file)
    with finished_first():
        try:
            partial.write_text(text, encoding="utf-8")
            flush_to_disk(partial)
            partial.replace(file)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        flush_to_disk(file.parent)


def partial_beside(path: Path) -> Path:
    """A name beside a file or directory for what is to become it: no other process makes it, and it ends alike.

    >>> partial_beside(Path("pictures/figure.png")).suffix
    '.png'
    """
    return path.with_name(f"{PARTIAL}{secrets.token_hex(8)}-{path.name}")


def partials(path: Path) -> Iterator[Path]:
    """What lies under such names for a file or directory: as long as nobody else writes it, what was killed left."""
    return path.parent.glob(f"{PARTIAL}{16 * '[0-9a-f]'}-{glob.escape(path.name)}")


def remove_partials(directory: Path) -> None:
    """Deletes all below a directory that is not whole: what was killed left it, as long as nobody else writes there."""
    for partial in list(directory.rglob(f"{PARTIAL}*")):
        if partial.is_dir() and not partial.is_symlink():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def partial_directory(path: Path) -> Iterator[Path]:
    """A directory under such a name, for files that are moved to their place from it. It is gone in the end, also where
    the program is ended."""
    directory = partial_beside(path)
    clear = functools.partial(shutil.rmtree, directory, ignore_errors=True)
    with cleared_by(clear):
        try:
            directory.mkdir()
            yield directory
        finally:
            clear()


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
        lock.release()


def lock_exclusively(argument: str, directory: Path, lock_file: Path) -> "BaseFileLock":
    """A locked file, made where it does not exist; its `release` gives it up, and so does the process's end.

    Raises:
        InputError: that `directory` is in use, if another process has locked the file; or that it cannot be locked.
    """
    from filelock import FileLock, Timeout  # Which takes as long to load as a refusal may take.

    lock = FileLock(lock_file, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise InputError(
            f"{argument}: {directory} is in use by another run; wait for it to end, or give another directory"
        ) from error
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise InputError(
                f"{argument}: {lock_file} cannot be locked: {first_line(error)}; remove it, or give another directory"
            ) from error
    return lock


def open_to_read(file: str | os.PathLike[str]) -> io.BufferedReader:
    """Opens a file, and nothing else: of a pipe one would wait for ever for somebody to write, of a device for its end.

    Raises:
        OSError: if it is none, or cannot be read.
    """
    if not stat.S_ISREG(os.stat(file).st_mode):  # noqa: PTH116
        raise OSError(errno.EINVAL, "it is no file")
    return open(file, "rb")  # noqa: PTH123


def read_bytes(file: Path) -> bytes:
    """What is in a file. Raises as `open_to_read`."""
    with open_to_read(file) as opened:
        return opened.read()


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
    with open_to_read(file) as opened:
        text = opened.read(LARGEST_RECORD + 1)
    if len(text) > LARGEST_RECORD:
        raise ValueError(f"larger than {LARGEST_RECORD} bytes")
    try:
        fields = json.loads(text.decode(), parse_constant=_refuse_constant)
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
