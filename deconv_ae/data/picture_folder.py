"""`folder:PATH`: a folder of pictures."""

import hashlib
import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from deconv_ae import paths
from deconv_ae.data.cache import Reading
from deconv_ae.data.decoding import parse_colour
from deconv_ae.data.decoding_processes import decode_all
from deconv_ae.data.source import COLOR_MODES, SPLITS, Source
from deconv_ae.data.split import split_numbers
from deconv_ae.errors import InputError, RunError

IMAGES_AT_ONCE = 64


def read(source: Source, split: str) -> Reading:
    """Every picture of one split, in the order of the file names.

    Pictures may lie in subfolders. With `train/` and `test/` in the folder these are the splits;
    otherwise a fixed fifth of the files, the same on every machine, is the test split. Files
    whose names start with a dot are passed over.

    Raises:
        InputError: if the folder is missing or empty; while decoding, if a file is no picture that can be shown (see
            `decoding.decode`), or pictures differ in size and no image_size is given.
        RunError: while decoding, if a process that decodes dies.
    """
    files = _split_files(paths.given("dataset", source.folder or ""), split)
    seen = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    left_out: list[str] = []
    return Reading(seen, len(files), partial(_images, source, [file for file, *_ in files], left_out), left_out)


def _images(source: Source, files: list[str], left_out: list[str]) -> Iterator[np.ndarray]:
    left_out.clear()
    images: list[np.ndarray] = []
    first: np.ndarray | None = None
    for file, picture in zip(files, _pictures(source, files)):
        if isinstance(picture, str):
            if not source.skip_bad_images:
                raise InputError(f"dataset: {file} {picture}; mend or remove it, or pass --skip_bad_images")
            left_out.append(f"{file} {picture}")
            continue
        image = source.convert(tf.constant(picture)).numpy() if source.image_size else picture
        first = image if first is None else first
        if image.shape[-1] != first.shape[-1]:
            raise InputError(
                f"dataset: {file} is in colour and the pictures before it are grey; give --color_mode=rgb or grayscale"
            )
        if image.shape != first.shape:
            raise InputError(
                f"dataset: pictures differ in size, {file} is {_size(image)} and the first {_size(first)}; "
                "give --image_size"
            )
        images.append(image)
        if len(images) == IMAGES_AT_ONCE:
            yield np.stack(images)
            images = []
    if first is None:
        raise InputError(f"dataset: no picture in {source.name} could be read; the first: {left_out[0]}")
    if images:
        yield np.stack(images)


def _pictures(source: Source, files: list[str]) -> Iterator[np.ndarray | str]:
    channels, background = COLOR_MODES[source.color_mode], parse_colour(source.background)
    try:
        if channels is None:
            # Among pictures in colour a grey one loses nothing by being one of them; the other way round it would.
            each = (next(decode_all([file], None, background)) for file in files)
            first = next((picture.shape[-1] for picture in each if not isinstance(picture, str)), None)
            channels = 3 if first == 3 else None
        yield from decode_all(files, channels, background)
    except OSError as error:
        raise RunError(f"dataset: {source.name} cannot be decoded: {error}; start again") from error


def _split_files(folder: Path, split: str) -> list[tuple[str, int, int, int]]:
    if not folder.is_dir():
        raise InputError(f"dataset: {folder} is not a folder; give folder:PATH of a folder with pictures")
    parts = [folder / name for name in SPLITS]
    if any(part.is_dir() for part in parts):
        missing = [str(part) for part in parts if not part.is_dir()]
        if missing:
            raise InputError(f"dataset: {missing[0]} is missing beside its counterpart; add it, or use one flat folder")
        return _files(folder / split)
    files = _files(folder)
    if len(files) < 2:
        raise InputError(
            f"dataset: {folder} holds {len(files)} file; at least 2 pictures are needed, one of them to test on"
        )
    return [files[number] for number in split_numbers(len(files), split)]


def _files(folder: Path) -> list[tuple[str, int, int, int]]:
    """Each file with its size and the times of its last change; the second of them cannot be set back."""
    found = []
    # Not Path.rglob and Path.stat, which take four times as long: 2 s for 70,000 files, at every start.
    for parent, folders, names in os.walk(folder, onerror=_refuse_unreadable, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in folders:
            _refuse_circle(parent, os.path.join(parent, name))  # noqa: PTH118
        for name in names:
            if not name.startswith("."):
                file = os.path.join(parent, name)  # noqa: PTH118
                try:
                    state = os.stat(file)  # noqa: PTH116
                except OSError:  # A link to nothing, say. It is decoding that refuses it, or leaves it out and says so.
                    state = os.lstat(file)
                found.append((file, state.st_size, state.st_mtime_ns, state.st_ctime_ns))
    if not found:
        raise InputError(f"dataset: {folder} is empty; put pictures there")
    return sorted(found, key=lambda each: each[0].split(os.sep))  # noqa: PTH206


def _refuse_unreadable(error: OSError) -> None:
    raise InputError(f"dataset: {error.filename} cannot be read: {error.strerror}; mend or move it") from error


def _refuse_circle(parent: str, folder: str) -> None:
    if os.path.islink(folder) and Path(parent).resolve().is_relative_to(Path(folder).resolve()):  # noqa: PTH114
        raise InputError(f"dataset: {folder} is a link to a folder that it lies in; remove it")


def _size(image: np.ndarray) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"
