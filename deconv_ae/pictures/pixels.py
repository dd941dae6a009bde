"""Floats as pixels: a code's channels as tiles of one picture, and brightness as bytes."""

import math

import numpy as np

GAP_BRIGHTNESS = 0.5


def tile_columns(channels: int) -> int:
    """The number of tiles in a row of a code's picture."""
    return math.ceil(math.sqrt(channels))


def tile_corner(channel: int, code_shape: tuple[int, ...]) -> tuple[int, int]:
    """The upper left pixel of a channel's tile in the code's picture: (row, column). Tiles are a pixel apart.

    >>> tile_corner(2, (7, 7, 3))
    (8, 0)
    """
    height, width, channels = code_shape
    row, column = divmod(channel, tile_columns(channels))
    return row * (height + 1), column * (width + 1)


def code_picture(code: np.ndarray, gap: float | None = None) -> np.ndarray:
    """Makes one picture of a code. Several channels become tiles of a grid, a pixel apart.

    Args:
        code: the code of one image, `(h, w, c)`.
        gap: the value between tiles and in place of missing tiles; None stands for half of the largest value.

    Returns:
        `(height, width, 1)`.

    >>> code_picture(np.zeros((7, 7, 3))).shape
    (15, 15, 1)
    """
    height, width, channels = code.shape
    if channels == 1:
        return code
    bottom, _ = tile_corner(channels - 1, code.shape)
    picture_width = tile_columns(channels) * (width + 1) - 1
    picture = np.full(
        (bottom + height, picture_width, 1), GAP_BRIGHTNESS * code.max() if gap is None else gap, code.dtype
    )
    for channel in range(channels):
        top, left = tile_corner(channel, code.shape)
        picture[top : top + height, left : left + width, 0] = code[..., channel]
    return picture


def code_brightness(code: np.ndarray, averages: int) -> np.ndarray:
    """Scales each channel of codes by its largest absolute value over all images.

    Channels have no common scale, and a faint channel may carry much information. In a channel of maxima, 0 is black.
    In a channel of averages, which may be negative, 0 is grey.

    Args:
        code: `(N, h, w, c)`.
        averages: the number of averages, which are the last channels.

    Returns:
        Brightness from 0 to 1, of the codes' shape.

    >>> code_brightness(np.float32([[[[0.5, -2.0]], [[0.25, 1.0]]]]), averages=1).tolist()
    [[[[1.0, 0.0]], [[0.5, 0.75]]]]
    """
    largest = np.abs(code).max(axis=(0, 1, 2))
    scaled = code / np.where(largest > 0, largest, 1)  # A silent channel is 0 everywhere.
    is_average = np.arange(code.shape[-1]) >= code.shape[-1] - averages
    return np.where(is_average, (1 + scaled) / 2, scaled)


def brightest_to_255(picture: np.ndarray) -> np.ndarray:
    """Scales a picture to uint8: negative values become 0, the largest value 255.

    A picture of one channel becomes a `(height, width)` array.
    """
    clipped = np.maximum(picture, 0)
    brightest = clipped.max()
    if brightest > 0:
        clipped = clipped / brightest
    return np.squeeze(np.round(clipped * 255).astype(np.uint8), axis=-1 if picture.shape[-1] == 1 else ())


def to_uint8(picture: np.ndarray) -> np.ndarray:
    """Scales a picture to uint8, from 0 as black to 1 as white.

    Keeps only the first channel of a picture with 2 channels or more than 3.
    """
    if picture.shape[-1] not in (1, 3):
        picture = picture[..., :1]
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
