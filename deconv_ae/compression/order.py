"""The order in which a plane's values are coded: coarse to fine, so that most values have known neighbours all around.

A plane is one channel of a tensor. The upper left corner comes first. Then every two passes halve the spacing of the
grid. The first of the two visits the centres of the grid's squares, whose neighbours are the four corners. The second
visits the midpoints of the edges, whose neighbours are two corners and two centres. Each pass is one operation on
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
        neighbours: `(n, 4)`, the indices of each value's four neighbours, all coded in earlier passes. The index after
            the plane's last place stands for a missing neighbour.
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
    found = [_grid_pass(height, width, [(0, 0)], step, step, FAR)]
    while step > 1:
        spacing, step = step, step // 2
        is_finest = step == 1
        found.append(
            _grid_pass(height, width, [(step, step)], spacing, step, DIAGONAL if is_finest else FAR, diagonal=True)
        )
        found.append(_grid_pass(height, width, [(0, step), (step, 0)], spacing, step, DIRECT if is_finest else FAR))
    return tuple(each for each in found if len(each.places))


@functools.lru_cache(maxsize=64)
def single_pass(place_count: int) -> Pass:
    """One pass over a whole plane, without neighbours."""
    return Pass(np.arange(place_count), np.full((place_count, NEIGHBOURS), place_count), FAR)


def _grid_pass(
    height: int,
    width: int,
    corners: list[tuple[int, int]],
    spacing: int,
    distance: int,
    kind: int,
    diagonal: bool = False,
) -> Pass:
    """Makes a pass over the grids with these upper left corners.

    Neighbours are `distance` rows or columns away; if `diagonal`, `distance` rows and columns.
    """
    grids = [np.mgrid[top:height:spacing, left:width:spacing].reshape(2, -1) for top, left in corners]
    rows, columns = np.concatenate(grids, axis=1)
    directions = [(-1, -1), (-1, 1), (1, -1), (1, 1)] if diagonal else [(-1, 0), (1, 0), (0, -1), (0, 1)]
    neighbours = []
    for row_step, column_step in directions:
        neighbour_rows, neighbour_columns = rows + row_step * distance, columns + column_step * distance
        has_neighbour = (neighbour_rows >= 0) & (neighbour_rows < height)
        has_neighbour &= (neighbour_columns >= 0) & (neighbour_columns < width)
        # The first pass visits only the plane's corner, which has no coded neighbours yet. It is the only pass whose
        # spacing equals its distance.
        has_neighbour &= spacing > distance
        neighbours.append(np.where(has_neighbour, neighbour_rows * width + neighbour_columns, height * width))
    return Pass(rows * width + columns, np.stack(neighbours, axis=-1), kind)
