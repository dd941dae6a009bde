"""Splits decoded once, into files of nothing but pixels that are mapped ever after.

CACHE_DIR/mnist-0123456789-train.uint8   the pixels, as the array lies in memory
CACHE_DIR/mnist-0123456789-train.json    what they are and were made of; written last
CACHE_DIR/mnist-0123456789.lock          locked while a program prepares or checks one of the two splits

Mapped pages belong to the system, which shares them among processes and takes them back when it needs memory.
"""

import contextlib
import functools
import json
import math
import os
import secrets
import sys
import time
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deconv_ae.errors import InputError, RunError
from deconv_ae.files import flush_to_disk, read_with_checksum, with_checksum, write_beside
from deconv_ae.messages import tell
from deconv_ae.unfinished import cleared_by

try:
    import fcntl
except ImportError:  # Windows has none; there, two programs both decode, and the last to finish replaces the other's.
    fcntl = None  # type: ignore[assignment]

VERSION = 1
"""Of the files, and of what decoding makes of a picture: to be raised when either changes."""
CACHE_VARIABLE = "DECONV_AE_CACHE_DIR"
ALWAYS_CHECKED_BYTES = 1 << 28
WAIT_SECONDS = 3600.0


@dataclass
class Reading:
    """A split that a reader can decode.

    Attributes:
        made_of: what the pixels are made of, as JSON holds it: when this changes, they are decoded anew.
        count: of images, left out ones among them.
        batches: decodes them: `(n, height, width, channels)` uint8 arrays.
        left_out: what was left out, a line each; complete when all batches are read.
    """

    made_of: Any
    count: int
    batches: Callable[[], Iterator[np.ndarray]]
    left_out: list[str] = field(default_factory=list)


def decode(read: Callable[[], Reading], reading: Reading) -> Generator[np.ndarray, None, None]:
    """The batches of a reading, with a bar on a terminal.

    Raises:
        InputError: if there are none, or if what they are made of, which `read` looks at again, has changed meanwhile.
    """
    import keras  # Where a split is decoded only: who asks for the cache's place does without it.

    bar = keras.utils.Progbar(reading.count, unit_name="image") if sys.stdout.isatty() else None
    done = 0
    for images in reading.batches():
        done += len(images)
        if bar:
            bar.update(done, finalize=False)
        yield images
    if bar:
        bar.update(done, finalize=True)
    if read().made_of != reading.made_of:
        raise InputError("dataset: it changed while it was decoded; start again when it is complete")


def default_cache_dir() -> Path:
    """The environment's DECONV_AE_CACHE_DIR, or a folder in the user's cache directory by the platform's convention."""
    own = os.environ.get(CACHE_VARIABLE)
    if own:
        return Path(own)
    conventions = {"darwin": ("", "Library/Caches"), "win32": ("LOCALAPPDATA", "AppData/Local")}
    variable, below_home = conventions.get(sys.platform, ("XDG_CACHE_HOME", ".cache"))
    try:
        return Path(os.environ.get(variable) or Path.home() / below_home) / "deconv_ae"
    except RuntimeError as error:
        raise InputError("cache_dir: this user has no home directory; give one, or --cache_dir= for none") from error


def mapped(folder: Path, name: str, split: str, read: Callable[[], Reading]) -> tuple[np.ndarray, list[str]]:
    """A split's images and what was left out of it, mapped from a file that is written first if need be.

    Args:
        folder: the cache directory.
        name: a file's name that says the data set and all that decides how it is decoded.
        split: "train" or "test".
        read: opens the data set.

    Raises:
        InputError: if the directory cannot be used; whatever `read` and its batches raise.
        RunError: if the disk is full, or another program prepares the same for an hour.
    """
    pixels, record_file = folder / f"{name}-{split}.uint8", folder / f"{name}-{split}.json"
    with _alone(folder, f"{name}.lock") as alone:
        reading = read()
        record = _usable(pixels, record_file, reading.made_of)
        if record is None:
            if alone:
                _clear(folder.glob(f".partial-{pixels.name}-*"))  # Of programs that were killed.
            record = _write(pixels, record_file, read, reading)
        # Private and not read-only, which TensorFlow does not take: nothing that is written there reaches the file.
        images = np.memmap(pixels, np.uint8, "c", shape=tuple(record["shape"])).view(np.ndarray)
    return images, record["left_out"]


@contextlib.contextmanager
def _alone(folder: Path, lock_name: str) -> Iterator[bool]:
    """Waits for other programs; gives False where there are no locks, or the directory can only be read."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error
    lock: int | None = None
    try:
        if fcntl is not None:
            with contextlib.suppress(OSError):
                lock = os.open(folder / lock_name, os.O_RDWR | os.O_CREAT, 0o666)
                _wait_for(lock, folder / lock_name)
        yield lock is not None
    finally:
        if lock is not None:
            os.close(lock)


def _wait_for(lock: int, file: Path) -> None:
    started = time.monotonic()
    said = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not said:
                print(f"waiting for another program, which prepares these images under {file}", flush=True)
            said = True
        if time.monotonic() - started > WAIT_SECONDS:
            raise RunError(f"cache_dir: {file} was held by another program for {WAIT_SECONDS:g} s; end it first")
        time.sleep(0.05)


def _usable(pixels: Path, record_file: Path, made_of: Any) -> dict[str, Any] | None:
    """The record of pixels that were made of just this and are as they were written; None if there are none."""
    try:
        record = read_with_checksum(record_file)
        # Through JSON and back, so that tuples and lists compare equal.
        if record["version"] != VERSION or record["made_of"] != json.loads(json.dumps(made_of)):
            return None
        stamp = _stamp(pixels)
        if stamp[0] != math.prod(record["shape"]):
            raise ValueError(f"it has {stamp[0]:,} bytes instead of {math.prod(record['shape']):,}")
        # Whoever changes a file changes its times too, of which the last cannot be set back. What a disk loses
        # unnoticed is looked for where that takes a tenth of a second.
        if (stamp != record["stamp"] or stamp[0] <= ALWAYS_CHECKED_BYTES) and _checksum(pixels) != record["checksum"]:
            raise ValueError("it is not what was written, its checksum differs")
        if stamp != record["stamp"]:
            with contextlib.suppress(OSError):
                write_beside(record_file, with_checksum(record | {"stamp": stamp}))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        tell(f"cache_dir: {pixels} cannot be used ({reason}); decoding anew")
        return None
    return record


def _write(pixels: Path, record_file: Path, read: Callable[[], Reading], reading: Reading) -> dict[str, Any]:
    print(f"decoding {reading.count:,} images, this once, into {pixels}", flush=True)
    partial = pixels.with_name(f".partial-{pixels.name}-{secrets.token_hex(8)}")
    checksum, shape = 0, (0,)
    try:
        record_file.unlink(missing_ok=True)
        pixels.unlink(missing_ok=True)
        file = partial.open("xb", buffering=0)
    except OSError as error:
        raise _unusable(pixels.parent, error) from error
    try:
        with (
            file,
            cleared_by(functools.partial(_clear, [partial])),
            contextlib.closing(decode(read, reading)) as batches,
        ):
            for images in batches:
                content = np.ascontiguousarray(images).data.cast("B")
                while content:
                    written = file.write(content)
                    checksum, content = zlib.crc32(content[:written], checksum), content[written:]
                shape = (shape[0] + len(images), *images.shape[1:])
        flush_to_disk(partial)
        partial.replace(pixels)
        record = {
            "version": VERSION,
            "made_of": reading.made_of,
            "shape": shape,
            "checksum": checksum,
            "stamp": _stamp(pixels),
            "left_out": reading.left_out,
        }
        write_beside(record_file, with_checksum(record))
    except OSError as error:
        raise RunError(f"cache_dir: {pixels} cannot be written: {error.strerror or error}") from error
    finally:
        _clear([partial])
    return record


def _stamp(file: Path) -> list[int]:
    found = file.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _checksum(file: Path) -> int:
    checksum = 0
    with file.open("rb") as opened:
        while content := opened.read(1 << 24):
            checksum = zlib.crc32(content, checksum)
    return checksum


def _clear(files: Iterable[Path]) -> None:
    for file in files:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)


def _unusable(folder: Path, error: OSError) -> InputError:
    return InputError(
        f"cache_dir: {error.filename or folder} cannot be used: {error.strerror or error}; "
        "give another, or --cache_dir= to decode into memory"
    )
