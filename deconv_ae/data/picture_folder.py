"""`folder:PATH`: reads a folder of pictures."""

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
from deconv_ae.data.kinds import directory
from deconv_ae.data.picture_files import Folder, list_folder
from deconv_ae.data.resizing import resizer
from deconv_ae.data.source import COLOR_MODES, Source, parse_colour
from deconv_ae.data.split import which_are_for_testing
from deconv_ae.errors import InputError, RunError

IMAGES_AT_ONCE = 64


def read(source: Source, split: str) -> Reading:
    """Opens a split, with its pictures in the order of their paths.

    Pictures may lie in subfolders. Folders named `train` and `test`, in upper or lower case, are the splits; without
    them, `which_are_for_testing` divides the pictures. Files and folders whose names start with a dot are
    ignored, and so are `picture_files.SYSTEM_FILES`.

    Args:
        source: the folder, and how its pictures are read.
        split: "train" or "test".

    Returns:
        The split, not decoded yet.

    Raises:
        InputError: if `list_folder` refuses the folder, or its pictures cannot be divided; while decoding, if a file
            cannot be shown as a picture (see `decoding.decode`) and skip_bad_images is False, if pictures differ in
            size and no image_size is given, or if the split has no good picture.
        RunError: while decoding, if a decoding process cannot be started, or dies.
    """
    folder = list_folder(paths.checked_path("dataset", directory(source) or ""))
    # The hash covers the files of both splits, because if one picture is in colour, both splits are read in colour.
    listing_hash = hashlib.sha256(json.dumps(folder.files).encode()).hexdigest()
    left_out: list[str] = []
    files = _split_files(source, folder, split)
    batches = partial(_images, source, folder, listing_hash, split, left_out)
    # Decoding finds the bad files. If the folder has no train and test, decoding then divides the good files again.
    count_is_exact = not source.skip_bad_images or split in folder.files
    return Reading(listing_hash, len(files), batches, left_out, folder.ignored_paths, count_is_exact)


def _split_files(source: Source, folder: Folder, split: str, bad_files: frozenset[str] = frozenset()) -> list[str]:
    """The names of a split's files. If the folder has no train and test, its good files are divided here."""
    if split in folder.files:
        return [file.name for file in folder.files[split]]
    names = [file.name for file in folder.files[""] if file.name not in bad_files]
    if len(names) < 2:
        predicate = "could be read" if bad_files else "is there"
        raise InputError(
            f"dataset: {folder.path}: {len(names)} picture {predicate}; at least 2 are needed, one of them to test on"
        )
    for_testing = which_are_for_testing([name.replace(os.sep, "/") for name in names], source.split_by)
    return [name for name, is_for_testing in zip(names, for_testing) if is_for_testing == (split == "test")]


def _images(source: Source, folder: Folder, listing_hash: str, split: str, left_out: list[str]) -> Iterator[np.ndarray]:
    """Decodes a split's pictures, and fills `left_out`: a line for each of the split's bad files."""
    left_out.clear()
    channels, bad_files = _find_channels_and_bad_files(source, listing_hash, folder)
    files = _split_files(source, folder, split, frozenset(bad_files))
    if source.skip_bad_images:
        all_files = _split_files(source, folder, split)
        left_out += [f"{folder.path / name} {bad_files[name]}" for name in all_files if name in bad_files]
        files = [name for name in files if name not in bad_files]
    arguments = (channels, parse_colour(source.background), source.load_truncated_images, source.max_pixels)
    images: list[np.ndarray] = []
    first_image: np.ndarray | None = None
    for file, picture in zip(files, _decode(source, folder.path, files, *arguments)):
        if isinstance(picture, str):
            _leave_out_or_refuse(source, f"{folder.path / file} {picture}", left_out)
            continue
        image = resizer(source, picture.shape[-1])(picture).numpy() if source.image_size else picture
        first_image = image if first_image is None else first_image
        if image.shape != first_image.shape:
            raise InputError(
                f"dataset: pictures differ in size, {folder.path / file} is {_size_text(image)} and the first "
                f"{_size_text(first_image)}; give --image_size"
            )
        images.append(image)
        if len(images) == IMAGES_AT_ONCE:
            yield np.stack(images)
            images = []
    if first_image is None:
        reason = f"; the first: {left_out[0]}" if left_out else ""
        raise InputError(f"dataset: no {split} picture in {source.name} could be read{reason}")
    if images:
        yield np.stack(images)


def _find_channels_and_bad_files(source: Source, listing_hash: str, folder: Folder) -> tuple[int, dict[str, str]]:
    """Returns the number of channels that every image gets, and a dict from file names to faults in the first bytes.

    The dict is empty unless skip_bad_images is True. Other faults appear only when a picture is decoded. If the
    colour mode is "auto" or skip_bad_images is True, the function examines files of both splits, because both splits
    get the same number of channels.
    """
    channels = COLOR_MODES[source.color_mode]
    if channels is not None and not source.skip_bad_images:
        return channels, {}
    names = tuple(file.name for files in folder.files.values() for file in files)
    has_colour, bad_files = _scan_first_bytes(source, listing_hash, folder.path, names)
    return channels or (3 if has_colour else 1), bad_files


@functools.lru_cache(maxsize=2)
def _scan_first_bytes(
    source: Source, listing_hash: str, folder: Path, names: tuple[str, ...]
) -> tuple[bool, dict[str, str]]:
    """Reads the pictures' first bytes; returns whether any picture is in colour, and a dict from file names to faults.

    The dict is empty unless skip_bad_images is True. The result for one split is reused for the other. `listing_hash`
    is a part of the `lru_cache`'s key, so that a changed folder is read again.
    """
    arguments, has_colour = (parse_colour(source.background), source.max_pixels), False
    bad_files: dict[str, str] = {}
    # The first picture is read before the others, without starting processes. If it is in colour, as most pictures are,
    # the others are read only to find bad files.
    for part in (names[:1], names[1:]):
        for name, result in zip(part, _decode(source, folder, part, *arguments, function="count_own_channels")):
            if isinstance(result, str):
                bad_files[name] = result
            has_colour = has_colour or result == 3
            if has_colour and not source.skip_bad_images:
                return True, {}
    return has_colour, bad_files if source.skip_bad_images else {}


def _decode(
    source: Source, folder: Path, names: Sequence[str], *arguments: object, function: str = "decode"
) -> Iterator[Any]:
    try:
        yield from decode_all([str(folder / name) for name in names], *arguments, function=function)
    except OSError as error:
        raise RunError(f"dataset: {source.name} cannot be decoded: {error}; start again") from error


def _leave_out_or_refuse(source: Source, fault: str, left_out: list[str]) -> None:
    if not source.skip_bad_images:
        remedy = (
            "" if source.load_truncated_images or "truncated" not in fault.lower() else "--load_truncated_images or "
        )
        raise InputError(f"dataset: {fault}; mend or remove it, or pass {remedy}--skip_bad_images")
    left_out.append(fault)


def _size_text(image: np.ndarray) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"
