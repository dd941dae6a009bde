"""Reads picture files as pixels, and writes pixels as PNG."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from deconv_ae.data.decoding import PictureError, decode
from deconv_ae.data.source import Source, parse_colour
from deconv_ae.errors import InputError

VALUES_AT_ONCE = 2**24
"""A group of pictures ends with the picture that brings it to this many values."""


def encode_png(picture: np.ndarray) -> bytes:
    """A PNG file of `(height, width, 1 or 3)` uint8 pixels."""
    content = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(content, "PNG")
    return content.getvalue()


def picture_groups(files: Sequence[Path], channels: int, source: Source) -> Iterator[list[np.ndarray]]:
    """Reads picture files, and yields the pictures in order, in groups that fit into memory.

    Of `source`, only `background`, `load_truncated_images` and `max_pixels` are used.

    Raises InputError if a picture cannot be decoded, or has more pixels than `source.max_pixels`.
    """
    group: list[np.ndarray] = []
    background = parse_colour(source.background)
    for file in files:
        try:
            group.append(decode(file, channels, background, source.load_truncated_images, source.max_pixels))
        except PictureError as error:
            raise InputError(f"pictures: {file} {error}; give pictures") from error
        if sum(picture.size for picture in group) >= VALUES_AT_ONCE:
            yield group
            group = []
    if group:
        yield group
