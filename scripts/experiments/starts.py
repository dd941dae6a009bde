"""Compares several seeds of the default recipe with four plain starts, for many architectures.

OUTPUT_DIR/runs/FILTERS-POOLS-START-SEED.json   one finished run each, which is not trained again
OUTPUT_DIR/starts.md                            the table; in a README it stands in the section starts-NAME
"""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
from markdown_page import markdown_table

from deconv_ae.data import ImageDataset, training_batches
from deconv_ae.data.kinds import short_name
from deconv_ae.errors import InputError, RunError
from deconv_ae.model.architecture import Architecture
from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.model.objective import PerImageRMSELoss
from deconv_ae.training import TrainingOptions, evaluation, steps_per_execution, train
from deconv_ae.training.schedule import Schedule
from experiments.outcomes import load_or_run, recipe_details

OUR_START = "default"
# Each start is an initializer and a peak learning rate. Someone who knows Keras but not this problem may choose them.
PLAIN_STARTS: dict[str, tuple[type[keras.Initializer], float]] = {
    "He 0.003": (keras.initializers.HeNormal, 0.003),
    "He 0.01": (keras.initializers.HeNormal, 0.01),
    "Glorot 0.003": (keras.initializers.GlorotUniform, 0.003),
    "Glorot 0.01": (keras.initializers.GlorotUniform, 0.01),
}
PLAIN_WARMUP_STEPS = 50
ARCHITECTURES = (
    Architecture((1,), (2,)),
    Architecture((3,), (4,)),
    Architecture((8,), (4,)),
    Architecture((32,), (2,)),
    Architecture((64,), (3,)),
    Architecture((8, 4), (2, 2)),
    Architecture((16, 8), (2, 2)),
    Architecture((32, 16), (2, 3)),
    Architecture((8, 8, 8), (2, 2, 2)),
    Architecture((16, 16, 16), (2, 2, 2)),
    Architecture((8, 16, 32, 32), (2, 2, 2, 2)),
    Architecture((16, 16, 16, 16, 16), (2, 2, 2, 2, 2)),
)
# A run has learnt nothing if its test RMSE is not below this share of the mean training image's.
STUCK_RATIO = 0.98


@dataclass(frozen=True)
class Trial:
    """The outcome of one training run.

    Attributes:
        filters: the architecture's filters.
        pool_sizes: the architecture's windows.
        start: the name of a way to start training: OUR_START (the default recipe) or a name in PLAIN_STARTS.
        seed: the seed of the weights and of the order of the images.
        settings: the other settings that decide the result; an outcome with different ones is not reused.
        test_rmse: None if the run failed.
        mean_image_rmse: the test RMSE if the mean training image takes the place of every reconstruction.
        seconds: wall time.
    """

    filters: list[int]
    pool_sizes: list[list[int]]
    start: str
    seed: int
    settings: dict[str, Any]
    test_rmse: float | None
    mean_image_rmse: float
    seconds: float

    @property
    def is_stuck(self) -> bool:
        return self.test_rmse is None or not self.test_rmse < STUCK_RATIO * self.mean_image_rmse


def architectures_for(dataset: ImageDataset) -> list[Architecture]:
    """Returns those of ARCHITECTURES that can be trained on the images."""
    return [architecture for architecture in ARCHITECTURES if _fits(architecture, dataset)]


def _fits(architecture: Architecture, dataset: ImageDataset) -> bool:
    try:
        architecture.check_trainable(dataset.image_shape, images_per_step=1)
    except InputError:
        return False
    return True


def compare(
    dataset: ImageDataset,
    architectures: Sequence[Architecture],
    seeds: int,
    epochs: int | None,
    output_dir: Path,
) -> Iterator[Trial]:
    """Yields the outcomes of the default recipe with every seed, and of each of PLAIN_STARTS with seed 0.

    Trains the runs whose outcomes output_dir does not hold.

    Args:
        dataset: the training and test images.
        architectures: such as `architectures_for(dataset)`.
        seeds: the number of seeds for the default recipe; the seeds are 0, 1, 2 and so on.
        epochs: the epochs of every run. None stands for the default recipe's epochs for a dataset of this size. Every
            run has the default recipe's batch size for a dataset of this size.
        output_dir: the folder, with the files that this module's docstring lists.

    Yields:
        The outcomes.
    """
    mean_image_rmse = evaluation.baselines(dataset.train, dataset.test).mean_image_rmse
    for architecture in architectures:
        for start, seed in [(OUR_START, seed) for seed in range(seeds)] + [(start, 0) for start in PLAIN_STARTS]:
            options = TrainingOptions(architecture, epochs=epochs, seed=seed)
            settings = {"dataset": str(dataset), "schedule": asdict(options.schedule(len(dataset.train)))}
            if start == OUR_START:
                settings |= recipe_details(options, dataset.image_shape[-1])
            shape = "_".join(map(str, architecture.filters)), "_".join(f"{h}x{w}" for h, w in architecture.pool_sizes)
            file = output_dir / "runs" / f"{'-'.join(shape)}-{start.replace(' ', '_')}-{seed}.json"
            train_run = partial(_train, dataset, options, start, settings, mean_image_rmse)
            yield load_or_run(file, settings, lambda fields: Trial(**fields), train_run)


def _train(
    dataset: ImageDataset, options: TrainingOptions, start: str, settings: dict[str, Any], mean_image_rmse: float
) -> Trial:
    started = time.perf_counter()
    rmse = (
        _train_default_recipe(dataset, options)
        if start == OUR_START
        else _train_from_plain_start(dataset, options, start)
    )
    return Trial(
        filters=list(options.architecture.filters),
        pool_sizes=[list(sizes) for sizes in options.architecture.pool_sizes],
        start=start,
        seed=options.seed,
        settings=settings,
        test_rmse=rmse,
        mean_image_rmse=mean_image_rmse,
        seconds=time.perf_counter() - started,
    )


def _train_default_recipe(dataset: ImageDataset, options: TrainingOptions) -> float | None:
    """Trains with the default recipe. Returns the test RMSE; None if the training fails."""
    try:
        return train(dataset, options, verbose=False).test_rmse
    except RunError:
        return None


def _train_from_plain_start(dataset: ImageDataset, options: TrainingOptions, start: str) -> float | None:
    """Trains with an initializer and a peak learning rate of PLAIN_STARTS. Returns the test RMSE; None if it is NaN."""
    initializer, learning_rate = PLAIN_STARTS[start]
    schedule = options.schedule(len(dataset.train))
    keras.utils.set_random_seed(options.seed)
    model = Autoencoder(options.architecture, dataset.image_shape, initializer(), initializer())
    decay = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(schedule.total_steps - PLAIN_WARMUP_STEPS, 1),
        warmup_target=learning_rate,
        warmup_steps=PLAIN_WARMUP_STEPS,
    )
    model.compile(
        keras.optimizers.Adam(decay),
        PerImageRMSELoss(),
        steps_per_execution=steps_per_execution(schedule.steps_per_epoch),
    )
    model.fit(
        training_batches(dataset.train, schedule.batch_size, options.seed),
        steps_per_epoch=schedule.steps_per_epoch,
        epochs=schedule.epochs,
        shuffle=False,
        verbose=0,
    )
    rmse = evaluation.mean_rmse(model, dataset.test)
    return rmse if rmse == rmse else None  # NaN


def section(dataset: ImageDataset, outcomes: Sequence[Trial]) -> str:
    """Makes a README's section: a line about the images and the schedule, then the table."""
    schedule = Schedule(**outcomes[0].settings["schedule"])
    sizes = f"{len(dataset.train):,} training and {len(dataset.test):,} test images"
    shape = "x".join(map(str, dataset.image_shape))
    return (
        f"**{short_name(dataset.name)}**: {sizes} of {shape}; {schedule.epochs} epoch{'s' * (schedule.epochs != 1)} of "
        f"{schedule.steps_per_epoch} steps, {schedule.batch_size} images a step; with the mean training image "
        f"in place of every reconstruction, the RMSE is {outcomes[0].mean_image_rmse:.4f}.\n\n{table(outcomes)}"
    )


def table(outcomes: Sequence[Trial]) -> str:
    """Makes a table with a row per architecture. It compares the recipe `default` with the best of PLAIN_STARTS.

    >>> def outcome(start, rmse):
    ...     return Trial([8], [[4, 4]], start, 0, {}, rmse, 0.25, 1.0)
    >>> print(table([outcome("default", 0.09), outcome("default", 0.096), outcome("He 0.01", 0.1)]))
    | filters | pools | best plain start | `default`, median of 2 seeds | `default` / plain | worst / median | stuck |
    | --- | --- | --- | --- | --- | --- | --- |
    | 8 | 4x4 | 0.1000 (He 0.01) | 0.0930 | 0.93 | 1.03 | 0 of 2 |
    """
    groups: dict[tuple[str, str], list[Trial]] = {}
    for outcome in outcomes:
        pools = ", ".join("x".join(map(str, sizes)) for sizes in outcome.pool_sizes)
        groups.setdefault((", ".join(map(str, outcome.filters)), pools), []).append(outcome)
    seeds = max((sum(each.start == OUR_START for each in group) for group in groups.values()), default=0)
    header = (
        *("filters", "pools", "best plain start", f"`default`, median of {seeds} seeds"),
        *("`default` / plain", "worst / median", "stuck"),
    )
    return markdown_table(header, [(*shape, *_cells(group)) for shape, group in groups.items()])


def _cells(group: Sequence[Trial]) -> tuple[str, ...]:
    """Makes the cells of an architecture's row. A failed run gets the RMSE of the mean training image."""

    def rmse(outcome: Trial) -> float:
        return outcome.mean_image_rmse if outcome.test_rmse is None else outcome.test_rmse

    ours = [outcome for outcome in group if outcome.start == OUR_START]
    plain = min((outcome for outcome in group if outcome.start != OUR_START), key=rmse)
    median = statistics.median(map(rmse, ours))
    stuck = sum(outcome.is_stuck for outcome in ours)
    return (
        f"{rmse(plain):.4f} ({plain.start})",
        f"{median:.4f}",
        f"{median / rmse(plain):.2f}",
        f"{max(map(rmse, ours)) / median:.2f}",
        f"{stuck} of {len(ours)}",
    )
