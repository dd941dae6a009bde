"""What else makes small files of pictures: JPEG, WebP, PNG, and a thumbnail enlarged again."""

import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from deconv_ae.compression.pixels import png

JPEG, WEBP, PNG, THUMBNAIL = "JPEG", "WebP", "PNG", "thumbnail"
QUALITIES = (5, 20, 50, 80, 95)
DIVISORS = (8, 6, 4, 3, 2)
"""Of a picture's sides, which a thumbnail has."""

Rival = Callable[[np.ndarray], tuple[bytes, np.ndarray]]
"""A picture to its file and what is seen of that."""


def rivals() -> dict[str, Sequence[Rival]]:
    """Each by its name, at its rates; PNG loses nothing, and has one."""
    return {
        JPEG: [_by_pillow("JPEG", quality=quality, optimize=True) for quality in QUALITIES],
        WEBP: [_by_pillow("WEBP", quality=quality, method=6) for quality in QUALITIES],
        THUMBNAIL: [_thumbnail(divisor) for divisor in DIVISORS],
        PNG: [_by_pillow("PNG", optimize=True)],
    }


def _by_pillow(name: str, **settings: int) -> Rival:
    def compress(picture: np.ndarray) -> tuple[bytes, np.ndarray]:
        file = io.BytesIO()
        _image(picture).save(file, name, **settings)
        return file.getvalue(), _pixels(Image.open(file), picture)

    return compress


def _thumbnail(divisor: int) -> Rival:
    """Made smaller, kept as a PNG, enlarged by splines."""

    def compress(picture: np.ndarray) -> tuple[bytes, np.ndarray]:
        height, width, _ = picture.shape
        smaller = (max(1, round(width / divisor)), max(1, round(height / divisor)))
        small = _image(picture).resize(smaller, Image.Resampling.LANCZOS)
        enlarged = small.resize((width, height), Image.Resampling.BICUBIC)
        return png(np.asarray(small).reshape(*small.size[::-1], -1)), _pixels(enlarged, picture)

    return compress


def _image(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)


def _pixels(image: Image.Image, like: np.ndarray) -> np.ndarray:
    return np.asarray(image.convert("L" if like.shape[-1] == 1 else "RGB")).reshape(like.shape)
