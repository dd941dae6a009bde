"""Images are requested from the disk before they are read; their pixels stay the same."""

import ctypes
import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deconv_ae.data import readahead, replica_batches, training_batches

NUM_IMAGES, IMAGE_SHAPE = 64, (100, 100, 3)
"""An image has 30,000 bytes: six or seven complete pages of 4,096. Only the first image begins where a page begins."""


@pytest.fixture
def images(tmp_path: Path) -> np.ndarray:
    """A memory-mapped array. If the system allows, the pages of its file are dropped from memory."""
    file = tmp_path / "pixels.uint8"
    np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, *IMAGE_SHAPE), np.uint8).tofile(file)
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return np.memmap(file, np.uint8, "c", shape=(NUM_IMAGES, *IMAGE_SHAPE)).view(np.ndarray)


def is_in_memory(images: np.ndarray, number: int) -> bool:
    """Whether every page of an image is in memory."""
    first = (images.ctypes.data + number * images[0].nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    length = images.ctypes.data + (number + 1) * images[0].nbytes - first
    pages = (ctypes.c_ubyte * -(-length // mmap.PAGESIZE))()
    assert ctypes.CDLL(None).mincore(ctypes.c_void_p(first), ctypes.c_size_t(length), pages) == 0
    return all(page & 1 for page in pages)


def request_two(images: np.ndarray) -> None:
    numbers = np.array([3, NUM_IMAGES - 1], np.int32)
    np.testing.assert_array_equal(readahead.request(images, numbers), numbers)


def make_batches_of_a_small_split(images: np.ndarray) -> None:
    training_batches(images, 24, seed=5)


@pytest.mark.skipif(not hasattr(mmap, "MADV_WILLNEED"), reason="this system has no MADV_WILLNEED")
@pytest.mark.parametrize("request_images", [request_two, make_batches_of_a_small_split])
def test_requested_images_are_in_memory_before_their_first_use(
    images: np.ndarray, request_images: Callable[[np.ndarray], None]
) -> None:
    if is_in_memory(images, 3) or is_in_memory(images, NUM_IMAGES - 1):
        pytest.skip("the file system keeps files in memory")
    request_images(images)
    end = time.monotonic() + 10
    while not (is_in_memory(images, 3) and is_in_memory(images, NUM_IMAGES - 1)):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_read_ahead_keeps_the_batches(images: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def read() -> list[np.ndarray]:
        batches = [batch for batch, _ in training_batches(images, 24, seed=5, first_step=1).take(4)]
        shares = replica_batches(images, 24, seed=5, first_step=1, replicas=range(2), num_replicas=2).take(4)
        return [np.asarray(each) for each in [*batches, *(part for share in shares for part in share)]]

    expected_batches, request_sizes = read(), []
    monkeypatch.setattr(readahead, "LARGE_BYTES", images.nbytes)
    monkeypatch.setattr(readahead, "request", lambda images, numbers: (request_sizes.append(len(numbers)), numbers)[1])
    for expected, found in zip(expected_batches, read(), strict=True):
        np.testing.assert_array_equal(found, expected)
    # An epoch of 64 images has batches of 24, 24 and 16 images; reading begins at step 1, with the second of these.
    assert request_sizes[:3] == [24, 16, 24]
