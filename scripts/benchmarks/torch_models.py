"""The autoencoders in PyTorch, which is an optional peer."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.measurement import Unavailable


@dataclass(frozen=True)
class PlainArchitecture:
    """The fields of an `Architecture`. Unpickling an Architecture itself would import TensorFlow."""

    filters: tuple[int, ...]
    pool_sizes: tuple[tuple[int, int], ...]
    kernel_size: tuple[int, int]
    deconvolution_bias: bool
    averages: int


def import_torch() -> Any:
    """Imports torch, with one thread per processor; raises Unavailable if it is not installed."""
    try:
        import torch
    except ImportError as error:
        raise Unavailable("PyTorch is not installed, see the extra [benchmark]") from error
    torch.set_num_threads(os.cpu_count() or 1)
    return torch


def autoencoder(architecture: PlainArchitecture, channels: int, weights: Sequence[np.ndarray]) -> Any:
    """Makes a torch.nn.Module for `(N, channels, height, width)` images, with `encode` and `decode`.

    Args:
        architecture: the autoencoder's architecture, with `averages=0` and square kernels of odd length.
        channels: the images' channels.
        weights: the Keras model's weights, in its order.

    Returns:
        The module.
    """
    torch = import_torch()
    nn: Any = torch.nn
    padding = architecture.kernel_size[0] // 2
    sizes = list(zip((channels, *architecture.filters), architecture.filters))

    # PyTorch is optional, so mypy takes nn.Module for Any, and rejects it as a base class.
    class Autoencoder(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            size, bias = architecture.kernel_size, architecture.deconvolution_bias
            self.convolutions = nn.ModuleList(nn.Conv2d(outer, inner, size, padding=padding) for outer, inner in sizes)
            self.deconvolutions = nn.ModuleList(
                nn.ConvTranspose2d(inner, outer, size, padding=padding, bias=bias) for outer, inner in sizes
            )

        def encode(self, images):
            pooled, switches = images, []
            for convolution, pool_size in zip(self.convolutions, architecture.pool_sizes):
                pooled = torch.relu(convolution(pooled))
                size = pooled.shape[2:]
                pooled, indices = nn.functional.max_pool2d(pooled, pool_size, return_indices=True)
                switches.append((indices, size))
            return pooled, switches

        def decode(self, code, switches):
            stages = list(zip(self.deconvolutions, architecture.pool_sizes, switches))
            for deconvolution, pool_size, (indices, size) in reversed(stages):
                code = deconvolution(nn.functional.max_unpool2d(code, indices, pool_size, output_size=size))
            return code

        def forward(self, images):
            return self.decode(*self.encode(images))

    module = Autoencoder()
    _set_weights(torch, module, architecture, list(weights))
    return module


def _set_weights(torch: Any, module: Any, architecture: PlainArchitecture, weights: list[np.ndarray]) -> None:
    """Copies Keras's weights to a module.

    Convolutions come first, from the outermost in, then transposed convolutions, from the innermost out.
    """
    for convolution in module.convolutions:
        # (height, width, in, out) to PyTorch's (out, in, height, width).
        _assign(torch, convolution.weight, weights.pop(0).transpose(3, 2, 0, 1))
        _assign(torch, convolution.bias, weights.pop(0))
    for deconvolution in reversed(module.deconvolutions):
        # (height, width, out, in) to PyTorch's (in, out, height, width).
        _assign(torch, deconvolution.weight, weights.pop(0).transpose(3, 2, 0, 1))
        if architecture.deconvolution_bias:
            _assign(torch, deconvolution.bias, weights.pop(0))


def _assign(torch: Any, parameter: Any, value: np.ndarray) -> None:
    parameter.data = torch.from_numpy(np.ascontiguousarray(value))


def compiled(module: Any, channels: int) -> Any:
    """Compiles a module by torch.compile; raises Unavailable if that fails, for example without a C++ compiler."""
    torch = import_torch()
    # Compile for one shape. By default, a second shape makes torch.compile compile for any shape, which is slower and,
    # in PyTorch 2.13, fails for unpooling.
    function = torch.compile(module, dynamic=False)
    try:
        function(torch.zeros((2, channels, 32, 32)))
    except Exception as error:
        raise Unavailable(f"torch.compile failed ({type(error).__name__})") from error
    torch._dynamo.reset()
    return torch.compile(module, dynamic=False)
