"""What else makes small files of pictures: JPEG, WebP, PNG, and a thumbnail enlarged again."""

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
"""Of a picture's sides, which a thumbnail has."""
SETTINGS: dict[str, dict[str, int]] = {JPEG: {"optimize": True}, WEBP: {"method": 6}}
"""Pillow's, for the smallest files of a quality."""

MOST_PICTURES = 100
"""On which the quality is looked for that makes files of a size."""

HIGHEST_QUALITY = 95
"""Above that JPEG's files grow, and hardly their quality: so Pillow says."""

WEBP_HEADER = 30
"""Bytes before a lossy file's pixels: RIFF's, the chunk's and the frame's."""

Codec = Callable[[np.ndarray], tuple[bytes, np.ndarray]]
"""A picture to its file and what is seen of that."""


@dataclass(frozen=True)
class FileOfSize:
    """Files that take about as much as something else.

    Attributes:
        name: of the format.
        quality: the highest whose files are not larger; the lowest where all are.
        bits, payload_bits: of a file on average, and without its header.
        rmse: of the pictures in them, as a viewer shows them.
        pictures: how many were made.
    """

    name: str
    quality: int
    bits: float
    payload_bits: float
    rmse: float
    pictures: int

    def __str__(self) -> str:
        return (
            f"{self.rmse:.6f}, quality {self.quality}: {self.bits:,.0f} bits, {self.payload_bits:,.0f} without header, "
            f"over {self.pictures:,} test images"
        )


def files_of_size(images: np.ndarray, bits: float) -> tuple[FileOfSize, ...]:
    """JPEG and WebP files of at most so many bits on average, where they can be that small.

    Args:
        images: `(N, height, width, channels)` uint8; 100 from all over are looked at, none of other than 1 or 3
            channels.
    """
    if images.shape[-1] not in (1, 3):
        return ()
    looked_at = evenly_spaced(images, MOST_PICTURES)
    found = []
    for name in SETTINGS:
        made = functools.cache(functools.partial(_made, looked_at, name))
        low, high = 1, HIGHEST_QUALITY
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (low, middle - 1) if made(middle).bits > bits else (middle, high)
        found.append(made(low))
    return tuple(found)


def _made(images: np.ndarray, name: str, quality: int) -> FileOfSize:
    files, seen = zip(*map(_by_pillow(name, quality=quality, **SETTINGS[name]), images))
    rmses = per_image_rmse(scale(images), scale(np.stack(seen)))
    bits, headers = (8 * sum(lengths) / len(images) for lengths in (map(len, files), map(_header, files)))
    return FileOfSize(name, quality, bits, bits - headers, float(np.mean(rmses)), len(images))


def _header(file: bytes) -> int:
    """Bytes before the pixels: of JPEG up to the end of its start of scan, whose length stands after its marker."""
    scan = file.find(b"\xff\xda") + 2
    return scan + int.from_bytes(file[scan : scan + 2]) if file.startswith(b"\xff\xd8") else WEBP_HEADER


def codecs() -> dict[str, Sequence[Codec]]:
    """Each by its name, at its rates; PNG loses nothing, and has one."""
    return {
        **{
            name: [_by_pillow(name, quality=quality, **settings) for quality in QUALITIES]
            for name, settings in SETTINGS.items()
        },
        THUMBNAIL: [_thumbnail(divisor) for divisor in DIVISORS],
        PNG: [_by_pillow(PNG, optimize=True)],
    }


def _by_pillow(name: str, **settings: int) -> Codec:
    def compress(picture: np.ndarray) -> tuple[bytes, np.ndarray]:
        file = io.BytesIO()
        _image(picture).save(file, name, **settings)
        return file.getvalue(), _pixels(Image.open(file), picture)

    return compress


def _thumbnail(divisor: int) -> Codec:
    """Made smaller, kept as a PNG, enlarged by splines."""

    def compress(picture: np.ndarray) -> tuple[bytes, np.ndarray]:
        height, width, _ = picture.shape
        smaller = (max(1, round(width / divisor)), max(1, round(height / divisor)))
        small = _image(picture).resize(smaller, Image.Resampling.LANCZOS)
        enlarged = small.resize((width, height), Image.Resampling.BICUBIC)
        file = io.BytesIO()
        small.save(file, "PNG")
        return file.getvalue(), _pixels(enlarged, picture)

    return compress


def _image(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)


def _pixels(image: Image.Image, like: np.ndarray) -> np.ndarray:
    return np.asarray(image.convert("L" if like.shape[-1] == 1 else "RGB")).reshape(like.shape)
