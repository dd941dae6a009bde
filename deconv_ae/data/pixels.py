"""Checks arrays of images, with the remedy in each error, and tells new images from known ones by digests."""

import base64
import hashlib
from typing import Any

import numpy as np

from deconv_ae.errors import InputError

CHECKED_AT_ONCE = 1000
DIGEST_BYTES = 4
"""With 10,000 known images, one new image in 400,000 has the digest of a known image."""


def check_images(argument: str, images: Any) -> None:
    """Raises InputError unless `images` is `(N, height, width, channels)` uint8, with at least one image.

    >>> check_images("images", np.zeros((2, 8, 8, 1)))
    Traceback (most recent call last):
    deconv_ae.errors.InputError: images: pixels are float64, not uint8; they are from 0 to 0: np.round(images *
    255).astype(np.uint8)
    """
    if not isinstance(images, np.ndarray):
        raise InputError(f"{argument}: a {type(images).__name__} is not a NumPy array; give np.asarray of it")
    if images.dtype != np.uint8:
        raise InputError(f"{argument}: pixels are {images.dtype}, not uint8; {_remedy(images)}")
    if images.ndim != 4:
        remedy = "images[..., np.newaxis] adds the channel" if images.ndim == 3 else "stack images of one shape"
        raise InputError(f"{argument}: the shape {images.shape} is not (N, height, width, channels); {remedy}")
    if images.shape[1] in (1, 3) and min(images.shape[2:]) >= 8:
        raise InputError(
            f"{argument}: the shape {images.shape} has its channels first; images.transpose(0, 2, 3, 1) puts them last"
        )
    if 0 in images.shape:
        raise InputError(f"{argument}: the shape {images.shape} holds no pixels; give at least one image")


def check_shades(argument: str, *splits: np.ndarray) -> None:
    """Raises InputError if no pixel is brighter than 1: masks of 0 and 1, or pictures divided by 255, look black.

    In most data sets the first images have a brighter pixel, so the others are not read.
    """
    brightest = 0
    for images in splits:
        for first in range(0, len(images), CHECKED_AT_ONCE):
            brightest = max(brightest, int(images[first : first + CHECKED_AT_ONCE].max()))
            if brightest > 1:
                return
    raise InputError(
        f"{argument}: the brightest pixel is {brightest} of 255, so that all images are black; multiply masks of 0 and "
        "1 by 255, and give pictures as they were before a division"
    )


def _remedy(images: np.ndarray) -> str:
    """Says how to convert pixels of another type to uint8, by their type and range."""
    if images.dtype == bool:
        return "images.astype(np.uint8) * 255 makes them black and white"
    if not np.issubdtype(images.dtype, np.number) or np.iscomplexobj(images):
        return "give numbers from 0 to 255"
    low, high = (float(images.min()), float(images.max())) if images.size else (0.0, 0.0)
    value_range = f"they are from {low:g} to {high:g}"
    if not np.isfinite([low, high]).all():
        return f"{value_range}; give numbers from 0 to 255"
    if np.issubdtype(images.dtype, np.integer):
        if low >= 0 and high <= 255:
            return f"{value_range}: images.astype(np.uint8)"
        if low >= 0 and high <= 65535:
            return f"{value_range}: np.round(images / 257).astype(np.uint8) if 65535 is white"
        return f"{value_range}; give numbers from 0 to 255"
    if low >= 0 and high <= 1:
        return f"{value_range}: np.round(images * 255).astype(np.uint8)"
    if low >= -1 and high <= 1:
        return f"{value_range}: np.round((images + 1) * 127.5).astype(np.uint8)"
    if low >= 0 and high <= 255:
        return f"{value_range}: np.round(images).astype(np.uint8)"
    return f"{value_range}; give numbers from 0 to 255, such as (images - images.min()) / np.ptp(images) * 255, rounded"


def digests(images: np.ndarray) -> str:
    """Four bytes of each image's BLAKE2 hash, in base64. `count_new` recognises the images by these, in any order."""
    return base64.b64encode(b"".join(_digests(images))).decode()


def count_new(images: np.ndarray, known: str) -> int:
    """Counts the images whose digests are not among `known`, a result of `digests`.

    >>> images = np.arange(3 * 4, dtype=np.uint8).reshape(3, 2, 2, 1)
    >>> count_new(images, digests(images[:2]))
    1
    """
    known_bytes = base64.b64decode(known)
    known_digests = {known_bytes[first : first + DIGEST_BYTES] for first in range(0, len(known_bytes), DIGEST_BYTES)}
    return sum(digest not in known_digests for digest in _digests(images))


def _digests(images: np.ndarray) -> list[bytes]:
    return [hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=DIGEST_BYTES).digest() for image in images]
