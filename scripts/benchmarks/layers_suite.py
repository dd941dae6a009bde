"""Measures pooling and unpooling: this project's layers on every backend, plain TensorFlow, and PyTorch's layers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import tensorflow as tf
from absl import logging

from benchmarks import backend_contestants, obvious_code, torch_contestants
from benchmarks.calls import Step
from benchmarks.measurement import Comparison, ContestantProcesses, Failed, Unavailable
from benchmarks.report import Options, Report, cells, failures, notes, speedup

OURS, OBVIOUS = "deconv_ae", "plain TensorFlow"


@dataclass(frozen=True)
class Case:
    """A batch of images and the pooling's geometry."""

    shape: tuple[int, ...]
    pool_size: int
    strides: int

    def __str__(self) -> str:
        batch, *sizes = self.shape
        stride = "" if self.strides == self.pool_size else f" stride {self.strides}"
        return f"{batch}x {'x'.join(map(str, sizes))}, pool {self.pool_size}{stride}"

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns images, and one weight in the loss for each value of the restored images.

        Every process gets equal arrays. Half of the images' values are 0, as after a ReLU.
        """
        rng = np.random.default_rng(0)
        images = np.maximum(rng.standard_normal(self.shape, "float32"), 0)
        return images, rng.standard_normal(self.shape, "float32")


CASES = [
    Case((1024, 28, 28, 1), 4, 4),
    Case((1024, 28, 28, 5), 2, 2),
    Case((1024, 14, 14, 1), 2, 2),
    Case((64, 64, 64, 32), 2, 2),
    Case((64, 64, 64, 32), 3, 2),
    Case((4096, 1024, 8), 4, 4),
    Case((4, 32, 64, 64, 8), 2, 2),
]


def obvious_layers(case: Case) -> Callable[[tf.Tensor], tf.Tensor]:
    if len(case.shape) != 4:
        raise Unavailable("TensorFlow pools with argmax in two dimensions only")

    def run(images: tf.Tensor) -> tf.Tensor:
        pooled, argmax = obvious_code.max_pool(images, case.pool_size, case.strides)
        return obvious_code.max_unpool(pooled, argmax, case.shape[1:3])

    return run


def our_layers(case: Case) -> Callable[[tf.Tensor], tf.Tensor]:
    return backend_contestants.our_layers(len(case.shape) - 2, case.pool_size, case.strides)


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


def torch_step(channels_last: bool, case: Case, backward: bool) -> Callable[[], Step]:
    return partial(torch_contestants.layers_step, channels_last, case.arrays(), case.pool_size, case.strides, backward)


def backend_step(backend: str, case: Case, backward: bool) -> Callable[[], Step]:
    return partial(backend_contestants.STEPS[backend], case.arrays(), case.pool_size, case.strides, backward)


# Each function runs in the main process, and returns a picklable function that makes the contestant in its own process.
CONTESTANTS: dict[str, Callable[[Case, bool], Callable[[], Step]]] = {
    OURS: partial(partial, tensorflow_step, our_layers, False),
    f"{OURS}, XLA": partial(partial, tensorflow_step, our_layers, True),
    OBVIOUS: partial(partial, tensorflow_step, obvious_layers, False),
    f"{OURS} on JAX": partial(backend_step, "jax"),
    f"{OURS} on PyTorch": partial(backend_step, "torch"),
    "PyTorch": partial(torch_step, False),
    "PyTorch channels_last": partial(torch_step, True),
}


def check_agreement(case: Case, results: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Raises Failed unless all contestants' results are equal.

    With overlapping windows, the results may differ, because several windows can choose the same position. The
    contestant "plain TensorFlow" adds the values of these windows, the others keep one value. PyTorch passes the
    gradient to all of these windows, not only to the one whose value was kept. So only the positions at which the
    restored images are not 0 are compared.
    """
    is_overlapping = case.strides < case.pool_size
    for name, arrays in results.items():
        for array, expected in zip(arrays, results[OURS]):
            if is_overlapping:
                array, expected = results[name][0] != 0, results[OURS][0] != 0
            if not np.array_equal(array, expected):
                raise Failed(f"{name} does not compute what {OURS} does")


def run(options: Options, cases: Sequence[Case] = tuple(CASES)) -> Report:
    with ContestantProcesses.of(CONTESTANTS) as processes:
        return run_in(processes, options, cases)


def run_in(processes: ContestantProcesses, options: Options, cases: Sequence[Case]) -> Report:
    rows, records = [], []
    comparisons: list[Comparison] = []
    for case in cases:
        for backward in (False, True):
            makers = {name: make(case, backward) for name, make in CONTESTANTS.items()}
            work = "forward + backward" if backward else "forward"
            check = partial(check_agreement, case)
            comparison = processes.compare(f"{case}, {work},", makers, options.rounds, options.memory, check)
            comparisons.append(comparison)
            measured = comparison.measured
            for name, measurement in measured.items():
                records.append({"case": asdict(case), "work": work, "contestant": name, **asdict(measurement)})
            logging.info("%s, %s: %s", case, work, {name: str(m.timing) for name, m in measured.items()})
            rows.append([str(case), work, *cells(comparison, CONTESTANTS), speedup(measured, [OURS], [OBVIOUS])])
    return Report(
        title=options.title("Pooling and unpooling: milliseconds a batch (quartiles)"),
        columns=["images", "work", *CONTESTANTS, f"{OURS}'s speed / {OBVIOUS}'s"],
        rows=rows,
        notes=[
            f"Median of {options.rounds} rounds. All results were checked to agree.",
            f"{OBVIOUS} pools by max_pool_with_argmax and unpools by scatter_nd, as TensorFlow Addons does.",
            *notes(comparisons),
            *options.memory_note("inputs"),
        ],
        measurements=records,
        failures=failures(comparisons),
    )
