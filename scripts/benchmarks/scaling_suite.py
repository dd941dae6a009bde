"""Measures how a training step's time and memory grow with the training set and the architecture."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from absl import logging

from benchmarks.keras_models import compiled
from benchmarks.measurement import Comparison, ContestantProcesses
from benchmarks.report import Options, Report, cells, failures, notes
from deconv_ae.data import training_batches
from deconv_ae.model.architecture import Architecture
from deconv_ae.model.autoencoder import Autoencoder

STEPS = 8
# A row whose growth exceeds linear growth by more than this factor is named in a note.
MORE_THAN_LINEAR = 1.25


@dataclass(frozen=True)
class Point:
    """One training set and architecture.

    Attributes:
        grows: the name of the quantity that grows, such as "filters".
        amount: the value of this quantity.
        images: the number of training images, `(length, length, 1)` each.
        length: the images' height and width.
        filters, pool_sizes: the filters and pool sizes of the architecture.
        batch_size: the number of images in a step.
    """

    grows: str
    amount: int
    images: int
    length: int
    filters: tuple[int, ...]
    pool_sizes: tuple[int, ...]
    batch_size: int


POINTS = [
    *(Point("images", n * 60_000, n * 60_000, 28, (1,), (4,), 128) for n in (1, 4, 16)),
    *(Point("pixels", n * n, 128, n, (1,), (4,), 16) for n in (28, 56, 112, 224, 448)),
    *(Point("filters", n, 512, 28, (n,), (2,), 64) for n in (1, 2, 4, 8, 16, 32, 64)),
    *(Point("stages", n, 256, 64, (4,) * n, (2,) * n, 32) for n in (1, 2, 3, 4)),
]


class ScaledTraining:
    """A contestant that trains the autoencoder of one point."""

    def __init__(self, point: Point) -> None:
        rng = np.random.default_rng(0)
        shape = (point.length, point.length, 1)
        images = np.resize(rng.integers(0, 256, (min(point.images, 512), *shape), np.uint8), (point.images, *shape))
        self._model = compiled(Autoencoder(Architecture(point.filters, point.pool_sizes), shape))
        self._batches = iter(training_batches(images, point.batch_size, seed=0))
        self._model.make_train_function()

    def check(self) -> Sequence[np.ndarray]:
        self.time()
        return []

    def time(self) -> Sequence[float]:
        began = time.perf_counter()
        for _ in range(STEPS):
            self._model.train_function(self._batches)
        return [1e3 * (time.perf_counter() - began) / STEPS]


def run(
    options: Options,
    points: Sequence[Point] = tuple(POINTS),
    processes_of: Callable[[Iterable[str]], AbstractContextManager[ContestantProcesses]] = ContestantProcesses.of,
) -> Report:
    rows, records, fast_growths = [], [], []
    comparisons: list[Comparison] = []
    for quantity in dict.fromkeys(point.grows for point in points):
        # Points of one comparison take turns, like contestants.
        group = {f"{quantity} {point.amount:,}": point for point in points if point.grows == quantity}
        with processes_of(group) as processes:
            makers = {name: partial(ScaledTraining, point) for name, point in group.items()}
            comparison = processes.compare(quantity, makers, options.rounds, options.memory, lambda _: None)
        comparisons.append(comparison)
        measured = comparison.measured
        last_name: str | None = None
        for name, point in group.items():
            if name not in measured:
                rows.append([quantity, f"{point.amount:,}", *cells(comparison, [name]), "-", "-"])
                last_name = None
                continue
            timing, memory = measured[name].timing, measured[name].peak_mib
            logging.info("%s: %s", name, timing)
            growth = "-"
            # A step takes one batch, so its time does not grow with the number of images.
            if last_name is not None and quantity != "images":
                ratio = (timing.median / measured[last_name].timing.median) / (point.amount / group[last_name].amount)
                growth = f"{ratio:.2f}"
                if ratio > MORE_THAN_LINEAR:
                    fast_growths.append(f"{last_name} to {point.amount:,}")
            last_name = name
            records.append({**asdict(point), "milliseconds": timing.median, "peak_mib": memory})
            rows.append(
                [quantity, f"{point.amount:,}", str(timing), growth, "-" if memory is None else f"{memory:.0f}"]
            )
    return Report(
        title="Scaling: milliseconds a training step (quartiles); MiB at the peak",
        columns=["what grows", "to", "milliseconds", "growth / linear", "MiB at the peak"],
        rows=rows,
        notes=[
            f"Median of {options.rounds} rounds of {STEPS} steps. Rows in which the same quantity grows take turns. "
            "The batch size is 128 where the images grow, 16 for pixels, 64 for filters and 32 for stages. "
            "Peak memory excludes libraries, images and model; it includes tracing.",
            '"growth / linear" divides the growth of the time since the row before by the growth of the quantity, so 1 '
            "is linear growth. The first row of each quantity has a dash. All rows for images have one, because a step "
            "takes one batch, whatever the number of images. "
            f"Rows above {MORE_THAN_LINEAR:g}: {'; '.join(fast_growths) or 'none'}.",
            *notes(comparisons),
        ],
        measurements=records,
        failures=failures(comparisons),
    )
