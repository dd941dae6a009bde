"""Pooling and unpooling: this project's layers, the obvious code, and PyTorch's layers.

The obvious code is what TensorFlow Addons did: tf.nn.max_pool_with_argmax, then tf.scatter_nd.
"""

import dataclasses
import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from deconv_ae.benchmarking.measurement import peak_memory, time_side_by_side
from deconv_ae.benchmarking.report import Options, Report
from deconv_ae.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D

# Returns the unpooled images and, with backward, the gradient of their sum, weighted, into the images.
Step = Callable[[], tuple[Any, ...]]


@dataclasses.dataclass(frozen=True)
class Case:
    """A batch of images and a pooling of them."""

    shape: tuple[int, int, int, int]
    pool_size: int
    strides: int

    def __str__(self) -> str:
        batch, height, width, channels = self.shape
        stride = "" if self.strides == self.pool_size else f" stride {self.strides}"
        return f"{batch}x {height}x{width}x{channels}, pool {self.pool_size}{stride}"

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Images and weights, alike in every process. Half of the images' values are 0, as after a ReLU."""
        rng = np.random.default_rng(0)
        images = np.maximum(rng.standard_normal(self.shape, "float32"), 0)
        return images, rng.standard_normal(self.shape, "float32")


CASES = [
    Case((1024, 28, 28, 1), 4, 4),
    Case((1024, 28, 28, 5), 2, 2),
    Case((1024, 14, 14, 1), 2, 2),
    Case((64, 64, 64, 32), 2, 2),
    Case((64, 64, 64, 32), 3, 2),
]


def obvious_code(case: Case) -> Callable[[tf.Tensor], tf.Tensor]:
    def run(images: tf.Tensor) -> tf.Tensor:
        pooled, argmax = tf.nn.max_pool_with_argmax(
            images, case.pool_size, case.strides, "VALID", include_batch_in_index=True
        )
        shape = tf.shape(images, out_type=tf.int64)
        flat = tf.scatter_nd(tf.reshape(argmax, (-1, 1)), tf.reshape(pooled, (-1,)), tf.reduce_prod(shape)[None])
        return tf.reshape(flat, shape)

    return run


def our_layers(case: Case) -> Callable[[tf.Tensor], tf.Tensor]:
    pooling, unpooling = (layer(case.pool_size, case.strides) for layer in (MaxPoolingWithArgmax2D, MaxUnpooling2D))

    def run(images: tf.Tensor) -> tf.Tensor:
        return unpooling(*pooling(images), like=images)

    return run


def tensorflow_step(build: Callable, jit_compile: bool, case: Case, backward: bool) -> Step:
    images, weights = map(tf.constant, case.arrays())
    run = build(case)

    @tf.function(jit_compile=jit_compile)
    def step(images, weights):
        if not backward:
            return (run(images),)
        with tf.GradientTape() as tape:
            tape.watch(images)
            restored = run(images)
        return restored, tape.gradient(restored, images, weights)

    return lambda: step(images, weights)


def torch_step(channels_last: bool, case: Case, backward: bool) -> Step:
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    images, weights = (
        torch.from_numpy(array).permute(0, 3, 1, 2).contiguous(memory_format=layout) for array in case.arrays()
    )
    pooling = torch.nn.MaxPool2d(case.pool_size, case.strides, return_indices=True)
    unpooling = torch.nn.MaxUnpool2d(case.pool_size, case.strides)

    def step():
        leaf = images.detach().requires_grad_(backward)
        pooled, indices = pooling(leaf)
        restored = unpooling(pooled, indices, output_size=leaf.shape)
        if not backward:
            return (restored.permute(0, 2, 3, 1),)
        restored.backward(weights)
        return restored.detach().permute(0, 2, 3, 1), leaf.grad.permute(0, 2, 3, 1)

    return step


OURS, OBVIOUS = "deconv_ae", "obvious code"


def contestants() -> dict[str, tuple[Callable[..., Step], tuple[Any, ...]]]:
    """By name: how to make the step, and the first arguments for it. Case and backward come after them."""
    named: dict[str, tuple[Callable[..., Step], tuple[Any, ...]]] = {
        OURS: (tensorflow_step, (our_layers, False)),
        f"{OURS}, XLA": (tensorflow_step, (our_layers, True)),
        OBVIOUS: (tensorflow_step, (obvious_code, False)),
    }
    if importlib.util.find_spec("torch"):
        named["PyTorch"] = (torch_step, (False,))
        named["PyTorch channels_last"] = (torch_step, (True,))
    return named


def check_agreement(case: Case, steps: dict[str, Step]) -> None:
    """Raises RuntimeError unless all contestants compute the same.

    Where windows overlap only the places of the values are the same for all: the obvious code adds the values that
    meet at a position, and PyTorch sends the gradient to every window that lost.
    """
    overlap = case.strides < case.pool_size
    results = {name: [np.asarray(array) for array in step()] for name, step in steps.items()}
    for name, arrays in results.items():
        for array, expected in zip(arrays, results[OURS]):
            if overlap:
                array, expected = results[name][0] != 0, results[OURS][0] != 0
            if not np.array_equal(array, expected):
                raise RuntimeError(f"{case}: {name} does not compute what {OURS} does")


def run(options: Options, cases: Sequence[Case] = tuple(CASES)) -> Report:
    named = contestants()
    rows, measurements = [], []
    for case in cases:
        for backward in (False, True):
            steps = {name: make(*first, case, backward) for name, (make, first) in named.items()}
            check_agreement(case, steps)
            timings = time_side_by_side(steps, options.rounds)
            memory = {
                name: peak_memory(make, *first, case, backward) if options.memory and backward else None
                for name, (make, first) in named.items()
            }
            work = "forward + backward" if backward else "forward"
            for name, timing in timings.items():
                measurements.append(
                    {
                        "case": dataclasses.asdict(case),
                        "work": work,
                        "contestant": name,
                        "milliseconds": dataclasses.asdict(timing),
                        "peak_mib": memory[name],
                    }
                )
            logging.info("%s, %s: %s", case, work, {name: str(timing) for name, timing in timings.items()})
            speedup = timings[OBVIOUS].median / timings[OURS].median
            cells = [_cell(timings[name], memory[name]) for name in named]
            rows.append([str(case), work, *cells, f"{speedup:.1f}x"])
    return Report(
        title="Pooling and unpooling: milliseconds a batch (quartiles); MiB at the peak",
        columns=["images", "work", *named, f"{OURS} to {OBVIOUS}"],
        rows=rows,
        notes=[
            f"Median of {options.rounds} rounds in which all contestants take turns. They were checked to agree.",
            *([] if importlib.util.find_spec("torch") else ["PyTorch is left out: it is not installed."]),
            "Peak memory is what a step needs on top of its inputs, in a process of its own.",
        ],
        measurements=measurements,
    )


def _cell(timing: Any, mebibytes: float | None) -> str:
    return str(timing) if mebibytes is None else f"{timing}; {mebibytes:.0f}"
