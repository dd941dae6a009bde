"""`folder:PATH`: a folder of pictures."""

import hashlib
import json
from collections.abc import Iterator
from functools import partial

import numpy as np

from deconv_ae import paths
from deconv_ae.data.cache import Reading
from deconv_ae.data.decoding_processes import decode_all
from deconv_ae.data.fitting import fitting
from deconv_ae.data.picture_files import split_files
from deconv_ae.data.source import COLOR_MODES, Source, parse_colour
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
    folder = paths.given("dataset", source.folder or "")
    files = split_files(folder, split)
    # However the folder's own path is written, from wherever.
    within = [(file.removeprefix(str(folder)), *state) for file, *state in files]
    seen = hashlib.sha256(json.dumps(within).encode()).hexdigest()
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
        image = fitting(source, picture.shape[-1])(picture).numpy() if source.image_size else picture
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


def _size(image: np.ndarray) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"
