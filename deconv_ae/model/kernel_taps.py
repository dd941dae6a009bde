"""Which tap of a kernel connects which pixels: the arithmetic of rearranged kernels."""

import numpy as np


def taps_between(inputs: int, outputs: int, length: int, offset: int = 0) -> np.ndarray:
    """Selects, along one axis, the tap of a convolution's kernel that leads from each input to each output.

    To rearrange a kernel for images whose pixels are grouped into blocks, multiply the kernel by one such array for its
    rows and by another for its columns, and sum over the taps.

    Args:
        inputs: number of input pixels.
        outputs: number of output pixels.
        length: number of the kernel's taps.
        offset: the input pixel that the first tap multiplies for the first output.

    Returns:
        `(inputs, outputs, length)` bool.

    >>> taps = taps_between(inputs=4, outputs=2, length=3)
    >>> [tuple(map(int, index)) for index in np.argwhere(taps[:, 1])]  # (input, tap) of the second output.
    [(1, 0), (2, 1), (3, 2)]
    """
    tap = np.arange(inputs)[:, None] - np.arange(outputs) - offset
    return tap[:, :, None] == np.arange(length)
