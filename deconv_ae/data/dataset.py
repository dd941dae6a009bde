"""A data set's splits in memory, whichever reader they come from."""

from dataclasses import dataclass

import numpy as np

from deconv_ae.data import picture_folder, sample, tfds_images
from deconv_ae.data.source import FOLDER_PREFIX, SAMPLE_NAME, SPLITS, Source
from deconv_ae.errors import InputError, choose


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """A data set's two splits, each `(N, height, width, channels)` uint8."""

    name: str
    train: np.ndarray
    test: np.ndarray

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of every image."""
        _, height, width, channels = self.train.shape
        return height, width, channels


def load_dataset(source: Source) -> ImageDataset:
    """Both splits of a data set.

    Raises:
        InputError: if the name is unknown, a file or archive is damaged, the images differ in
            shape, or the data set is neither on disk nor within reach.
    """
    train, test = (load_split(source, split) for split in SPLITS)
    if train.shape[1:] != test.shape[1:]:
        raise InputError(
            f"dataset: {source.name} has training images of {train.shape[1:]} and test images of {test.shape[1:]}; "
            "give --image_size and --color_mode"
        )
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
