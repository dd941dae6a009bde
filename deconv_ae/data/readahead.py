"""Images that are about to be read, asked of the disk all at once."""

import contextlib
import mmap
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

LARGE_BYTES = 1 << 30
"""Of a split: a smaller one is asked for as a whole. What is there already is asked for in some microseconds an image:
much for a batch of digits, nothing for one of pictures, of which such splits are made."""
BATCHES_AHEAD = 4


def read_ahead(batches: tf.data.Dataset, images: np.ndarray) -> tf.data.Dataset:
    """The same batches of numbers of images, whose pages the system begins to read when a batch is a few steps away.

    What is mapped and not in memory the system reads page by page, each when it is missed: 150 pictures of 48 kB a
    second, shuffled, from a disk that gave 14,000 when it was asked for a batch first.

    Args:
        batches: of numbers, or of tuples that begin with them.
        images: the split, mapped or not.
    """
    if not hasattr(mmap, "MADV_WILLNEED"):
        return batches
    if images.nbytes < LARGE_BYTES:
        ask_for(images[None], np.array([0]))
        return batches

    def ask(numbers: tf.Tensor, *others: tf.Tensor) -> Any:
        asked = tf.numpy_function(partial(ask_for, images), [numbers], numbers.dtype)
        asked.set_shape(numbers.shape)
        return (asked, *others) if others else asked

    return batches.map(ask).prefetch(BATCHES_AHEAD)


def ask_for(images: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Lets the system begin to read some images of a mapped array; returns their numbers."""
    mapping = _mapping(images)
    if mapping is None:
        return numbers
    image_bytes = images[0].nbytes
    mapped_at = np.frombuffer(mapping, np.uint8).ctypes.data
    begin = images.ctypes.data - mapped_at + numbers.astype(np.int64) * image_bytes
    first_pages = begin // mmap.PAGESIZE * mmap.PAGESIZE
    lengths = begin + image_bytes - first_pages
    for first_page, length in zip(first_pages.tolist(), lengths.tolist()):
        # Whether it does is its own affair: an answer would change nothing.
        with contextlib.suppress(OSError):
            mapping.madvise(mmap.MADV_WILLNEED, first_page, length)
    return numbers


def _mapping(images: np.ndarray) -> mmap.mmap | None:
    """What an array is mapped from; None if it lies in memory."""
    owner: Any = images
    while isinstance(owner, np.ndarray):
        owner = owner.base
    return owner if isinstance(owner, mmap.mmap) else None
