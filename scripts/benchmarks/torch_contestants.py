"""Contestants in PyTorch, whose processes never import TensorFlow.

PyTorch's wheel brings triton, and the libraries of triton and TensorFlow crash in one process. With Keras's default
backend, deconv_ae imports TensorFlow, so the contestants get its architectures and weights as plain data.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import torch_models
from benchmarks.calls import Calls, Step
from benchmarks.measurement import Unavailable
from benchmarks.torch_models import PlainArchitecture


@dataclass(frozen=True)
class Variant:
    """A way to run a model. No variant is the fastest everywhere.

    Attributes:
        compiled: whether to use torch.compile.
        channels_last: whether images and weights are in `torch.channels_last`.
    """

    compiled: bool
    channels_last: bool


VARIANTS = {
    "PyTorch": Variant(compiled=False, channels_last=False),
    "PyTorch channels_last": Variant(compiled=False, channels_last=True),
    "PyTorch compiled": Variant(compiled=True, channels_last=False),
    "PyTorch compiled, channels_last": Variant(compiled=True, channels_last=True),
}
"""In each row of the tables, "the best PyTorch" is the fastest of these variants."""


@dataclass(frozen=True)
class Model:
    """An autoencoder: its architecture, its images' number of channels, and its weights in the Keras model's order."""

    architecture: PlainArchitecture
    channels: int
    weights: Sequence[np.ndarray]

    def build(self, variant: Variant) -> Any:
        torch = torch_models.import_torch()
        module = torch_models.autoencoder(self.architecture, self.channels, self.weights)
        return module.to(memory_format=torch.channels_last if variant.channels_last else torch.contiguous_format)


class Pictures:
    """Turns `(N, height, width, channels)` images into `(N, channels, height, width)` tensors in a variant's layout.

    With one channel, both layouts are the same in memory; PyTorch tells them apart by the strides alone.
    """

    def __init__(self, images: np.ndarray, variant: Variant) -> None:
        self._channels_last = variant.channels_last
        # NumPy's copy is contiguous, whatever the strides of the original.
        array = images if variant.channels_last else images.transpose(0, 3, 1, 2).copy()
        self._images: Any = torch_models.import_torch().from_numpy(array)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: Any) -> Any:
        images = self._images[index]
        return images.permute(0, 3, 1, 2) if self._channels_last else images


def layers_step(
    channels_last: bool, arrays: Sequence[np.ndarray], pool_size: int, strides: int, backward: bool
) -> Step:
    """A step that pools and unpools. `arrays` holds the images, and a weight for each value of the restored images."""
    torch = torch_models.import_torch()
    dimensions = arrays[0].ndim - 2
    if channels_last and dimensions == 1:
        raise Unavailable("PyTorch has no channels_last layout in one dimension")
    layouts = {False: torch.contiguous_format, True: torch.channels_last if dimensions == 2 else torch.channels_last_3d}
    images, weights = (
        torch.from_numpy(array).movedim(-1, 1).contiguous(memory_format=layouts[channels_last]) for array in arrays
    )
    pooling = getattr(torch.nn, f"MaxPool{dimensions}d")(pool_size, strides, return_indices=True)
    unpooling = getattr(torch.nn, f"MaxUnpool{dimensions}d")(pool_size, strides)

    def step():
        leaf = images.detach().requires_grad_(backward)
        pooled, indices = pooling(leaf)
        restored = unpooling(pooled, indices, output_size=leaf.shape)
        if not backward:
            return (restored.movedim(1, -1),)
        restored.backward(weights)
        return restored.detach().movedim(1, -1), leaf.grad.movedim(1, -1)

    return Step(step)


def inference(variant: Variant, model: Model, signature: str, scaled: np.ndarray) -> Calls:
    """Returns `Calls` of a PyTorch function that computes what the SavedModel's signature of this name computes."""
    torch: Any = torch_models.import_torch()
    module = model.build(variant).eval()
    images = Pictures(scaled, variant)[:]
    with torch.inference_mode():
        encoded = module.encode(images)
    functions = {
        "serving_default": lambda: (module(images),),
        # This function returns the switches, too, because torch.compile would not compute unused results.
        "encode": lambda: module.encode(images),
        "decode": lambda: (module.decode(*encoded),),
    }
    if signature not in functions:
        raise Unavailable(f"PyTorch's contestants have no function for the signature {signature}")
    function = functions[signature]
    if variant.compiled:
        torch_models.compiled(module, model.channels)  # Raises Unavailable if torch.compile does not work here.
        function = torch.compile(function, dynamic=False)

    def call() -> np.ndarray:
        with torch.inference_mode():
            return function()[0].permute(0, 2, 3, 1).numpy()

    return Calls(call, len(scaled))


class TorchTraining:
    """The usual training loop over shuffled images, which stay uint8 until they are batched."""

    def __init__(
        self,
        variant: Variant,
        model: Model,
        optimizer: Mapping[str, float],
        pixels: np.ndarray,
        scale: float,
        batch_size: int,
        checked_steps: int,
    ) -> None:
        self._torch: Any = torch_models.import_torch()
        module = model.build(variant)
        self._optimizer = self._torch.optim.Adam(module.parameters(), **optimizer)
        self._module = torch_models.compiled(module, model.channels) if variant.compiled else module
        self._scale, self._batch_size, self._checked_steps = scale, batch_size, checked_steps
        self._images = Pictures(pixels, variant)

    def _batch(self, indices: Any) -> Any:
        return self._images[indices].float() * self._scale

    def _step(self, batch: Any) -> Any:
        self._optimizer.zero_grad()
        loss = ((self._module(batch) - batch) ** 2).mean((1, 2, 3)).sqrt().mean()
        loss.backward()
        self._optimizer.step()
        return loss

    def check(self) -> Sequence[np.ndarray]:
        steps = self._torch.arange(self._checked_steps * self._batch_size).split(self._batch_size)
        return [self._step(self._batch(indices)).detach().numpy() for indices in steps]

    def time(self) -> Sequence[float]:
        ends = []
        for indices in self._torch.randperm(len(self._images)).split(self._batch_size):
            # Read the loss with .item(), as any loop that shows the loss does.
            self._step(self._batch(indices)).item()
            ends.append(time.perf_counter())
        return [1e3 * (ends[-1] - ends[0]) / (len(ends) - 1)]
