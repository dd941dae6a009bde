"""An uploaded picture in the models' size."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from deconv_ae.data.decoding import decode

CROPPED, WHOLE = "cropped", "whole"
FITS = (CROPPED, WHOLE)
LARGEST_SIDE = 512
"""What is kept of an upload, so that it can be brought to size in another way."""


def receive(file: Path, channels: int) -> Image.Image:
    """The picture in a file, made smaller where it is large, in grey (1 channel) or colour (3).

    The file is deleted: pictures of people who try the page are not kept longer than they have it open.

    Raises:
        PictureError: if it is no picture.
    """
    try:
        picture = Image.fromarray(np.squeeze(decode(file, channels), axis=-1 if channels == 1 else ()))
    finally:
        file.unlink(missing_ok=True)
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return picture


def fitted(picture: Image.Image, fit: str, shape: Sequence[int]) -> np.ndarray:
    """A picture as `(height, width, channels)` uint8: "cropped" to its middle, or "whole", with black beside it.

    >>> fitted(Image.new("L", (20, 40), 255), "whole", (4, 4, 1))[..., 0].tolist()[0]
    [0, 255, 255, 0]
    """
    height, width, _ = shape
    brought = ImageOps.pad if fit == WHOLE else ImageOps.fit
    return np.asarray(brought(picture, (width, height))).reshape(shape)
