"""Computes a stage faster than its layers do, where that pays: functions of tensors, kernels and switches."""

from deconv_ae.model.fast.blocks import decode, encode

MOST_FILTERS, MOST_COMPILED, FEWEST_COMPILED_PIXELS = 3, 5, 30_000_000
"""Measured, see "When blocks pay" in scripts/experiments/NOTES.md. The pixels are those of an epoch's images."""


def pays(channels: int, filters: int, compiled: bool = False) -> bool:
    """Whether blocks are faster than layers: with few channels, a convolution leaves most of a vector register idle.

    >>> pays(1, 3), pays(1, 5), pays(1, 5, compiled=True), pays(3, 16, compiled=True)
    (True, False, True, False)
    """
    return max(channels, filters) <= MOST_COMPILED if compiled else channels == 1 and filters <= MOST_FILTERS


def is_faster_compiled(pixels: int) -> bool:
    """Whether XLA saves more time than it takes to compile, with this many pixels in an epoch's images."""
    return pixels >= FEWEST_COMPILED_PIXELS


__all__ = ["decode", "encode", "is_faster_compiled", "pays"]
