"""Cuts pictures of any size into tiles of a model's size, and joins them again."""

import math

import numpy as np

from deconv_ae.numbers import Pair


def grid(size: Pair, tile_size: Pair) -> Pair:
    """The numbers of rows and columns of the tiles that cover a picture.

    >>> grid((100, 64), (64, 64))
    (2, 1)
    """
    return math.ceil(size[0] / tile_size[0]), math.ceil(size[1] / tile_size[1])


def cut(picture: np.ndarray, tile_size: Pair) -> np.ndarray:
    """Cuts `(height, width, channels)` into `(tiles, tile height, tile width, channels)`, row by row.

    Beyond the lower and right edges, the last row and column are repeated.
    """
    height, width, channels = picture.shape
    if (height, width) == tile_size:
        return picture[np.newaxis]
    rows, columns = grid((height, width), tile_size)
    tile_height, tile_width = tile_size
    padding = ((0, rows * tile_height - height), (0, columns * tile_width - width), (0, 0))
    padded = np.pad(picture, padding, mode="edge")
    tiles = padded.reshape(rows, tile_height, columns, tile_width, channels).swapaxes(1, 2)
    return tiles.reshape(-1, tile_height, tile_width, channels)


def join(tiles: np.ndarray, size: Pair) -> np.ndarray:
    """Inverts `cut` for a picture of this size.

    >>> picture = np.arange(30).reshape(5, 6, 1)
    >>> np.array_equal(join(cut(picture, (2, 4)), (5, 6)), picture)
    True
    """
    _, height, width, channels = tiles.shape
    rows, columns = grid(size, (height, width))
    joined = tiles.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return joined.reshape(rows * height, columns * width, channels)[: size[0], : size[1]]
