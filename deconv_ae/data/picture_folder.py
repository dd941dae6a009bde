"""`folder:PATH`: a folder of PNG and JPEG pictures."""

import sys
import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError

from deconv_ae.data.source import COLOR_MODES, FOLDER_PREFIX, SPLITS, Source
from deconv_ae.data.split import split_numbers
from deconv_ae.errors import InputError

FORMATS = ("PNG", "JPEG")


def load(source: Source, split: str) -> np.ndarray:
    """Every picture of one split, in the order of the file names.

    Pictures may lie in subfolders. With `train/` and `test/` in the folder these are the splits;
    otherwise a fixed fifth of the files, the same on every machine, is the test split. Files
    whose names start with a dot are passed over.

    Raises:
        InputError: if the folder is missing or empty, a file is no whole PNG or JPEG, a picture
            has more pixels than Pillow's guard against decompression bombs lets pass, or pictures
            differ in size and no image_size is given.
    """
    files = _split_files(Path(source.name.removeprefix(FOLDER_PREFIX)), split)
    images: list[np.ndarray] = []
    channels = COLOR_MODES[source.color_mode]
    skipped: list[str] = []
    for file in files:
        try:
            picture = decode(file, channels)
        except InputError as error:
            if not source.skip_bad_images:
                raise
            skipped.append(str(error))
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
        raise InputError(f"dataset: {folder} is not a folder; give folder:PATH of a folder with PNG or JPEG pictures")
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
        raise InputError(f"dataset: {folder} is empty; put PNG or JPEG pictures there")
    return found


def decode(file: Path, channels: int | None) -> np.ndarray:
    """One picture, upright as its EXIF orientation says.

    Args:
        file: a PNG or JPEG.
        channels: 1 for shades of grey, 3 for colour, None for what the picture is in.

    Returns:
        `(height, width, 1 or 3)` uint8.

    Raises:
        InputError: if it is no whole PNG or JPEG, or has too many pixels.
    """
    try:
        with warnings.catch_warnings():
            # Pillow reads the size from the header; from 89 million pixels on it warns, and from
            # twice that it raises. Both are refused here, before anything is decoded.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = Image.open(file, formats=FORMATS)
        with opened as picture:
            upright = ImageOps.exif_transpose(picture)
            if channels is None:
                channels = 1 if upright.mode in ("1", "L", "LA", "I", "I;16") else 3
            return np.asarray(upright.convert("L" if channels == 1 else "RGB")).reshape(
                upright.height, upright.width, channels
            )
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(f"dataset: {file} is too large ({error}); shrink it, or pass --skip_bad_images") from error
    except UnidentifiedImageError as error:
        raise InputError(f"dataset: {file} is no PNG or JPEG; remove it, or pass --skip_bad_images") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f"dataset: {file} cannot be decoded ({error}); remove it, or pass --skip_bad_images"
        ) from error


def _size(image: np.ndarray) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"
