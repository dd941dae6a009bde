"""Ways to store pictures in few bytes without a model: JPEG, WebP, PNG, and thumbnails that are enlarged again."""

import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from deconv_ae.data import scale
from deconv_ae.data.dataset import evenly_spaced
from deconv_ae.model.objective import per_image_rmse

JPEG, WEBP, PNG, THUMBNAIL = "JPEG", "WebP", "PNG", "thumbnail"
QUALITIES = (5, 20, 50, 80, 95)
DIVISORS = (8, 6, 4, 3, 2)
"""A thumbnail's sides are the picture's, divided by these."""

SETTINGS: dict[str, dict[str, int]] = {JPEG: {"optimize": True}, WEBP: {"method": 6}}
"""Pillow's settings for the smallest files of a quality."""

MOST_PICTURES = 100
"""The most pictures on which `files_of_size` searches for the quality."""

LOWEST_QUALITY, HIGHEST_QUALITY = 1, 100
"""Pillow advises against JPEG above 95, because files grow and hardly improve. Here the size is given: a model's code
and switches often take more bits than JPEG at 95, and JPEG's best picture of that size is the fair comparison."""

WEBP_HEADER = 30
"""Bytes before the pixels of a lossy WebP file: the headers of RIFF, chunk and frame."""

Codec = Callable[[np.ndarray], tuple[bytes, np.ndarray]]
"""Maps a picture to its file and to the picture that a viewer shows."""


@dataclass(frozen=True)
class FileOfSize:
    """Files of one format, as large as a given size allows.

    Attributes:
        name: the format's name.
        quality: the highest quality whose files are on average not larger than the given size; the lowest if
            there is none.
        bits, payload_bits: a file's size on average, with its header and without.
        rmse: the mean RMSE of the files' pictures.
        pictures: the number of pictures that were stored.
        is_larger: whether even the lowest quality's files are on average larger than the given size.
    """

    name: str
    quality: int
    bits: float
    payload_bits: float
    rmse: float
    pictures: int
    is_larger: bool = False

    def __str__(self) -> str:
        limit = ""
        if self.is_larger:
            limit = ", the lowest, yet larger than code and switches"
        elif self.quality == HIGHEST_QUALITY:
            limit = ", the highest, in fewer bits than code and switches"
        return (
            f"{self.rmse:.6f}, quality {self.quality}{limit}: {self.bits:,.0f} bits, {self.payload_bits:,.0f} without "
            f"header, over {self.pictures:,} images"
        )


def files_of_size(images: np.ndarray, bits: float) -> tuple[FileOfSize, ...]:
    """Finds the best JPEG and WebP files whose average size is at most a given size.

    Args:
        images: `(N, height, width, channels)` uint8, of which at most 100 are used, evenly spaced.
        bits: the largest average size of a file, in bits.

    Returns:
        One result for each format; no results unless the images have 1 or 3 channels. If even files of the lowest
        quality are larger than `bits`, the result is for the lowest quality.
    """
    if images.shape[-1] not in (1, 3):
        return ()
    sample = evenly_spaced(images, MOST_PICTURES)
    results = []
    for name in SETTINGS:
        measure = functools.cache(functools.partial(_measure_quality, sample, name, bits))
        low, high = LOWEST_QUALITY, HIGHEST_QUALITY
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (low, middle - 1) if measure(middle).is_larger else (middle, high)
        results.append(measure(low))
    return tuple(results)


def _measure_quality(images: np.ndarray, name: str, most_bits: float, quality: int) -> FileOfSize:
    """Compresses images at one quality, and measures the files and their pictures."""
    files, decoded = zip(*map(_pillow_codec(name, quality=quality, **SETTINGS[name]), images))
    rmses = per_image_rmse(scale(images), scale(np.stack(decoded)))
    bits, header_bits = (8 * sum(lengths) / len(images) for lengths in (map(len, files), map(_header_length, files)))
    return FileOfSize(
        name, quality, bits, bits - header_bits, float(np.mean(rmses)), len(images), is_larger=bits > most_bits
    )


def _header_length(file: bytes) -> int:
    """The number of bytes before the pixels."""
    # The last header of a JPEG is the start of scan: two bytes that mark it, then the length of the rest of the header.
    scan = file.find(b"\xff\xda") + 2
    return scan + int.from_bytes(file[scan : scan + 2]) if file.startswith(b"\xff\xd8") else WEBP_HEADER


def codecs() -> dict[str, Sequence[Codec]]:
    """Lists of codecs by name: one codec for each of `QUALITIES` or `DIVISORS`. PNG is lossless and has only one."""
    return {
        **{
            name: [_pillow_codec(name, quality=quality, **settings) for quality in QUALITIES]
            for name, settings in SETTINGS.items()
        },
        THUMBNAIL: [_thumbnail_codec(divisor) for divisor in DIVISORS],
        PNG: [_pillow_codec(PNG, optimize=True)],
    }


def _pillow_codec(name: str, **settings: int) -> Codec:
    def compress(picture: np.ndarray) -> tuple[bytes, np.ndarray]:
        file = io.BytesIO()
        _image(picture).save(file, name, **settings)
        return file.getvalue(), _pixels(Image.open(file), picture)

    return compress


def _thumbnail_codec(divisor: int) -> Codec:
    """A codec that shrinks a picture, stores it as PNG and enlarges it bicubically."""

    def compress(picture: np.ndarray) -> tuple[bytes, np.ndarray]:
        height, width, _ = picture.shape
        small_size = (max(1, round(width / divisor)), max(1, round(height / divisor)))
        small = _image(picture).resize(small_size, Image.Resampling.LANCZOS)
        enlarged = small.resize((width, height), Image.Resampling.BICUBIC)
        file = io.BytesIO()
        small.save(file, "PNG")
        return file.getvalue(), _pixels(enlarged, picture)

    return compress


def _image(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)


def _pixels(image: Image.Image, like: np.ndarray) -> np.ndarray:
    return np.asarray(image.convert("L" if like.shape[-1] == 1 else "RGB")).reshape(like.shape)
