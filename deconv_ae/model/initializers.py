"""Initial weights of this project's own recipes."""

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
    """Kernels that start as small blurred dots, one per filter, in a row along the kernel's diagonal.

    A maximum's position has no gradient, so training stays in the basin where the kernels start. Random kernels may
    start in a bad one. Some random kernels have a sum below zero; then their ReLU returns only zeros on pen strokes
    from the start. The kernels of this initializer start in a basin that is good for pen strokes:

    Dot i is a Gaussian of standard deviation 0.7 pixels and sum 1, centred at `(t, t)` from the kernel's middle,
    `t = shift + linspace(-1, 1, filters)[i]`: a row across the slant of handwriting. A single dot has `t = shift`. A
    convolution's filter is its dot minus the mean of the other dots, if there are others: an edge detector. So the
    filters respond to different parts of a pen stroke. The filter is then divided by the number of channels. A
    transposed convolution's filter is its dot times 0.8, divided by the number of filters. Normal noise is added. Only
    the noise depends on the seed.

    Args:
        noise: a weight's noise has the standard deviation `noise / sqrt(n)`, for n weights in the sum for one output
            value.
        shift: pixels by which the row of dots moves down and to the right.
        transposed: whether the kernel is a transposed convolution's, which sums over its last axis.
        seed: the noise's seed; None gives every kernel different noise.

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
            mean_of_others = (bumps.sum(axis=-1, keepdims=True) - bumps) / (filters - 1)
            bumps = bumps - mean_of_others
        summed_channels = filters if self.transposed else channels
        kernel = np.broadcast_to(bumps[:, :, None, :] / summed_channels, tuple(shape))
        deviation = self.noise / math.sqrt(height * width * summed_channels)
        noise = keras.initializers.RandomNormal(stddev=deviation, seed=self.seed)(shape, dtype=dtype)
        return noise + keras.ops.cast(kernel, noise.dtype)

    def _bumps(self, height: int, width: int, filters: int) -> np.ndarray:
        """Returns one dot per filter, `(height, width, filters)`. The weights of each dot add up to 1."""
        rows = np.arange(height)[:, None, None] - (height - 1) / 2
        columns = np.arange(width)[None, :, None] - (width - 1) / 2
        offsets = np.linspace(-1, 1, filters) * ROW_LENGTH / 2 if filters > 1 else np.zeros(1)
        centres = offsets + self.shift
        bumps = np.exp(-((rows - centres) ** 2 + (columns - centres) ** 2) / (2 * BUMP_WIDTH**2))
        return bumps / bumps.sum(axis=(0, 1))

    def get_config(self) -> dict[str, Any]:
        return {"noise": self.noise, "shift": self.shift, "transposed": self.transposed, "seed": self.seed}
