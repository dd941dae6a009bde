"""Computes a stage faster than its layers do, if it has few channels: functions of tensors, kernels and switches."""

from deconv_ae.model.fast.blocks import SMALLEST_BLOCK
from deconv_ae.model.fast.blocks import decode as decode
from deconv_ae.model.fast.blocks import encode as encode

MOST_CHANNELS, MOST_COMPILED_CHANNELS, MOST_COMPILED_BESIDE_ONE, FEWEST_COMPILED_PIXELS = 3, 5, 32, 30_000_000
"""Measured, see "When blocks pay" in scripts/experiments/NOTES.md. The pixels are those of an epoch's images."""


def blocks_are_faster(channels: int, filters: int, pool_size: tuple[int, int], compiled: bool = False) -> bool:
    """Whether a stage computes faster on blocks of pixels than with its layers. It does with few channels and filters.

    >>> [blocks_are_faster(1, filters, (4, 4), compiled) for filters, compiled in ((3, False), (32, False), (32, True))]
    [True, False, True]
    """
    sides_divide_block, larger_count = not any(SMALLEST_BLOCK % side for side in pool_size), max(channels, filters)
    if compiled and sides_divide_block:
        return larger_count <= (MOST_COMPILED_BESIDE_ONE if 1 in (channels, filters) else MOST_COMPILED_CHANNELS)
    return larger_count <= (MOST_CHANNELS if compiled or sides_divide_block else 1) and (compiled or channels == 1)


def is_faster_compiled(pixels: int) -> bool:
    """Whether XLA saves more time than it takes to compile, with this many pixels in an epoch's images."""
    return pixels >= FEWEST_COMPILED_PIXELS
