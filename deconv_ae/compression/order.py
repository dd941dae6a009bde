"""The order in which a plane's values are coded: coarse to fine, so that all but the first have neighbours all around.

A plane is one channel of a tensor. First comes its corner; then the grid is halved again and again: the middles of its
squares, whose neighbours are the four corners, then the middles of the edges, whose neighbours are two corners and two
middles. Each of these passes is one operation on arrays, which a raster scan, value by value, would not be.
"""

import functools
from dataclasses import dataclass

import numpy as np

FAR, DIAGONAL, DIRECT = range(3)
KINDS = 3
NEIGHBOURS = 4


@dataclass(frozen=True, eq=False)
class Pass:
    """Values that are coded together.

    Attributes:
        places: their numbers in the flattened plane, `(n,)`.
        neighbours: those of the four values around each that came before, `(n, 4)`; past the plane's end for none.
        kind: DIRECT neighbours touch by an edge, DIAGONAL by a corner, FAR lie further away.
    """

    places: np.ndarray
    neighbours: np.ndarray
    kind: int


@functools.lru_cache(maxsize=64)
def passes(height: int, width: int) -> tuple[Pass, ...]:
    """Every place of a plane once.

    >>> [each.places.tolist() for each in passes(2, 3)]
    [[0], [2], [4], [1, 3, 5]]
    """
    step = 1
    while step < max(height, width):
        step *= 2
    found = [_pass(height, width, [(0, 0)], step, step, FAR)]
    while step > 1:
        double, step = step, step // 2
        near = step == 1
        found.append(_pass(height, width, [(step, step)], double, step, DIAGONAL if near else FAR, diagonal=True))
        found.append(_pass(height, width, [(0, step), (step, 0)], double, step, DIRECT if near else FAR))
    return tuple(each for each in found if len(each.places))


@functools.lru_cache(maxsize=64)
def whole(places: int) -> Pass:
    """All places of a plane at once, without a look at neighbours."""
    return Pass(np.arange(places), np.full((places, NEIGHBOURS), places), FAR)


def _pass(
    height: int, width: int, starts: list[tuple[int, int]], apart: int, reach: int, kind: int, diagonal: bool = False
) -> Pass:
    grids = [np.mgrid[top:height:apart, left:width:apart].reshape(2, -1) for top, left in starts]
    rows, columns = np.concatenate(grids, axis=1)
    ways = [(-1, -1), (-1, 1), (1, -1), (1, 1)] if diagonal else [(-1, 0), (1, 0), (0, -1), (0, 1)]
    around = []
    for down, right in ways:
        row, column = rows + down * reach, columns + right * reach
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        # A pass over the corner alone has nothing before it.
        inside &= apart > reach
        around.append(np.where(inside, row * width + column, height * width))
    return Pass(rows * width + columns, np.stack(around, axis=-1), kind)
