"""Reproduces the published table: trains presets with several recipes and seeds.

OUTPUT_DIR/runs/PRESET-RECIPE-SEED.json   one finished run each, which is not trained again
OUTPUT_DIR/models/PRESET-RECIPE/          the first seed's model, exported
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from deconv_ae.data import ImageDataset, scale
from deconv_ae.errors import RunError
from deconv_ae.model.objective import per_image_rmse
from deconv_ae.model.presets import PRESETS
from deconv_ae.model.recipes import RECIPES
from deconv_ae.saved_model import exporting
from deconv_ae.training import TrainingOptions, train
from experiments.outcomes import load_or_run, read, recipe_details

CURVE_IMAGES = 500
CURVE_POINTS = 60


@dataclass(frozen=True)
class Run:
    """One training run: a preset, a recipe and a seed."""

    preset: str
    recipe: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.preset}-{self.recipe}-{self.seed}"

    @property
    def options(self) -> TrainingOptions:
        return TrainingOptions(PRESETS[self.preset].architecture, recipe=self.recipe, seed=self.seed)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run.

    Attributes:
        run: the run.
        settings: the settings that decide the result; an outcome with other settings is not reused.
        training_rmse: over the whole training split; None if the run failed.
        test_rmse: over the whole test split; None if the run failed.
        silent_channels: number of code channels that are zero for every test image.
        failure: the message of the error; None if the run did not fail.
        seconds: wall time of the run.
        curve: (images seen, RMSE of the first 500 test images) during the training.
    """

    run: Run
    settings: dict[str, Any]
    training_rmse: float | None
    test_rmse: float | None
    silent_channels: int
    failure: str | None
    seconds: float
    curve: list[list[float]]

    @property
    def is_collapsed(self) -> bool:
        """Whether the run failed or lost a channel of its code for good."""
        return self.failure is not None or self.silent_channels > 0

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> "Outcome":
        """Reads an outcome from JSON's values."""
        return cls(**fields | {"run": Run(**fields["run"])})


class _TestCurve(keras.callbacks.Callback):
    """Records the RMSE of test images whenever the training reaches or passes a multiple of `every_steps` steps."""

    def __init__(self, images: np.ndarray, every_steps: int, images_per_step: int) -> None:
        super().__init__()
        self._images = scale(tf.constant(images))
        self._every_steps = every_steps
        self._images_per_step = images_per_step
        self._step = 0
        self.points: list[list[float]] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        step = int(self.model.optimizer.iterations)
        # Keras may take several steps between two calls, so the step need not be a multiple of `every_steps`.
        if step // self._every_steps > self._step // self._every_steps:
            rmse = tf.reduce_mean(per_image_rmse(self._images, self.model(self._images)))
            self.points.append([step * self._images_per_step, float(rmse)])
        self._step = step


def reproduce(
    dataset: ImageDataset, presets: Sequence[str], recipes: Sequence[str], seeds: int, output_dir: Path
) -> Iterator[Outcome]:
    """Trains the missing runs and yields every outcome.

    Every preset and recipe is trained with one seed before any is trained with the next seed.

    Args:
        dataset: the training and test images.
        presets: names of presets.
        recipes: names of recipes.
        seeds: the number of seeds; they are 0, 1, 2 and so on.
        output_dir: the folder, with the files that this module's docstring lists.

    Yields:
        The outcomes.
    """
    for seed in range(seeds):
        for preset in presets:
            for recipe in recipes:
                run = Run(preset, recipe, seed)
                file = output_dir / "runs" / f"{run.name}.json"
                settings = _settings(run, dataset)
                yield load_or_run(file, settings, Outcome.parse, partial(_train, run, settings, dataset, output_dir))


def read_outcomes(dataset: ImageDataset, output_dir: Path) -> list[Outcome]:
    """Returns the outcomes in output_dir that have the current settings, sorted by preset, recipe and seed.

    After several calls of `reproduce`, one recipe may have more seeds than another.
    """
    found = [read(file, Outcome.parse) for file in output_dir.glob("runs/*.json")]
    valid = [
        outcome
        for outcome in found
        if outcome is not None
        and outcome.run.preset in PRESETS
        and outcome.run.recipe in RECIPES
        and outcome.settings == _settings(outcome.run, dataset)
    ]
    presets, recipes = list(PRESETS), list(RECIPES)
    return sorted(
        valid,
        key=lambda outcome: (presets.index(outcome.run.preset), recipes.index(outcome.run.recipe), outcome.run.seed),
    )


def _settings(run: Run, dataset: ImageDataset) -> dict[str, Any]:
    """Returns the settings that decide a run's result, including the recipe's details, as JSON values."""
    options = run.options
    settings = {
        "options": asdict(options.deciding_options(len(dataset.train))),
        "dataset": dataset.name,
        "training_images": len(dataset.train),
        **recipe_details(options, dataset.image_shape[-1]),
    }
    return json.loads(json.dumps(settings, default=float))


def _train(run: Run, settings: dict[str, Any], dataset: ImageDataset, output_dir: Path) -> Outcome:
    options = run.options
    schedule = options.schedule(len(dataset.train))
    every_steps = max(1, schedule.epochs * schedule.images // schedule.batch_size // CURVE_POINTS)
    curve = _TestCurve(dataset.test[:CURVE_IMAGES], every_steps, schedule.batch_size)
    started = time.perf_counter()
    try:
        result = train(dataset, options, callbacks=[curve], verbose=False)
    except RunError as error:
        return Outcome(run, settings, None, None, 0, str(error), time.perf_counter() - started, curve.points)
    if run.seed == 0:
        model_dir = output_dir / "models" / f"{run.preset}-{run.recipe}"
        exporting.export(result, dataset, str(model_dir), run.preset, overwrite=True)
    return Outcome(
        run=run,
        settings=settings,
        training_rmse=result.training_rmse,
        test_rmse=result.test_rmse,
        silent_channels=result.silent_channels,
        failure=None,
        seconds=result.seconds,
        curve=curve.points,
    )
