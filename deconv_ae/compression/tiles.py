"""Cuts pictures of any size into tiles of a model's size, and joins them again."""

import math

import numpy as np

from deconv_ae.numbers import Pair


def grid(size: Pair, tile: Pair) -> Pair:
    """The number of tiles that cover a picture, down and right.

    >>> grid((100, 64), (64, 64))
    (2, 1)
    """
    return math.ceil(size[0] / tile[0]), math.ceil(size[1] / tile[1])


def cut(picture: np.ndarray, tile: Pair) -> np.ndarray:
    """Cuts `(height, width, channels)` into `(tiles, tile height, tile width, channels)`, row by row.

    Beyond the lower and right edges, the last row and column are repeated.
    """
    height, width, channels = picture.shape
    if (height, width) == tile:
        return picture[np.newaxis]
    down, right = grid((height, width), tile)
    padded = np.pad(picture, ((0, down * tile[0] - height), (0, right * tile[1] - width), (0, 0)), mode="edge")
    return padded.reshape(down, tile[0], right, tile[1], channels).swapaxes(1, 2).reshape(-1, *tile, channels)


def join(tiles: np.ndarray, size: Pair) -> np.ndarray:
    """Inverts `cut` for a picture of this size.

    >>> picture = np.arange(30).reshape(5, 6, 1)
    >>> np.array_equal(join(cut(picture, (2, 4)), (5, 6)), picture)
    True
    """
    _, height, width, channels = tiles.shape
    down, right = grid(size, (height, width))
    joined = tiles.reshape(down, right, height, width, channels).swapaxes(1, 2)
    return joined.reshape(down * height, right * width, channels)[: size[0], : size[1]]
