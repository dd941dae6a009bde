"""One training run: build, compile, fit, evaluate; from the start or from a run's last checkpoint."""

import contextlib
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import keras
import numpy as np

from deconv_ae.architecture import Architecture, Autoencoder
from deconv_ae.callbacks import PicturesInTensorBoard, SaveCheckpoints, StopOnFailure
from deconv_ae.checkpoints import RunDirectory
from deconv_ae.data import ImageDataset, evaluation_batches, steps_per_epoch, training_batches
from deconv_ae.distribution import STRATEGIES, make_strategy
from deconv_ae.errors import InputError, choose
from deconv_ae.objective import PerImageRMSE, PerImageRMSELoss
from deconv_ae.presets import RECIPES

PICTURED_IMAGES = 5
MIXED_PRECISIONS = {"none": None, "mixed_bfloat16": "mixed_bfloat16", "mixed_float16": "mixed_float16"}
JIT_COMPILE = {"auto": "auto", "true": True, "false": False}


@dataclass(frozen=True)
class TrainingOptions:
    """What a run is asked to do, apart from the images.

    Attributes:
        architecture: the model.
        recipe: a key of `presets.RECIPES`; epochs, batch_size and learning_rate replace the
            recipe's own where they are not None.
        seed: of the initial weights and the order of the images.
        run_dir: where checkpoints and TensorBoard logs go; None keeps none.
        resume: whether to go on with the run in run_dir.
        strategy: a key of `distribution.STRATEGIES`.
        mixed_precision: "none", "mixed_bfloat16" or "mixed_float16".
        jit_compile: "auto" leaves it to Keras, "true" compiles with XLA, "false" does not.

    Raises:
        InputError: on a value that no run can be made with.
    """

    architecture: Architecture
    recipe: str = "default"
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    seed: int = 0
    run_dir: str | None = None
    resume: bool = False
    strategy: str = "auto"
    mixed_precision: str = "none"
    jit_compile: str = "auto"

    def __post_init__(self) -> None:
        choose("recipe", self.recipe, RECIPES)
        choose("strategy", self.strategy, STRATEGIES)
        choose("mixed_precision", self.mixed_precision, MIXED_PRECISIONS)
        choose("jit_compile", self.jit_compile, JIT_COMPILE)
        for field, least in (("epochs", 0), ("batch_size", 1)):
            value = getattr(self, field)
            if value is not None and value < least:
                raise InputError(f"{field}: {value} is below {least}; give a whole number of {least} or more")
        rate = self.learning_rate
        if rate is not None and not (rate > 0 and math.isfinite(rate)):
            raise InputError(f"learning_rate: {rate} is not a positive number; leave it out for the recipe's own")
        if not 0 <= self.seed < 2**31:
            raise InputError(f"seed: {self.seed} is not in 0 to 2147483647")
        if self.resume and not self.run_dir:
            raise InputError("resume: no --run_dir given to go on from")

    @property
    def epochs_to_run(self) -> int:
        """`epochs`, or the recipe's."""
        return RECIPES[self.recipe].epochs if self.epochs is None else self.epochs

    @property
    def images_per_step(self) -> int:
        """`batch_size`, or the recipe's."""
        return RECIPES[self.recipe].batch_size if self.batch_size is None else self.batch_size

    def settings(self) -> dict[str, Any]:
        """What decides the result, and so has to be the same when a run is resumed."""
        comparable = replace(
            self,
            epochs=self.epochs_to_run,
            batch_size=self.images_per_step,
            run_dir=None,
            resume=False,
            strategy="none",
        )
        return asdict(comparable)


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """A trained model and what is known of it. RMSEs are over a whole split, in the pixels' scale."""

    model: Autoencoder
    options: TrainingOptions
    training_rmse: float
    test_rmse: float
    seconds: float


def train(
    dataset: ImageDataset,
    options: TrainingOptions,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: bool = True,
) -> TrainingResult:
    """Trains an autoencoder and evaluates it on both splits.

    Args:
        dataset: `data.load_dataset`'s.
        options: see `TrainingOptions`.
        callbacks: of the caller's own, besides those that watch every run.
        verbose: whether to print the number of parameters and the progress.

    Raises:
        InputError: if the options do not fit the images, or run_dir cannot be used.
        RunError: if the run fails: a loss that is not finite, a dead ReLU, a full disk.
    """
    started = time.perf_counter()
    run_directory = None
    options.architecture.stage_shapes(dataset.image_shape)
    if options.run_dir:
        settings = options.settings() | {
            "dataset": dataset.name,
            "training_images": len(dataset.train),
            "image_shape": dataset.image_shape,
        }
        run_directory = RunDirectory(options.run_dir, settings, options.resume)
    strategy = make_strategy(options.strategy)
    keras.utils.set_random_seed(options.seed)
    with _dtype_policy(MIXED_PRECISIONS[options.mixed_precision]), strategy.scope():
        model = (run_directory.restore() if options.resume and run_directory else None) or _compiled(dataset, options)
        if verbose:
            print(f"{model.count_params()} parameters", flush=True)
        # A bar that redraws itself, or one line an epoch where the output goes to a file.
        progress = (1 if sys.stdout.isatty() else 2) if verbose else 0
        _fit(model, dataset, options, run_directory, callbacks, progress)
    if options.mixed_precision != "none":
        # Mixed precision is a way to train; what it trained is evaluated and served in float32.
        model = _compiled(dataset, options, weights=model.get_weights())
    training_rmse, test_rmse = (rmse(model, images) for images in (dataset.train, dataset.test))
    return TrainingResult(model, options, training_rmse, test_rmse, time.perf_counter() - started)


def rmse(model: Autoencoder, images: np.ndarray) -> float:
    """The mean per-image RMSE of a compiled model over `(N, height, width, channels)` uint8 images."""
    return float(model.evaluate(evaluation_batches(images), verbose=0, return_dict=True)["rmse"])


def _compiled(dataset: ImageDataset, options: TrainingOptions, weights: list[np.ndarray] | None = None) -> Autoencoder:
    recipe = RECIPES[options.recipe]
    model = Autoencoder(options.architecture, dataset.image_shape, *recipe.initializers(options.architecture))
    if weights is not None:
        model.set_weights(weights)
    total_steps = options.epochs_to_run * steps_per_epoch(len(dataset.train), options.images_per_step)
    model.compile(
        optimizer=recipe.optimizer(options.images_per_step, total_steps, options.learning_rate),
        loss=PerImageRMSELoss(),
        metrics=[PerImageRMSE()],
        jit_compile=JIT_COMPILE[options.jit_compile],
    )
    return model


def _fit(
    model: Autoencoder,
    dataset: ImageDataset,
    options: TrainingOptions,
    run_directory: RunDirectory | None,
    callbacks: Sequence[keras.callbacks.Callback],
    progress: int,
) -> None:
    steps = steps_per_epoch(len(dataset.train), options.images_per_step)
    done = int(model.optimizer.iterations)
    callbacks = [StopOnFailure(dataset.test), *callbacks]
    if run_directory:
        callbacks += [
            keras.callbacks.TensorBoard(run_directory.logs, write_graph=False),
            PicturesInTensorBoard(run_directory.logs / "pictures", dataset.test[:PICTURED_IMAGES]),
            SaveCheckpoints(run_directory),
        ]
    model.fit(
        training_batches(dataset.train, options.images_per_step, options.seed, first_step=done),
        steps_per_epoch=steps,
        initial_epoch=done // steps,
        epochs=options.epochs_to_run,
        callbacks=callbacks,
        shuffle=False,  # The batches are; Keras warns that it cannot.
        verbose=progress,
    )


@contextlib.contextmanager
def _dtype_policy(name: str | None) -> Iterator[None]:
    before = keras.config.dtype_policy()
    if name is not None:
        keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
