"""A stage computed faster than by its layers, where it pays: functions of tensors, kernels and switches."""

from deconv_ae.model.fast.blocks import decode, encode

MOST_FILTERS, MOST_COMPILED = 3, 5
"""Milliseconds of a training step of digits on two busy cores, with oneDNN and AVX2:

| filters | windows | batch | layers | blocks | blocks, XLA |
| --- | --- | --- | --- | --- | --- |
| 1 | 4x4 | 256 | 15.7 | 11.4 | 7.2 |
| 3 | 4x4 | 256 | 22.0 | 20.0 | 10.4 |
| 1 | 2x2 | 256 | 19.0 | 20.1 | 10.7 |
| 5, 1 | 2x2, 2x2 | 64 | 13.1 | 16.8 | 8.0 |
"""

FEWEST_COMPILED_PIXELS = 30_000_000
"""Pixels in an epoch. XLA compiles a step in 0.4 to 0.7 s, and another step for a smaller last batch. With 60,000
digits, XLA saves 1 to 2 s per epoch."""


def pays(channels: int, filters: int, compiled: bool = False) -> bool:
    """Whether blocks are faster than layers.

    A convolution from few channels to few channels leaves most of a vector register idle.

    >>> pays(1, 3), pays(1, 5), pays(1, 5, compiled=True), pays(3, 16, compiled=True)
    (True, False, True, False)
    """
    return max(channels, filters) <= MOST_COMPILED if compiled else channels == 1 and filters <= MOST_FILTERS


def is_faster_compiled(pixels: int) -> bool:
    """Whether XLA saves more time than it takes to compile, with this many pixels in an epoch's images."""
    return pixels >= FEWEST_COMPILED_PIXELS


__all__ = ["decode", "encode", "is_faster_compiled", "pays"]
