"""The order in which a plane's values are coded: coarse to fine, so that most values have known neighbours all around.

A plane is one channel of a tensor. The upper left corner comes first. Then two passes halve the grid, again and again.
The first visits the centres of the grid's squares, whose neighbours are the four corners. The second visits the
midpoints of the edges, whose neighbours are two corners and two centres. Each of these passes is one operation on
arrays; a raster scan would go value by value.
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
        places: the values' indices in the flattened plane, `(n,)`.
        neighbours: the indices of each value's four neighbours, which were coded before, `(n, 4)`. The plane's length
            stands for a missing neighbour.
        kind: DIRECT neighbours share an edge, DIAGONAL ones a corner, and FAR ones are further away.
    """

    places: np.ndarray
    neighbours: np.ndarray
    kind: int


@functools.lru_cache(maxsize=64)
def passes(height: int, width: int) -> tuple[Pass, ...]:
    """The passes over a plane, which visit every place once.

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
def single_pass(places: int) -> Pass:
    """One pass over a whole plane, without neighbours."""
    return Pass(np.arange(places), np.full((places, NEIGHBOURS), places), FAR)


def _pass(
    height: int, width: int, starts: list[tuple[int, int]], apart: int, reach: int, kind: int, diagonal: bool = False
) -> Pass:
    grids = [np.mgrid[top:height:apart, left:width:apart].reshape(2, -1) for top, left in starts]
    rows, columns = np.concatenate(grids, axis=1)
    directions = [(-1, -1), (-1, 1), (1, -1), (1, 1)] if diagonal else [(-1, 0), (1, 0), (0, -1), (0, 1)]
    around = []
    for down, right in directions:
        row, column = rows + down * reach, columns + right * reach
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        # The first pass, over the corner alone, has no neighbours.
        inside &= apart > reach
        around.append(np.where(inside, row * width + column, height * width))
    return Pass(rows * width + columns, np.stack(around, axis=-1), kind)
