"""Atomic writes, locks and checksums of files: a file is complete or absent, whatever happens while it is written."""

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

from deconv_ae.cleanup import cleanup_on_signal, delay_signals
from deconv_ae.errors import InputError, first_line

if TYPE_CHECKING:
    from filelock import BaseFileLock

PARTIAL = ".partial-"
"""The prefix of hidden files and directories that are being written. Nobody reads them."""

CHECKSUM = "sha256"
"""The field of a JSON file with the checksum of all other fields."""

LARGEST_RECORD = 10_000_000
LOCKS_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
"""Error numbers of network file systems without locks. There, two processes that write one directory go unnoticed."""


def flush_to_disk(path: Path) -> None:
    """Waits until a file's content, or a directory's list of names, is on the disk.

    Without this wait, a file that was written and renamed survives a kill of the process, but not a loss of power.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(file: Path, text: str) -> None:
    """Creates or replaces a text file atomically: writes a file beside it under a unique name, and renames that file.

    If the path is a link, the file that it leads to is replaced, and the link remains.
    """
    file = file.resolve()
    with delay_signals(), partial_path(file) as partial:
        partial.write_text(text, encoding="utf-8")
        flush_to_disk(partial)
        partial.replace(file)
        flush_to_disk(file.parent)


def partial_beside(path: Path) -> Path:
    """Returns a unique temporary name beside a file or directory, with the same suffix.

    >>> partial_beside(Path("pictures/figure.png")).suffix
    '.png'
    """
    return path.with_name(f"{PARTIAL}{secrets.token_hex(8)}-{path.name}")


def partials(path: Path) -> Iterator[Path]:
    """Finds the files and directories that `partial_beside(path)` named.

    If no other process is writing to `path` now, these are what killed processes left behind.
    """
    return path.parent.glob(f"{PARTIAL}{16 * '[0-9a-f]'}-{glob.escape(path.name)}")


def remove_partials(directory: Path) -> None:
    """Deletes all partial files and directories below a directory. No other process may be writing there."""
    for partial in list(directory.rglob(f"{PARTIAL}*")):
        remove(partial)


def remove(path: Path) -> None:
    """Deletes a file or a directory with all its files, as far as possible, if it exists.

    If the path is a link, only the link is deleted, not the file or directory that it leads to.
    """
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def partial_path(path: Path) -> Iterator[Path]:
    """A context with a temporary path. The caller writes a file or directory there, and renames it when it is complete.

    Whatever is left at the temporary path when the context ends is deleted, even if a signal ends the program.
    """
    partial = partial_beside(path)
    # The clean-up is registered before the caller makes the file, because a signal may come directly after that.
    with cleanup_on_signal(functools.partial(remove, partial)):
        try:
            yield partial
        finally:
            remove(partial)


@contextlib.contextmanager
def partial_directory(path: Path) -> Iterator[Path]:
    """A context with a temporary directory beside a path, for files that get their final place later.

    The directory is removed at the end, even if a signal ends the program.
    """
    with partial_path(path) as directory:
        directory.mkdir()
        yield directory


def flush_tree_to_disk(directory: Path) -> None:
    """Calls `flush_to_disk` for a directory and everything in it."""
    for path in (*directory.rglob("*"), directory):
        flush_to_disk(path)


@delay_signals()
def move_together(moves: Sequence[tuple[Path, Path]]) -> None:
    """Renames several files. If it is interrupted between two renames, it makes the remaining renames before it ends.

    Args:
        moves: pairs of a file's path and its new path.

    Raises:
        OSError: if a new path is that of a directory, in which case no file is moved; or if a rename fails, in which
            case the files before that one have been moved.
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
    """Calls `move_together` for all files below `source`, and makes their directories below `target`."""
    files = sorted(file for file in source.rglob("*") if file.is_file())
    moves = [(file, target / file.relative_to(source)) for file in files]
    for _, new_path in moves:
        new_path.parent.mkdir(parents=True, exist_ok=True)
    move_together(moves)


@contextlib.contextmanager
def locked_directory(argument: str, directory: Path) -> Iterator[None]:
    """A context that locks a directory against other processes that use this function.

    Args:
        argument: the name of the argument or flag that gave the directory, for errors.
        directory: the directory to lock.

    Raises:
        InputError: if `lock_exclusively` raises it.
    """
    lock_file = directory.with_name(f".{directory.name}.lock")
    lock = lock_exclusively(argument, directory, lock_file)
    try:
        yield
    finally:
        # The file is deleted before the release, because after the release another process might have locked the file.
        lock_file.unlink(missing_ok=True)
        lock.release()


def lock_exclusively(argument: str, directory: Path, lock_file: Path) -> "BaseFileLock":
    """Locks a file, which is created if necessary. The lock's `release`, or the end of the process, unlocks the file.

    Args:
        argument: the name of the argument or flag that gave the directory, for errors.
        directory: the directory that the lock is for.
        lock_file: the file to lock.

    Returns:
        The lock. On a file system without locks, nothing is locked.

    Raises:
        InputError: if another process has locked the file, so that `directory` is in use; or if the file cannot be
            locked.
    """
    # This import is slow. A program that refuses a flag before it locks a file does without it.
    from filelock import FileLock, Timeout

    lock = FileLock(lock_file, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise InputError(
            f"{argument}: {directory} is in use by another run; wait for it to end, or give another directory"
        ) from error
    except OSError as error:
        if error.errno not in LOCKS_UNSUPPORTED:
            raise InputError(
                f"{argument}: {lock_file} cannot be locked: {first_line(error)}; remove it, or give another directory"
            ) from error
    return lock


def open_to_read(file: str | os.PathLike[str]) -> io.BufferedReader:
    """Opens a regular file and refuses anything else.

    A pipe would block until somebody writes to it, and a device may never end.

    Args:
        file: the file's path.

    Returns:
        The open file, in binary mode.

    Raises:
        OSError: if the path is not that of a regular file, or the file cannot be read.
    """
    if not stat.S_ISREG(os.stat(file).st_mode):  # noqa: PTH116
        raise OSError(errno.EINVAL, "it is not a file")
    return open(file, "rb")  # noqa: PTH123


def read_bytes(file: Path) -> bytes:
    """Reads a file. Raises the errors of `open_to_read`."""
    with open_to_read(file) as opened:
        return opened.read()


def sha256(content: bytes) -> str:
    """Returns the SHA-256 checksum in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def with_checksum(fields: dict[str, Any]) -> str:
    """Returns the text of a JSON object with these fields and their checksum."""
    return json.dumps(fields | {CHECKSUM: _checksum(fields)}, indent=2) + "\n"


def read_with_checksum(file: Path) -> dict[str, Any]:
    """Reads a JSON file whose text `with_checksum` made. Files of earlier versions have no checksum, and are read, too.

    Args:
        file: the file's path.

    Returns:
        The fields, without the checksum.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if the file is larger than LARGEST_RECORD, does not hold a JSON object, or its checksum differs.
    """
    with open_to_read(file) as opened:
        content = opened.read(LARGEST_RECORD + 1)
    if len(content) > LARGEST_RECORD:
        raise ValueError(f"larger than {LARGEST_RECORD} bytes")
    try:
        fields = json.loads(content.decode(), parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(fields, dict):
        raise ValueError("no JSON object")
    checksum = fields.pop(CHECKSUM, None)
    if checksum is not None and checksum != _checksum(fields):
        raise ValueError("its checksum differs: it was changed after it was written")
    return fields


def _checksum(fields: dict[str, Any]) -> str:
    return sha256(json.dumps(fields, sort_keys=True).encode())


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")
