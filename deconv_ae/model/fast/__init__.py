"""A stage computed faster than by its layers, where it pays: functions of tensors, kernels and switches."""

from deconv_ae.model.fast.blocks import decode, encode

MOST_FILTERS = 3
"""Milliseconds a training step by blocks and by layers, oneDNN on, two busy cores with AVX2, digits of 28x28: 1 filter,
windows of 4, batches of 1,024: 52 and 325; 3 filters, windows of 4, 256: 37 and 42; 1 filter, windows of 2, 256: 17 and
24. The two stages of 5 and 1 filters, 256: 81 and 54, so they run their layers."""


def pays(channels: int, filters: int) -> bool:
    """Whether blocks are faster than the layers: a convolution of one channel to few leaves a vector mostly idle.

    >>> pays(1, 3), pays(1, 5), pays(3, 16)
    (True, False, False)
    """
    return channels == 1 and filters <= MOST_FILTERS


__all__ = ["decode", "encode", "pays"]
