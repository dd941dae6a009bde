"""Loads a data set of any kind: its splits as arrays."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from deconv_ae import numbers, paths
from deconv_ae.data import cache, kinds
from deconv_ae.data.cache import Decoded
from deconv_ae.data.pixels import check_images, check_shades
from deconv_ae.data.source import SPLITS, Source
from deconv_ae.errors import InputError, choose
from deconv_ae.messages import tell

LARGEST_SHARE_OF_MEMORY = 0.5
"""The share of this process's memory that an uncached split may take. The other split and a model need the rest."""


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """A data set's two splits, each `(N, height, width, channels)` uint8, and their origin.

    Attributes:
        name: the data set's name.
        train, test: its splits.
        place: the directory with the pixels, or "memory".
        source: the data set and how it was read; None for arrays.
        fingerprint: 16 hexadecimal digits of a SHA-256 of both splits' shapes and pixels. The same pictures, read in
            the same way, have the same fingerprint everywhere. Computed if it is empty.

    Raises:
        InputError: if a split is not such an array, if the splits differ in image shape, or if all images are black.
            Without a source, one split of only black images is an error, too. The message says what to do.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    place: str = "memory"
    source: Source | None = None
    fingerprint: str = ""

    def __post_init__(self) -> None:
        for argument, images in (("images", self.train), ("test_images", self.test)):
            check_images(argument, images)
            if self.source is None:
                check_shades(argument, images)
        if self.source is not None:
            # The splits are checked together, because the only test picture of a small data set may be black.
            check_shades("dataset", self.train, self.test)
        if self.train.shape[1:] != self.test.shape[1:]:
            raise InputError(
                f"dataset: {self.name} has training images of {self.train.shape[1:]} and test images of "
                f"{self.test.shape[1:]}; give --image_size and --color_mode"
            )
        if not self.fingerprint:
            # A frozen dataclass assigns its fields this way.
            object.__setattr__(self, "fingerprint", _fingerprint(*map(_with_checksum, (self.train, self.test))))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of every image."""
        _, height, width, channels = self.train.shape
        return height, width, channels

    @property
    def fit(self) -> str | None:
        """`Source.fit` if images were resized, else None."""
        return None if self.source is None or self.source.image_size is None else self.source.fit

    def __str__(self) -> str:
        return (
            f"{self.name}: {len(self.train):,} training and {len(self.test):,} test images of "
            f"{'x'.join(map(str, self.image_shape))}, in {self.place}"
        )


def load_dataset(source: Source) -> ImageDataset:
    """Loads both splits of a data set.

    Args:
        source: the data set, and how it is read.

    Returns:
        The splits.

    Raises:
        InputError: if the name is unknown, a file or archive is damaged, the images differ in shape or are all black,
            or the data set is neither on disk nor downloadable.
        RunError: if the cache cannot be written or its lock is held for an hour, or decoding processes fail.
    """
    train, test = (_load(source, split) for split in SPLITS)
    _tell_ignored_paths(train)  # The list is the same for both splits.
    place = "memory" if source.cache_dir == "" else str(_cache_dir(source))
    return ImageDataset(source.name, train.images, test.images, place, source, _fingerprint(train, test))


def load_split(source: Source, split: str) -> np.ndarray:
    """Loads one split, "train" or "test", as `(N, height, width, channels)` uint8.

    Unless `source.cache_dir` is empty, the array is mapped from the cache. A write to the array stays in this process.
    Raises the errors of `load_dataset`, but accepts black images.
    """
    choose("split", split, dict.fromkeys(SPLITS))
    loaded = _load(source, split)
    _tell_ignored_paths(loaded)
    return loaded.images


def evenly_spaced(images: np.ndarray, max_count: int) -> np.ndarray:
    """At most `max_count` images of a split, at equal distances.

    >>> evenly_spaced(np.arange(10), 3)
    array([0, 3, 6])
    """
    return np.ascontiguousarray(images[:: max(1, len(images) // max_count)][:max_count])


def _load(source: Source, split: str) -> Decoded:
    kinds.check_available(source)
    read = partial(kinds.reader(source), source, split)
    if source.cache_dir == "":
        loaded = cache.decode_into_memory(read, partial(_check_memory, source))
    else:
        loaded = cache.map_split(_cache_dir(source), _file_name_prefix(source), split, read)
    if loaded.left_out:
        tell(f"files left out: {len(loaded.left_out):,}", *(f"  {line}" for line in loaded.left_out))
    return loaded


def _tell_ignored_paths(loaded: Decoded) -> None:
    first_paths, others = loaded.ignored_paths[:3], loaded.ignored_paths[3:]
    if first_paths:
        more = f" and {len(others):,} more" if others else ""
        tell(f"ignored (system files, or outside of train and test): {', '.join(first_paths)}{more}")


def _check_memory(source: Source, split_bytes: int) -> None:
    max_bytes = LARGEST_SHARE_OF_MEMORY * numbers.available_memory()
    if split_bytes > max_bytes:
        raise InputError(
            f"dataset: a split of {source.name} takes {split_bytes / 2**30:,.1f} GiB, above "
            f"{max_bytes / 2**30:,.1f} GiB, half of the memory; give a smaller --image_size, or a --cache_dir"
        )


def _with_checksum(images: np.ndarray) -> Decoded:
    return Decoded(images, cache.checksum(images))


def _fingerprint(*splits: Decoded) -> str:
    contents = [(split.images.shape, split.checksum) for split in splits]
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest()[:16]


def _cache_dir(source: Source) -> Path:
    return cache.default_cache_dir() if source.cache_dir is None else paths.checked_path("cache_dir", source.cache_dir)


def _file_name_prefix(source: Source) -> str:
    """The beginning of the cache files' names: a readable part, then a hash.

    The hash covers everything that decides the pixels, except the content of the data set's files.
    """
    source = replace(kinds.with_resolved_path(source), manual_dir=None, cache_dir=None)
    readable_part = re.sub(r"[^A-Za-z0-9._]+", "-", Path(source.name).name)[-40:]
    return f"{readable_part}-{hashlib.sha256(json.dumps(asdict(source)).encode()).hexdigest()[:16]}"
