"""Decodes a split once into a file of raw pixels, and maps that file from then on.

CACHE_DIR/mnist-0123456789abcdef-train.uint8   the pixels, as the array lies in memory
CACHE_DIR/mnist-0123456789abcdef-train.json    the record of the pixels, written last
CACHE_DIR/mnist-0123456789abcdef.lock          locked while a program prepares or checks one of the two splits

Mapped pages belong to the system, which shares them among processes and takes them back when it needs memory.
"""

import contextlib
import hashlib
import io
import json
import math
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import filelock
import numpy as np
import platformdirs

from deconv_ae import records
from deconv_ae.errors import InputError, RunError, first_line
from deconv_ae.files import flush_to_disk, open_to_read, partial_path, partials, remove, write_atomically
from deconv_ae.messages import tell
from deconv_ae.records import Between, Count, Length

VERSION = 2
"""The version of the files. Raise it if their format changes, or if decoding gives a picture other pixels."""
CACHE_VARIABLE = "DECONV_AE_CACHE_DIR"
ALWAYS_CHECKED_BYTES = 1 << 28
WAIT_SECONDS = 3600.0
Stamp = tuple[Annotated[int, Between(0, 2**63)], Annotated[int, Between(0, 2**63)], Annotated[int, Between(0, 2**63)]]
"""A file's size in bytes, the time of its last write, and the time of its last change of any kind, in nanoseconds."""


@dataclass(frozen=True)
class Record:
    """The record of a split's pixels, kept in a JSON file beside them.

    Attributes:
        version: the VERSION of the program that wrote the record.
        made_of: the `made_of` of the `Reading` that was decoded.
        shape: the array's shape.
        checksum: SHA-256 of the pixels.
        stamp: the size and times of the pixels' file.
        left_out: the `left_out` of that `Reading`.
    """

    version: Count
    made_of: Any
    shape: tuple[Length, Length, Length, Length]
    checksum: str
    stamp: Stamp
    left_out: list[str]


@dataclass(frozen=True, eq=False)
class Decoded:
    """A split's `(N, height, width, channels)` uint8 images, and the SHA-256 of their pixels.

    `left_out` and `ignored_paths` are those of the `Reading` that was decoded.
    """

    images: np.ndarray
    checksum: str
    left_out: list[str] = field(default_factory=list)
    ignored_paths: list[str] = field(default_factory=list)


@dataclass
class Reading:
    """A split that has been opened and can be decoded.

    Attributes:
        made_of: values that JSON can hold and that identify the split's files. If the values change, the split is
            decoded again.
        count: the number of images, including those that are left out.
        batches: decodes the images, and yields them as `(n, height, width, channels)` uint8 arrays.
        left_out: a line for each file that was left out; complete after the last batch.
        ignored_paths: the paths of files and folders that are ignored.
        count_is_exact: False if the number of images is only known after the last batch.
    """

    made_of: Any
    count: int
    batches: Callable[[], Iterator[np.ndarray]]
    left_out: list[str] = field(default_factory=list)
    ignored_paths: list[str] = field(default_factory=list)
    count_is_exact: bool = True


def decode(read: Callable[[], Reading], reading: Reading) -> Generator[np.ndarray, None, None]:
    """Decodes a split, with a progress bar on a terminal.

    Args:
        read: opens the split again, to see whether its files have changed meanwhile.
        reading: the split.

    Yields:
        np.ndarray: the split's batches.

    Raises:
        InputError: if the split's files changed while they were decoded, or the number of images is not `reading.count`
            although `reading.count_is_exact`.
        TypeError: if the batches of `reading` are not uint8 images of one shape, as the cache's file requires.
    """
    # The import is not at the top of the file, because callers that only need the cache's directory need no Keras.
    import keras

    bar = keras.utils.Progbar(reading.count, unit_name="image") if sys.stdout.isatty() else None
    decoded_count, shape = 0, None
    for images in reading.batches():
        shape = shape or images.shape[1:]
        if images.dtype != np.uint8 or len(images.shape) != 4 or images.shape[1:] != shape:
            raise TypeError(f"a reader's batches must be uint8 (n, {shape}); one is {images.dtype} {images.shape}")
        decoded_count += len(images)
        if bar:
            bar.update(decoded_count, finalize=False)
        yield images
    if bar:
        bar.update(decoded_count, finalize=True)
    if read().made_of != reading.made_of:
        raise InputError("dataset: it changed while it was decoded; start again when it is complete")
    if reading.count_is_exact and decoded_count + len(reading.left_out) != reading.count:
        raise InputError(f"dataset: it holds {decoded_count:,} images but promises {reading.count:,}; prepare it again")


def decode_into_memory(read: Callable[[], Reading], check: Callable[[int], None]) -> Decoded:
    """Decodes a split into memory only.

    Args:
        read: opens the split.
        check: called after the first batch, with the number of bytes that the whole split takes if no image is left
            out; may raise an error.

    Returns:
        The split.
    """
    reading = read()
    batches: list[np.ndarray] = []
    for images in decode(read, reading):
        if not batches:
            check(reading.count * images[0].nbytes)
        batches.append(images)
    split_images = np.concatenate(batches)
    return Decoded(split_images, checksum(split_images), reading.left_out, reading.ignored_paths)


def checksum(images: np.ndarray) -> str:
    """SHA-256 of the pixels, in hexadecimal digits."""
    digest = hashlib.sha256()
    # An array that is not contiguous is copied in parts, because a copy of the whole would double its memory.
    for first in range(0, len(images), 1000):
        digest.update(np.ascontiguousarray(images[first : first + 1000]).data.cast("B"))
    return digest.hexdigest()


def default_cache_dir() -> Path:
    """The directory that the variable DECONV_AE_CACHE_DIR names, or else a folder in this user's cache directory."""
    configured = os.environ.get(CACHE_VARIABLE)
    folder = Path(configured) if configured else platformdirs.user_cache_path("deconv_ae", appauthor=False)
    if not configured and not folder.is_absolute():
        raise InputError("cache_dir: this user has no home directory; give a directory, or --cache_dir= for none")
    return folder


def map_split(folder: Path, file_name_prefix: str, split: str, read: Callable[[], Reading]) -> Decoded:
    """Maps a split from its file, after writing this file if necessary.

    Args:
        folder: the cache directory.
        file_name_prefix: the beginning of the files' names. It identifies the data set and how the images are read.
        split: "train" or "test".
        read: opens the split.

    Returns:
        The split.

    Raises:
        InputError: if the directory cannot be used, or `read` or `decode` raises an InputError.
        RunError: if a file cannot be written, another program holds the lock for an hour, or decoding fails with a
            RunError.
    """
    pixels_file, record_file = (folder / f"{file_name_prefix}-{split}.{suffix}" for suffix in ("uint8", "json"))
    with _locked(folder, f"{file_name_prefix}.lock") as is_locked:
        reading = read()
        record = _usable_record(pixels_file, record_file, reading.made_of)
        if record is None:
            if is_locked:
                for leftover in partials(pixels_file):  # Killed programs left these files.
                    remove(leftover)
            record = _write_pixels_and_record(pixels_file, record_file, read, reading)
        # In mode "c" (copy on write), no write to the array reaches the file. `as_tensor` would copy a read-only array.
        images = np.memmap(pixels_file, np.uint8, "c", shape=record.shape).view(np.ndarray)
    return Decoded(images, record.checksum, record.left_out, reading.ignored_paths)


@contextlib.contextmanager
def _locked(folder: Path, lock_name: str) -> Iterator[bool]:
    """Takes the lock after waiting for other programs, and yields whether the lock is held.

    The lock is not held if the file system has no locks, or the directory is read-only.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable_error(folder, error) from error
    lock = filelock.FileLock(folder / lock_name, thread_local=False)
    try:
        with contextlib.suppress(OSError):
            _wait_for(lock, folder / lock_name)
        yield lock.is_locked
    finally:
        lock.release()


def _wait_for(lock: filelock.BaseFileLock, file: Path) -> None:
    try:
        lock.acquire(blocking=False)
        return
    except filelock.Timeout:
        print(f"waiting for another program that prepares these images and holds {file}", flush=True)
    try:
        lock.acquire(timeout=WAIT_SECONDS)
    except filelock.Timeout as error:
        raise RunError(
            f"cache_dir: {file} was held by another program for {WAIT_SECONDS:g} s; end that program"
        ) from error


def _usable_record(pixels_file: Path, record_file: Path, made_of: Any) -> Record | None:
    """Returns the record, or None if the pixels are missing, damaged, of other files or of another VERSION."""
    try:
        record = records.read_file(Record, record_file)
        # JSON has turned the tuples in the record into lists, so `made_of` is converted through JSON, too.
        if record.version != VERSION or record.made_of != json.loads(json.dumps(made_of)):
            return None
        stamp = _stamp(pixels_file)
        if stamp[0] != math.prod(record.shape):
            raise ValueError(f"it has {stamp[0]:,} bytes instead of {math.prod(record.shape):,}")
        # Every change of a file changes its ctime, which cannot be set back. But a silent fault of the disk changes no
        # time. So files up to 256 MiB are hashed even if their times are the same; this takes a fifth of a second.
        is_to_be_hashed = stamp != record.stamp or stamp[0] <= ALWAYS_CHECKED_BYTES
        if is_to_be_hashed and _file_checksum(pixels_file) != record.checksum:
            raise ValueError("its checksum differs")
        if stamp != record.stamp:
            record = replace(record, stamp=stamp)
            with contextlib.suppress(OSError):
                write_atomically(record_file, records.as_text(record))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        tell(f"cache_dir: {pixels_file} cannot be used ({first_line(error)}); decoding again")
        return None
    return record


def _write_pixels_and_record(
    pixels_file: Path, record_file: Path, read: Callable[[], Reading], reading: Reading
) -> Record:
    print(f"decoding {reading.count:,} images once, into {pixels_file}", flush=True)
    with partial_path(pixels_file) as partial_file:
        try:
            record_file.unlink(missing_ok=True)
            pixels_file.unlink(missing_ok=True)
            file = partial_file.open("xb", buffering=0)
        except OSError as error:
            raise _unusable_error(pixels_file.parent, error) from error
        try:
            with file, contextlib.closing(decode(read, reading)) as batches:
                shape, digest = _write_pixels(file, batches)
            flush_to_disk(partial_file)
            partial_file.replace(pixels_file)
            record = Record(VERSION, reading.made_of, shape, digest, _stamp(pixels_file), list(reading.left_out))
            write_atomically(record_file, records.as_text(record))
        except OSError as error:
            raise RunError(f"cache_dir: {pixels_file} cannot be written: {first_line(error)}") from error
    return record


def _write_pixels(file: io.FileIO, batches: Iterable[np.ndarray]) -> tuple[tuple[int, int, int, int], str]:
    """Writes all batches, one after the other; returns the shape of the whole array, and its checksum."""
    digest, count, height, width, channels = hashlib.sha256(), 0, 0, 0, 0
    for images in batches:
        content = np.ascontiguousarray(images).data.cast("B")
        digest.update(content)
        while content:
            content = content[file.write(content) :]
        height, width, channels = images.shape[1:]
        count += len(images)
    return (count, height, width, channels), digest.hexdigest()


def _stamp(file: Path) -> Stamp:
    status = file.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _file_checksum(file: Path) -> str:
    with open_to_read(file) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _unusable_error(folder: Path, error: OSError) -> InputError:
    return InputError(
        f"cache_dir: {error.filename or folder} cannot be used: {first_line(error)}; "
        "give another directory, or --cache_dir= to decode into memory"
    )
