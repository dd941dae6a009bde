"""The contestants in PyTorch, whose processes never import TensorFlow.

PyTorch's wheel brings triton, and triton's library and TensorFlow's crash in one process. All that is needed of
deconv_ae, which imports TensorFlow, comes as plain data.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import torch_models
from benchmarks.calls import Calls, Step
from benchmarks.measurement import Unavailable
from benchmarks.torch_models import Layout


@dataclass(frozen=True)
class Model:
    """An autoencoder of images of some channels, and its weights in the Keras model's order."""

    layout: Layout
    channels: int
    weights: Sequence[np.ndarray]

    def build(self) -> Any:
        return torch_models.autoencoder(self.layout, self.channels, self.weights)


def layers_step(
    channels_last: bool, arrays: Sequence[np.ndarray], pool_size: int, strides: int, backward: bool
) -> Step:
    """Pooling and unpooling of `arrays`, images and weights."""
    torch = torch_models.import_torch()
    dimensions = arrays[0].ndim - 2
    if channels_last and dimensions == 1:
        raise Unavailable("PyTorch has that layout for images and volumes, not in one dimension, where its rows have -")
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


def inference(compile_it: bool, model: Model, work: str, scaled: np.ndarray) -> Calls:
    """`work` is what is called: encode, decode or both."""
    torch: Any = torch_models.import_torch()
    module = model.build().eval()
    images = torch.from_numpy(scaled).permute(0, 3, 1, 2).contiguous()
    with torch.inference_mode():
        encoded = module.encode(images)
    functions = {
        # With the switches, which torch.compile would leave out if nobody asked for them.
        "encode": lambda: module.encode(images),
        "decode": lambda: (module.decode(*encoded),),
    }
    function = functions.get(work, lambda: (module(images),))
    if compile_it:
        torch_models.compiled(module, model.channels)  # Unavailable, if it is.
        function = torch.compile(function, dynamic=False)

    def call() -> np.ndarray:
        with torch.inference_mode():
            return function()[0].permute(0, 2, 3, 1).numpy()

    return Calls(call, len(scaled))


class TorchTraining:
    """The usual loop over shuffled images, which stay uint8 until they are batched."""

    def __init__(
        self,
        compile_it: bool,
        model: Model,
        optimizer: Mapping[str, float],
        pixels: np.ndarray,
        scale: float,
        batch_size: int,
        checked_steps: int,
    ) -> None:
        self._torch: Any = torch_models.import_torch()
        module = model.build()
        self._optimizer = self._torch.optim.Adam(module.parameters(), **optimizer)
        self._module = torch_models.compiled(module, model.channels) if compile_it else module
        self._scale, self._batch_size, self._checked_steps = scale, batch_size, checked_steps
        self._images = self._torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()

    def _step(self, batch: Any) -> Any:
        self._optimizer.zero_grad()
        loss = ((self._module(batch) - batch) ** 2).mean((1, 2, 3)).sqrt().mean()
        loss.backward()
        self._optimizer.step()
        return loss

    def check(self) -> Sequence[np.ndarray]:
        batches = self._images.split(self._batch_size)[: self._checked_steps]
        return [self._step(batch.float() * self._scale).detach().numpy() for batch in batches]

    def time(self) -> Sequence[float]:
        ends = []
        for indices in self._torch.randperm(len(self._images)).split(self._batch_size):
            # .item(), as whoever shows the loss has to.
            self._step(self._images[indices].float() * self._scale).item()
            ends.append(time.perf_counter())
        return [1e3 * (ends[-1] - ends[0]) / (len(ends) - 1)]
