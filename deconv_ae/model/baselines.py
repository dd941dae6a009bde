"""What needs no model, for a model to be judged by."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from deconv_ae.numbers import Pair
from deconv_ae.records import Measure


@dataclass(frozen=True)
class Baselines:
    """The test RMSE of what needs no model.

    Attributes:
        mean_image_rmse: of the mean training image in the place of every test image: the best that knows no image.
        black_rmse: of black in the place of every test image.
        thumbnail_rmse: of every test image made smaller, to as many numbers as a code has, and enlarged again; None
            where no code was given.
    """

    mean_image_rmse: Measure
    black_rmse: Measure
    thumbnail_rmse: Measure | None = None


def thumbnail_size(image_shape: Sequence[int], numbers: float) -> Pair:
    """(height, width) of the largest thumbnail that has no more numbers, in the picture's aspect ratio, 1x1 at least.

    >>> thumbnail_size((64, 64, 3), 2048), thumbnail_size((28, 28, 1), 49), thumbnail_size((8, 8, 3), 1e6)
    ((26, 26), (7, 7), (8, 8))
    """
    height, width, _ = image_shape
    factor = min(1.0, math.sqrt(numbers / math.prod(image_shape)))
    # What rounding takes away is not a pixel less.
    return max(1, math.floor(height * factor + 1e-9)), max(1, math.floor(width * factor + 1e-9))
