"""Which tap of a kernel connects which pixels: the arithmetic of rearranged kernels."""

import numpy as np


def taps_between(inputs: int, outputs: int, length: int, offset: int = 0) -> np.ndarray:
    """Selects, along one axis, the tap of a convolution's kernel that leads from each input to each output.

    A rearranged kernel is the product of the original kernel with this array for each axis.

    Args:
        inputs: number of input pixels.
        outputs: number of output pixels.
        length: number of the kernel's taps.
        offset: the input pixel under the first tap for the first output.

    Returns:
        `(inputs, outputs, length)` bool.

    >>> taps = taps_between(inputs=4, outputs=2, length=3)
    >>> [tuple(map(int, place)) for place in np.argwhere(taps[:, 1])]  # (input, tap) of the second output.
    [(1, 0), (2, 1), (3, 2)]
    """
    tap = np.arange(inputs)[:, None] - np.arange(outputs) - offset
    return tap[:, :, None] == np.arange(length)
