"""A data set's splits in memory, whichever reader they come from."""

from dataclasses import dataclass

import numpy as np

from deconv_ae.data import picture_folder, sample, tfds_images
from deconv_ae.data.source import FOLDER_PREFIX, SAMPLE_NAME, SPLITS, Source
from deconv_ae.errors import InputError, choose


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """A data set's two splits, each `(N, height, width, channels)` uint8.

    Raises:
        InputError: on arrays that are not that, with what to do about it.
    """

    name: str
    train: np.ndarray
    test: np.ndarray

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
    return ImageDataset(source.name, train, test)


def load_split(source: Source, split: str) -> np.ndarray:
    """One split, "train" or "test", as `(N, height, width, channels)` uint8. Raises as `load_dataset`."""
    choose("split", split, dict.fromkeys(SPLITS))
    if source.name == SAMPLE_NAME:
        images = sample.load(source, split)
    elif source.name.startswith(FOLDER_PREFIX):
        images = picture_folder.load(source, split)
    else:
        images = tfds_images.load(source, split)
    if not len(images):
        raise InputError(f"dataset: {source.name} has no images in its {split} split")
    return images
