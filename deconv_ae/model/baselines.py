"""Baselines that need no model, to judge a model by."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from deconv_ae.numbers import Pair
from deconv_ae.records import Measure


@dataclass(frozen=True)
class Baselines:
    """The test RMSE of baselines that need no model.

    Attributes:
        mean_image_rmse: the RMSE if the mean training image takes the place of every reconstruction.
        black_rmse: the RMSE if a black image takes the place of every reconstruction.
        thumbnail_rmse: the RMSE of test images that were scaled down to at most as many numbers as a code has, and then
            enlarged again; None if no code was given.
    """

    mean_image_rmse: Measure
    black_rmse: Measure
    thumbnail_rmse: Measure | None = None


def thumbnail_size(image_shape: Sequence[int], max_values: float) -> Pair:
    """Returns (height, width) of the largest thumbnail with at most `max_values` values: height x width x channels.

    The thumbnail has the picture's aspect ratio, with sides rounded down to whole pixels. The thumbnail is 1x1 at
    least, and never larger than the picture.

    >>> thumbnail_size((64, 64, 3), 2048), thumbnail_size((28, 28, 1), 49), thumbnail_size((8, 8, 3), 1e6)
    ((26, 26), (7, 7), (8, 8))
    """
    height, width, _ = image_shape
    factor = min(1.0, math.sqrt(max_values / math.prod(image_shape)))
    # Without adding 1e-9, a rounding error could make a side one pixel shorter.
    return max(1, math.floor(height * factor + 1e-9)), max(1, math.floor(width * factor + 1e-9))
