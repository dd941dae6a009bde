"""Decodes an uploaded picture and resizes it for the models. No file is written, and nothing is kept."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

from deconv_ae.data.decoding import FORMATS, PictureError, decode

CROPPED, WHOLE = "cropped", "whole"
FITS = (CROPPED, WHOLE)
MOST_PIXELS = 25_000_000
"""75 MB in colour, of which decoding makes a few copies."""
MOST_JPEG_PIXELS = 100_000_000
"""A large JPEG can be decoded at a half to an eighth of its sides, and then costs little memory."""
LONGEST_SIDE = 20_000
SHORTEST_DRAFT_SIDE = 1024
"""In pixels. A JPEG is decoded at a smaller scale only if both sides stay at least this long."""


def receive(content: bytes, fit: str, shape: Sequence[int]) -> np.ndarray:
    """Decodes an uploaded picture and resizes it.

    Args:
        content: the file's bytes.
        fit: one of `FITS`.
        shape: (height, width, channels) of the result.

    Returns:
        The picture, uint8 of the shape `shape`.

    Raises:
        PictureError: if the upload cannot be decoded as a picture, is an icon, or is too large.
    """
    # `decode` is annotated for paths, but also takes files in memory.
    pixels = decode(_file_to_decode(content), shape[-1])  # type: ignore[arg-type]
    return resize_to_fit(Image.fromarray(np.squeeze(pixels, axis=-1 if shape[-1] == 1 else ())), fit, shape)


def resize_to_fit(picture: Image.Image, fit: str, shape: Sequence[int]) -> np.ndarray:
    """Resizes a picture to `(height, width, channels)` uint8. `fit` is "cropped", or "whole" for black margins.

    >>> resize_to_fit(Image.new("L", (20, 40), 255), "whole", (4, 4, 1))[..., 0].tolist()[0]
    [0, 255, 255, 0]
    """
    height, width, _ = shape
    resize = ImageOps.pad if fit == WHOLE else ImageOps.fit
    return np.asarray(resize(picture, (width, height))).reshape(shape)


def _file_to_decode(content: bytes) -> io.BytesIO:
    """Returns the file, or a smaller copy of a large JPEG. Raises PictureError for icons and for too many pixels."""
    file = io.BytesIO(content)
    Image.init()
    try:
        with Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN]) as picture:
            is_jpeg = picture.format == "JPEG"
            _check_size(picture, MOST_JPEG_PIXELS if is_jpeg else MOST_PIXELS)
            if picture.format == "ICO":  # An icon holds files of sizes that its header does not give.
                raise PictureError("is an icon; save it as PNG")
            if is_jpeg and max(picture.size) > SHORTEST_DRAFT_SIDE:
                picture.draft(None, (SHORTEST_DRAFT_SIDE, SHORTEST_DRAFT_SIDE))
                _check_size(picture, MOST_PIXELS)
                file = io.BytesIO()
                picture.save(file, "TIFF", exif=picture.getexif(), icc_profile=picture.info.get("icc_profile"))
    except PictureError:
        raise
    except Exception:  # The caller then calls `decode`, which raises an error that says what is wrong.
        file = io.BytesIO(content)
    file.seek(0)
    return file


def _check_size(picture: Image.Image, most_pixels: int) -> None:
    width, height = picture.size
    if width * height > most_pixels or max(width, height) > LONGEST_SIDE:
        limits = f"{most_pixels // 10**6} million, and {LONGEST_SIDE:,} a side"
        raise PictureError(f"has {width:,} x {height:,} pixels; the limit is {limits}: make it smaller")
