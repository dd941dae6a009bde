"""`folder:PATH`: a folder of pictures."""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from deconv_ae.data.decoding import PictureError, decode, parse_colour
from deconv_ae.data.source import COLOR_MODES, FOLDER_PREFIX, SPLITS, Source
from deconv_ae.data.split import split_numbers
from deconv_ae.errors import InputError


def load(source: Source, split: str) -> np.ndarray:
    """Every picture of one split, in the order of the file names.

    Pictures may lie in subfolders. With `train/` and `test/` in the folder these are the splits;
    otherwise a fixed fifth of the files, the same on every machine, is the test split. Files
    whose names start with a dot are passed over.

    Raises:
        InputError: if the folder is missing or empty, a file is no picture that can be shown (see
            `decoding.decode`), or pictures differ in size and no image_size is given.
    """
    files = _split_files(Path(source.name.removeprefix(FOLDER_PREFIX)), split)
    images: list[np.ndarray] = []
    channels = COLOR_MODES[source.color_mode]
    background = parse_colour(source.background)
    skipped: list[str] = []
    for file in files:
        try:
            picture = decode(file, channels, background)
        except PictureError as error:
            if not source.skip_bad_images:
                raise InputError(f"dataset: {file} {error}; mend or remove it, or pass --skip_bad_images") from error
            skipped.append(f"{file} {error}")
            continue
        channels = picture.shape[-1]
        image = source.fit(tf.constant(picture)).numpy() if source.image_size else picture
        if images and image.shape != images[0].shape:
            raise InputError(
                f"dataset: pictures differ in size, {file} is {_size(image)} and the first {_size(images[0])}; "
                "give --image_size"
            )
        images.append(image)
    if skipped:
        print(f"{len(skipped)} of {len(files)} files left out:", *skipped, sep="\n  ", file=sys.stderr)
    if not images:
        raise InputError(f"dataset: no picture in {source.name} could be read; see the list above")
    return np.stack(images)


def _split_files(folder: Path, split: str) -> list[Path]:
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


def _files(folder: Path) -> list[Path]:
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found:
        raise InputError(f"dataset: {folder} is empty; put pictures there")
    return found


def _size(image: np.ndarray) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"
