"""`folder:PATH`: a folder of pictures."""

import functools
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from deconv_ae import paths
from deconv_ae.data.cache import Reading
from deconv_ae.data.decoding_processes import decode_all
from deconv_ae.data.picture_files import Folder, list_folder
from deconv_ae.data.resizing import resizer
from deconv_ae.data.source import COLOR_MODES, Source, parse_colour
from deconv_ae.data.split import which_are_for_testing
from deconv_ae.errors import InputError, RunError

IMAGES_AT_ONCE = 64


def read(source: Source, split: str) -> Reading:
    """Every picture of one split, in the order of the file names.

    Pictures may lie in subfolders. With `train/` and `test/` in the folder, in letters of any size, these are the
    splits; otherwise `split.which_are_for_testing` says it. Files whose names start with a dot are passed over, and
    what `picture_files.LEFT_BY_OTHERS` names.

    Raises:
        InputError: if the folder is missing or empty; while decoding, if a file is no picture that can be shown (see
            `decoding.decode`), or pictures differ in size and no image_size is given.
        RunError: while decoding, if a process that decodes dies.
    """
    folder = list_folder(paths.given("dataset", source.folder or ""))
    # Of both splits: whether one picture is in colour decides it for all.
    seen = hashlib.sha256(json.dumps(folder.files).encode()).hexdigest()
    left_out: list[str] = []
    files = _split_files(source, folder, split)
    batches = partial(_images, source, folder, seen, split, left_out)
    return Reading(seen, len(files), batches, left_out, folder.passed_over)


def _split_files(source: Source, folder: Folder, split: str, no_pictures: frozenset[str] = frozenset()) -> list[str]:
    """The names of a split's files; those that are no pictures count for nothing."""
    if split in folder.files:
        return [file.name for file in folder.files[split]]
    names = [file.name for file in folder.files[""] if file.name not in no_pictures]
    if len(names) < 2:
        what = "could be read in it" if no_pictures else "is in it"
        raise InputError(
            f"dataset: {folder.path}: {len(names)} picture {what}; at least 2 are needed, one of them to test on"
        )
    for_testing = which_are_for_testing([name.replace(os.sep, "/") for name in names], source.split_by)
    return [name for name, is_tested in zip(names, for_testing) if is_tested == (split == "test")]


def _images(source: Source, folder: Folder, seen: str, split: str, left_out: list[str]) -> Iterator[np.ndarray]:
    left_out.clear()
    channels, no_pictures = _looked_at(source, seen, folder)
    files = _split_files(source, folder, split, frozenset(no_pictures))
    if source.skip_bad_images:
        named = _split_files(source, folder, split)
        left_out += [f"{folder.path / name} {no_pictures[name]}" for name in named if name in no_pictures]
        files = [name for name in files if name not in no_pictures]
    how = (channels, parse_colour(source.background), source.load_truncated, source.max_pixels)
    images: list[np.ndarray] = []
    first: np.ndarray | None = None
    for file, picture in zip(files, _decoded(source, folder.path, files, *how)):
        if isinstance(picture, str):
            _leave_out(source, f"{folder.path / file} {picture}", left_out)
            continue
        image = resizer(source, picture.shape[-1])(picture).numpy() if source.image_size else picture
        first = image if first is None else first
        if image.shape != first.shape:
            raise InputError(
                f"dataset: pictures differ in size, {folder.path / file} is {_size(image)} and the first "
                f"{_size(first)}; give --image_size"
            )
        images.append(image)
        if len(images) == IMAGES_AT_ONCE:
            yield np.stack(images)
            images = []
    if first is None:
        reason = f"; the first: {left_out[0]}" if left_out else ""
        raise InputError(f"dataset: no {split} picture in {source.name} could be read{reason}")
    if images:
        yield np.stack(images)


def _looked_at(source: Source, seen: str, folder: Folder) -> tuple[int, dict[str, str]]:
    """What has to be known of the whole folder before one split of it is decoded: whether there is a picture in colour,
    and, where they are left out, which files are no pictures, with what is wrong."""
    channels = COLOR_MODES[source.color_mode]
    if channels is not None and not source.skip_bad_images:
        return channels, {}
    names = tuple(file.name for files in folder.files.values() for file in files)
    in_colour, no_pictures = _by_first_bytes(source, seen, folder.path, names)
    return channels or (3 if in_colour else 1), no_pictures


@functools.lru_cache(maxsize=2)
def _by_first_bytes(source: Source, seen: str, folder: Path, names: tuple[str, ...]) -> tuple[bool, dict[str, str]]:
    """Whether any picture is in colour, and what is wrong with which files where all have to be looked at; once for
    both splits, as long as the folder is what `seen` stands for."""
    how, in_colour = (parse_colour(source.background), source.max_pixels), False
    no_pictures: dict[str, str] = {}
    # Mostly the first picture says it, without processes.
    for some in (names[:1], names[1:]):
        for name, found in zip(some, _decoded(source, folder, some, *how, function="own_channels")):
            if isinstance(found, str):
                no_pictures[name] = found
            in_colour = in_colour or found == 3
            if in_colour and not source.skip_bad_images:
                return True, {}
    return in_colour, no_pictures if source.skip_bad_images else {}


def _decoded(
    source: Source, folder: Path, names: Sequence[str], *how: object, function: str = "decode"
) -> Iterator[Any]:
    try:
        yield from decode_all([str(folder / name) for name in names], *how, function=function)
    except OSError as error:
        raise RunError(f"dataset: {source.name} cannot be decoded: {error}; start again") from error


def _leave_out(source: Source, what: str, left_out: list[str]) -> None:
    if not source.skip_bad_images:
        cut_short = "" if source.load_truncated or "truncated" not in what.lower() else "--load_truncated_images or "
        raise InputError(f"dataset: {what}; mend or remove it, or pass {cut_short}--skip_bad_images")
    left_out.append(what)


def _size(image: np.ndarray) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"
