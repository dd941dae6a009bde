"""Measures training by model.fit, beside plain Keras, PyTorch, and the convolutions alone."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import keras
import numpy as np
from absl import logging

from benchmarks import keras_models
from benchmarks.keras_models import IMAGE_SHAPE, Shape, compiled, initial_weights, losses, pictures
from benchmarks.measurement import Comparison, Contestant, ContestantProcesses, Failed, Measurement, Timing
from benchmarks.report import Options, Report, cells, failures, images_per_second, notes, speedup, throughput_figure
from benchmarks.torch_contestants import VARIANTS, Model, TorchTraining, Variant
from benchmarks.torch_models import PlainArchitecture
from deconv_ae.data import scale, steps_per_epoch, training_batches
from deconv_ae.data.batches import PIXEL_SCALE
from deconv_ae.model.architecture import Architecture
from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.model.presets import PRESETS
from deconv_ae.training import steps_per_execution

BATCH_SIZES = (64, 256, 1024)
OURS, PLAIN = "deconv_ae", "plain Keras"
CONVOLUTIONS, PLAIN_CONVOLUTIONS = "deconv_ae's convolutions alone", "Keras's convolutions alone"
CHECKED_STEPS = 3
MNIST_IMAGES = 60_000
# The steps in a call of `time` on pictures larger than digits. Contestants that train do not time the first step.
PICTURE_STEPS = 3
TURN_SECONDS = 1.0
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Case:
    """A model and its training batches."""

    name: str
    architecture: Architecture
    image_shape: Shape
    batch_size: int

    @property
    def has_digits(self) -> bool:
        return self.image_shape == IMAGE_SHAPE

    @property
    def execution_steps(self) -> int:
        """The steps of one execution: as many as in training on MNIST, but 1 for larger pictures.

        A step on larger pictures takes so long that the return to Python costs almost nothing.
        """
        return steps_per_execution(steps_per_epoch(MNIST_IMAGES, self.batch_size)) if self.has_digits else 1

    @property
    def timed_steps(self) -> int:
        """The number of steps in a call of `time`, a multiple of the steps of one execution.

        On digits, such calls take about the same time for every batch size.
        """
        if not self.has_digits:
            return PICTURE_STEPS
        wanted_steps = max(8, min(80, 8192 // self.batch_size))
        return max(2, wanted_steps // self.execution_steps) * self.execution_steps

    def weights(self) -> list[np.ndarray]:
        return initial_weights(self.architecture, self.image_shape)

    def images(self) -> np.ndarray:
        return pictures(self.batch_size * self.timed_steps, self.image_shape)


def preset_cases(presets: Sequence[str] = tuple(PRESETS), batch_sizes: Sequence[int] = BATCH_SIZES) -> list[Case]:
    return [Case(name, PRESETS[name].architecture, IMAGE_SHAPE, size) for name in presets for size in batch_sizes]


PICTURE_CASES = [
    Case("64x64x3, filters 16 and 8", Architecture((16, 8), (2, 2)), (64, 64, 3), 64),
    Case("256x256x3, filters 32, 16 and 8", Architecture((32, 16, 8), (2, 2, 2)), (256, 256, 3), 16),
    # The first and last stages of a SegNet.
    Case("128x128x3, filters 32 and 64 of 3x3", Architecture((32, 64), (2, 2), kernel_size=3), (128, 128, 3), 8),
]


class _Clock(keras.callbacks.Callback):
    """Times from the end of the first execution to the end of the last, without fit's own start and end."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.ends: list[tuple[int, float]] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.ends.append((batch, time.perf_counter()))

    @property
    def milliseconds_a_step(self) -> float:
        (first_batch, began), (last_batch, ended) = self.ends[0], self.ends[-1]
        return 1e3 * (ended - began) / (last_batch - first_batch)


class KerasTraining:
    """Trains a Keras model. The contestant's function `fit` prepares the images and calls `model.fit`."""

    def __init__(self, model: keras.Model, case: Case, fit: Callable[..., None]) -> None:
        self._model = compiled(model)
        self._model.set_weights(case.weights())
        self._batch_size = case.batch_size
        self._images = case.images()
        self._fit = partial(fit, self._model, self._images, case.batch_size)

    def check(self) -> Sequence[np.ndarray]:
        return losses(self._model, checked_batches(self._images, self._batch_size))

    def time(self) -> Sequence[float]:
        clock = _Clock()
        self._fit(clock)
        return [clock.milliseconds_a_step]


def checked_batches(images: np.ndarray, batch_size: int) -> list[np.ndarray]:
    return [scale(images[step * batch_size : (step + 1) * batch_size]) for step in range(CHECKED_STEPS)]


def our_training(case: Case) -> KerasTraining:
    model = Autoencoder(case.architecture, case.image_shape)

    def fit(model: keras.Model, images: np.ndarray, batch_size: int, clock: _Clock) -> None:
        model.steps_per_execution = case.execution_steps
        batches = training_batches(images, batch_size, seed=0)
        steps = len(images) // batch_size
        model.fit(batches, steps_per_epoch=steps, callbacks=[clock], shuffle=False, verbose=0)

    training = KerasTraining(model, case, fit)
    # Compile with XLA where training on MNIST does. `jit_compile` must be set before the first step.
    model.jit_compile = case.has_digits and model.is_faster_compiled(MNIST_IMAGES)
    return training


def plain_training(case: Case) -> KerasTraining:
    model = keras_models.plain_autoencoder(case.architecture, case.image_shape)

    def fit(model: keras.Model, images: np.ndarray, batch_size: int, clock: _Clock) -> None:
        scaled = scale(images)
        model.fit(scaled, scaled, batch_size=batch_size, callbacks=[clock], verbose=0)

    return KerasTraining(model, case, fit)


def torch_training(variant: Variant, case: Case) -> Callable[[], Contestant]:
    model = Model(PlainArchitecture(**asdict(case.architecture)), case.image_shape[-1], case.weights())
    optimizer = {"lr": keras_models.LEARNING_RATE, "eps": keras_models.EPSILON}
    return partial(TorchTraining, variant, model, optimizer, case.images(), PIXEL_SCALE, case.batch_size, CHECKED_STEPS)


class Convolutions:
    """A step's convolutions without loss, optimizer, pooling and input."""

    def __init__(self, plain: bool, case: Case) -> None:
        self._step = keras_models.convolutions_alone(case.architecture, case.image_shape, case.batch_size, plain)
        self._steps = case.timed_steps

    def check(self) -> Sequence[np.ndarray]:
        self._step()
        return []

    def time(self) -> Sequence[float]:
        began = time.perf_counter()
        for _ in range(self._steps):
            self._step()
        return [1e3 * (time.perf_counter() - began) / self._steps]


# Each function runs in the main process, and returns a picklable function that makes the contestant in its own process.
CONTESTANTS: dict[str, Callable[[Case], Callable[[], Contestant]]] = {
    OURS: partial(partial, our_training),
    PLAIN: partial(partial, plain_training),
    **{name: partial(torch_training, variant) for name, variant in VARIANTS.items()},
    CONVOLUTIONS: partial(partial, Convolutions, False),
    PLAIN_CONVOLUTIONS: partial(partial, Convolutions, True),
}


def check_losses(results: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Raises Failed if the first losses of a contestant differ from ours by more than TOLERANCE."""
    for name, values in results.items():
        if len(values) and not np.allclose(values, results[OURS], rtol=0, atol=TOLERANCE):
            raise Failed(f"the losses of {name} are {values}, those of {OURS} {results[OURS]}")


def run(options: Options, cases: Sequence[Case] = (*preset_cases(), *PICTURE_CASES)) -> Report:
    with ContestantProcesses.of(CONTESTANTS) as processes:
        return _run(processes, options, cases)


def _run(processes: ContestantProcesses, options: Options, cases: Sequence[Case]) -> Report:
    rows, records = [], []
    comparisons: list[Comparison] = []
    for case in cases:
        makers = {name: make(case) for name, make in CONTESTANTS.items()}
        row = f"{case.name}, batch {case.batch_size},"
        comparisons.append(processes.compare(row, makers, options.rounds, options.memory, check_losses, TURN_SECONDS))
        measured = comparisons[-1].measured
        for name, measurement in measured.items():
            record = {"model": case.name, "batch_size": case.batch_size, "contestant": name, **asdict(measurement)}
            record["images_per_second"] = images_per_second(measurement.timing.median, case.batch_size)
            records.append(record)
        logging.info("%s, batch %d: %s", case.name, case.batch_size, {n: str(m.timing) for n, m in measured.items()})
        throughputs = cells(comparisons[-1], CONTESTANTS, partial(_throughput, case.batch_size))
        ratios = [speedup(measured, [OURS], [PLAIN]), speedup(measured, [OURS], VARIANTS)]
        rows.append([case.name, str(case.batch_size), *throughputs, *ratios, _ratio_to_convolutions(measured)])
    preset_records = [record for record in records if record["model"] in PRESETS]
    return Report(
        title=options.title("Training: images a second (quartiles)"),
        columns=[
            "model",
            "batch",
            *CONTESTANTS,
            f"{OURS}'s speed / {PLAIN}'s",
            f"{OURS}'s speed / the best PyTorch's",
            "a step's time / its convolutions' time",
        ],
        rows=rows,
        notes=[
            f"Median of {options.rounds} rounds. In each round, a contestant trains for at least {TURN_SECONDS:g} s. "
            f"The first {CHECKED_STEPS} losses of all contestants were checked to agree to {TOLERANCE}.",
            f"{PLAIN} is the same model, made of Keras's own layers, max_pool_with_argmax and scatter_nd. The best "
            "PyTorch is the fastest of PyTorch's four forms in the row.",
            *notes(comparisons),
            f'"{CONVOLUTIONS}" are the convolutions of {OURS}\'s layers in a step, forward and backward, without loss, '
            "optimizer, pooling and input. The last column divides the time of a whole step by theirs. Where "
            f"{OURS} computes a stage on blocks of pixels instead of with its layers, the step has other convolutions, "
            "so it can take less time.",
            *options.memory_note("libraries, images and model"),
        ],
        measurements=records,
        figure=throughput_figure(preset_records, "model", "training: images a second") if preset_records else None,
        failures=failures(comparisons),
    )


def _throughput(batch_size: int, timing: Timing) -> str:
    slow, middle, fast = (images_per_second(ms, batch_size) for ms in (timing.upper, timing.median, timing.lower))
    return f"{middle:,.0f} ({slow:,.0f}-{fast:,.0f})"


def _ratio_to_convolutions(measured: Mapping[str, Measurement]) -> str:
    if CONVOLUTIONS not in measured:
        return "-"
    return f"{measured[OURS].timing.median / measured[CONVOLUTIONS].timing.median:.2f}"
