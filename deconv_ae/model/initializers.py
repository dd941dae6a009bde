"""The initial weights of this project's own recipe."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

BUMP_WIDTH = 0.7
ROW_LENGTH = 2.0
DECONVOLUTION_GAIN = 0.8


@keras.saving.register_keras_serializable(package="deconv_ae")
class RowOfBumps(keras.Initializer):
    """Kernels that start as small blurred dots, one for each filter, in a row across the kernel's diagonal.

    Where a maximum lies has no gradient, so training stays in the basin in which the kernels start; random kernels
    start in bad ones, or with a sum below zero, which is a ReLU that dies on the first stroke. This is a start in a
    good one:

    Filter i is a Gaussian of standard deviation 0.7 pixels and sum 1, centred at `(t, t)` from the kernel's middle,
    `t = shift + linspace(-1, 1, filters)[i]`: a row across the slant of handwriting. A convolution subtracts from
    each dot the mean of the others, which makes its filters edge detectors that divide the strokes between them, and
    divides by the channels that it sums. A transposed convolution takes 0.8 of each dot, divided by its filters.
    Normal noise is added, and it alone depends on the seed.

    Args:
        noise: standard deviation of the noise, times the square root of the weights that are summed into one value.
        shift: pixels that the row is moved by, down and to the right.
        transposed: for a transposed convolution, whose kernel has the channels that it sums last.
        seed: of the noise; drawn anew for every kernel if None.

    >>> kernel = RowOfBumps(noise=0.0)((5, 5, 1, 3))
    >>> tuple(kernel.shape), round(abs(float(keras.ops.sum(kernel))), 4)
    ((5, 5, 1, 3), 0.0)
    """

    def __init__(
        self, noise: float = 0.05, shift: float = 0.0, transposed: bool = False, seed: int | None = None
    ) -> None:
        self.noise = noise
        self.shift = shift
        self.transposed = transposed
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        height, width, channels, filters = shape
        bumps = self._bumps(height, width, filters)
        if self.transposed:
            bumps = bumps * DECONVOLUTION_GAIN
        elif filters > 1:
            others = (bumps.sum(axis=-1, keepdims=True) - bumps) / (filters - 1)
            bumps = bumps - others
        summed = filters if self.transposed else channels
        kernel = np.broadcast_to(bumps[:, :, None, :] / summed, tuple(shape))
        deviation = self.noise / math.sqrt(height * width * summed)
        noise = keras.initializers.RandomNormal(stddev=deviation, seed=self.seed)(shape, dtype=dtype)
        return noise + keras.ops.cast(kernel, noise.dtype)

    def _bumps(self, height: int, width: int, filters: int) -> np.ndarray:
        """`(height, width, filters)`, each with sum 1."""
        rows = np.arange(height)[:, None, None] - (height - 1) / 2
        columns = np.arange(width)[None, :, None] - (width - 1) / 2
        places = np.linspace(-1, 1, filters) * ROW_LENGTH / 2 if filters > 1 else np.zeros(1)
        centres = places + self.shift
        bumps = np.exp(-((rows - centres) ** 2 + (columns - centres) ** 2) / (2 * BUMP_WIDTH**2))
        return bumps / bumps.sum(axis=(0, 1))

    def get_config(self) -> dict[str, Any]:
        return {"noise": self.noise, "shift": self.shift, "transposed": self.transposed, "seed": self.seed}
