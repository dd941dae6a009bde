"""Pooling and unpooling: this project's layers, the obvious code, and PyTorch's layers."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from benchmarks import obvious_code
from benchmarks.measurement import ContestantProcesses
from benchmarks.report import Options, Report, cell, speedup
from benchmarks.torch_models import import_torch
from deconv_ae.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D

OURS, OBVIOUS = "deconv_ae", "obvious code"


@dataclass(frozen=True)
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


def obvious_layers(case: Case) -> Callable[[tf.Tensor], tf.Tensor]:
    def run(images: tf.Tensor) -> tf.Tensor:
        pooled, argmax = obvious_code.max_pool(images, case.pool_size, case.strides)
        return obvious_code.max_unpool(pooled, argmax, case.shape[1:3])

    return run


def our_layers(case: Case) -> Callable[[tf.Tensor], tf.Tensor]:
    pooling, unpooling = (layer(case.pool_size, case.strides) for layer in (MaxPoolingWithArgmax2D, MaxUnpooling2D))

    def run(images: tf.Tensor) -> tf.Tensor:
        return unpooling(*pooling(images), like=images)

    return run


class Step:
    """Unpooled images and, with backward, the gradient of their weighted sum into the images."""

    def __init__(self, run: Callable[[], tuple[Any, ...]]) -> None:
        self._run = run

    def check(self) -> Sequence[np.ndarray]:
        return [np.asarray(array) for array in self._run()]

    def time(self) -> Sequence[float]:
        began = time.perf_counter()
        self._run()
        return [1e3 * (time.perf_counter() - began)]


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

    return Step(lambda: step(images, weights))


def torch_step(channels_last: bool, case: Case, backward: bool) -> Step:
    torch = import_torch()
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

    return Step(step)


CONTESTANTS: dict[str, Callable[..., Step]] = {
    OURS: partial(tensorflow_step, our_layers, False),
    f"{OURS}, XLA": partial(tensorflow_step, our_layers, True),
    OBVIOUS: partial(tensorflow_step, obvious_layers, False),
    "PyTorch": partial(torch_step, False),
    "PyTorch channels_last": partial(torch_step, True),
}


def check_agreement(case: Case, results: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Raises RuntimeError unless all contestants compute the same.

    Where windows overlap only the places of the values are the same for all: the obvious code adds the values that
    meet at a position, and PyTorch sends the gradient to every window that lost.
    """
    overlap = case.strides < case.pool_size
    for name, arrays in results.items():
        for array, expected in zip(arrays, results[OURS]):
            if overlap:
                array, expected = results[name][0] != 0, results[OURS][0] != 0
            if not np.array_equal(array, expected):
                raise RuntimeError(f"{case}: {name} does not compute what {OURS} does")


def run(options: Options, cases: Sequence[Case] = tuple(CASES)) -> Report:
    with ContestantProcesses.of(CONTESTANTS) as processes:
        return _run(processes, options, cases)


def _run(processes: ContestantProcesses, options: Options, cases: Sequence[Case]) -> Report:
    rows, figures = [], []
    left_out: list[str] = []
    for case in cases:
        for backward in (False, True):
            makers = {name: partial(make, case, backward) for name, make in CONTESTANTS.items()}
            measured, left_out = processes.compare(
                makers, options.rounds, options.memory, partial(check_agreement, case)
            )
            work = "forward + backward" if backward else "forward"
            for name, measurement in measured.items():
                figures.append({"case": asdict(case), "work": work, "contestant": name, **asdict(measurement)})
            logging.info("%s, %s: %s", case, work, {name: str(m.timing) for name, m in measured.items()})
            cells = [cell(measured.get(name)) for name in CONTESTANTS]
            rows.append([str(case), work, *cells, speedup(measured, OURS, [OBVIOUS])])
    return Report(
        title=options.title("Pooling and unpooling: milliseconds a batch (quartiles)"),
        columns=["images", "work", *CONTESTANTS, f"{OURS} to {OBVIOUS}"],
        rows=rows,
        notes=[
            f"Median of {options.rounds} rounds in which all contestants take turns, each in a process of its own. "
            "They were checked to agree.",
            *left_out,
            *options.memory_note("the work needs on top of its inputs"),
        ],
        measurements=figures,
    )
