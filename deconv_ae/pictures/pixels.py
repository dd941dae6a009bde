"""Floats as pixels: a code of many channels as one picture of tiles, and brightness as bytes."""

import math

import numpy as np

GAP_BRIGHTNESS = 0.5


def tile_columns(channels: int) -> int:
    """How many tiles stand beside each other in the picture of a code."""
    return math.ceil(math.sqrt(channels))


def tile_corner(channel: int, code_shape: tuple[int, ...]) -> tuple[int, int]:
    """Row and column at which a channel's tile begins in the code's picture: tiles are a pixel apart.

    >>> tile_corner(2, (7, 7, 3))
    (8, 0)
    """
    height, width, channels = code_shape
    row, column = divmod(channel, tile_columns(channels))
    return row * (height + 1), column * (width + 1)


def code_picture(code: np.ndarray, gap: float | None = None) -> np.ndarray:
    """`(h, w, c)` as one `(height, width, 1)` picture; several channels as tiles of a grid, a pixel apart.

    Between tiles and where one is missing stands `gap`, by default half of the brightest value.

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


def code_brightness(code: np.ndarray) -> np.ndarray:
    """`(N, h, w, c)` codes, each channel as bright as can be over all images: channels have no scale of their own, and
    a faint one may carry much. Of one that has values below 0, grey is 0.

    >>> code_brightness(np.float32([[[[0.5, -2.0]], [[0.25, 1.0]]]])).tolist()
    [[[[1.0, 0.0]], [[0.5, 0.75]]]]
    """
    largest = np.abs(code).max(axis=(0, 1, 2))
    scaled = code / np.where(largest > 0, largest, 1)  # A silent channel is all zeros.
    return np.where(code.min(axis=(0, 1, 2)) < 0, (1 + scaled) / 2, scaled)


def brightest_to_255(picture: np.ndarray) -> np.ndarray:
    """Clipped at 0 and scaled so that the maximum is 255; `(height, width)` where there is one channel."""
    clipped = np.maximum(picture, 0)
    brightest = clipped.max()
    if brightest > 0:
        clipped = clipped / brightest
    return np.squeeze(np.round(clipped * 255).astype(np.uint8), axis=-1 if picture.shape[-1] == 1 else ())


def black_to_white(picture: np.ndarray) -> np.ndarray:
    """0 as black and 1 as white, uint8; of a picture that is neither grey nor in colour the first channel."""
    if picture.shape[-1] not in (1, 3):
        picture = picture[..., :1]
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
