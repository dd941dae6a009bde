"""A data set's splits as arrays, whichever reader they come from."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from deconv_ae import paths
from deconv_ae.data import picture_folder, sample, tfds_images
from deconv_ae.data.cache import Reading, decode, default_cache_dir, mapped
from deconv_ae.data.source import FOLDER_PREFIX, SAMPLE_NAME, SPLITS, Source
from deconv_ae.errors import InputError, choose
from deconv_ae.messages import tell


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """A data set's two splits, each `(N, height, width, channels)` uint8, and where they lie.

    Attributes:
        name: the data set's.
        train, test: its splits.
        place: where they lie, in words.
        fit: how they came to their size, as `Source.fit`; None where that was their own.

    Raises:
        InputError: on arrays that are not that, with what to do about it.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    place: str = "memory"
    fit: str | None = None

    def __post_init__(self) -> None:
        for argument, images in (("images", self.train), ("test_images", self.test)):
            check_images(argument, images)
        if self.train.shape[1:] != self.test.shape[1:]:
            raise InputError(
                f"dataset: {self.name} has training images of {self.train.shape[1:]} and test images of "
                f"{self.test.shape[1:]}; give --image_size and --color_mode"
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of every image."""
        _, height, width, channels = self.train.shape
        return height, width, channels

    def __str__(self) -> str:
        return (
            f"{self.name}: {len(self.train):,} training and {len(self.test):,} test images of "
            f"{'x'.join(map(str, self.image_shape))}, in {self.place}"
        )


def check_images(argument: str, images: np.ndarray) -> None:
    """Raises InputError unless `images` is `(N, height, width, channels)` uint8, with at least one image."""
    if not isinstance(images, np.ndarray):
        raise InputError(f"{argument}: a {type(images).__name__} is no NumPy array; give np.asarray of it")
    if images.dtype != np.uint8:
        remedy = (
            "give pixels of 0 to 255: np.round(images * 255).astype(np.uint8) where 1 is the brightest"
            if np.issubdtype(images.dtype, np.floating)
            else "give pixels of 0 to 255: images.astype(np.uint8) where they are"
        )
        raise InputError(f"{argument}: pixels are {images.dtype}, not uint8; {remedy}")
    if images.ndim != 4:
        remedy = "images[..., np.newaxis] adds the channel" if images.ndim == 3 else "stack images of one shape"
        raise InputError(f"{argument}: the shape {images.shape} is not (N, height, width, channels); {remedy}")
    if images.shape[1] in (1, 3) and min(images.shape[2:]) >= 8:
        raise InputError(
            f"{argument}: the shape {images.shape} has its channels first; images.transpose(0, 2, 3, 1) puts them last"
        )
    if 0 in images.shape:
        raise InputError(f"{argument}: the shape {images.shape} holds no pixels; give at least one image")


def load_dataset(source: Source) -> ImageDataset:
    """Both splits of a data set.

    Raises:
        InputError: if the name is unknown, a file or archive is damaged, the images differ in
            shape, or the data set is neither on disk nor within reach.
    """
    train, test = (load_split(source, split) for split in SPLITS)
    place = "memory" if source.cache_dir == "" else str(_cache_dir(source))
    return ImageDataset(source.name, train, test, place, None if source.image_size is None else source.fit)


def load_split(source: Source, split: str) -> np.ndarray:
    """One split, "train" or "test", as `(N, height, width, channels)` uint8.

    It is mapped from the cache; what is written to the array stays in this process. Raises as `load_dataset`.
    """
    choose("split", split, dict.fromkeys(SPLITS))
    read = partial(_reader(source), source, split)
    if source.cache_dir == "":
        reading = read()
        images, left_out = np.concatenate(list(decode(read, reading))), reading.left_out
    else:
        images, left_out = mapped(_cache_dir(source), _file_name(source), split, read)
    if left_out:
        tell(f"{len(left_out)} files left out:", *(f"  {line}" for line in left_out))
    return images


def _reader(source: Source) -> Callable[[Source, str], Reading]:
    if source.name == SAMPLE_NAME:
        return sample.read
    return tfds_images.read if source.folder is None else picture_folder.read


def _cache_dir(source: Source) -> Path:
    return default_cache_dir() if source.cache_dir is None else paths.given("cache_dir", source.cache_dir)


def _file_name(source: Source) -> str:
    """A readable beginning, and a hash of all that decides what is made of the data set's files."""
    name, data_dir = source.name, source.data_dir
    if source.folder is not None:
        name, data_dir = FOLDER_PREFIX + str(paths.resolved("dataset", source.folder)), None
    decides = asdict(replace(source, name=name, data_dir=data_dir, manual_dir=None, cache_dir=None))
    if source.image_size is None or source.fit == "stretch":
        del decides["fit"]  # As before there was a choice: what was decoded then is used on.
    readable = re.sub(r"[^A-Za-z0-9._]+", "-", Path(name).name)[-40:]
    return f"{readable}-{hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:16]}"
