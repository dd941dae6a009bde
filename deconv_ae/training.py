"""One training run: build, compile, fit, evaluate; from the start or from a run's last checkpoint."""

import contextlib
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from deconv_ae.architecture import Architecture, Autoencoder
from deconv_ae.callbacks import Progress, SaveCheckpoints, StopOnFailure, StopWhenAsked, WriteTensorBoard
from deconv_ae.checkpoints import RunDirectory
from deconv_ae.data import ImageDataset, evaluation_batches, steps_per_epoch, training_batches
from deconv_ae.distribution import (
    STRATEGIES,
    ReplicatedTraining,
    Watchdog,
    check_agreement,
    check_replicas,
    global_batches,
    is_chief,
    lost_workers_named,
    make_strategy,
    watchdog,
)
from deconv_ae.errors import InputError, choose
from deconv_ae.interruption import SignalsHeld
from deconv_ae.objective import PerImageRMSE, PerImageRMSELoss
from deconv_ae.presets import RECIPES

PICTURED_IMAGES = 5
MIXED_PRECISIONS = {"none": None, "mixed_bfloat16": "mixed_bfloat16", "mixed_float16": "mixed_float16"}
JIT_COMPILE = {"auto": "auto", "true": True, "false": False}

# Between steps Keras's fit goes back to Python, which at a batch of 64 digits takes half as long as the step itself.
# Several steps in one execution save that; beyond seven, nothing more was measured.
MOST_STEPS_PER_EXECUTION = 8


@dataclass(frozen=True)
class TrainingOptions:
    """What a run is asked to do, apart from the images.

    Attributes:
        architecture: the model.
        recipe: a key of `presets.RECIPES`; epochs, batch_size and learning_rate replace the
            recipe's own where they are not None.
        seed: of the initial weights and the order of the images.
        run_dir: where checkpoints and TensorBoard logs go; None keeps none.
        checkpoint_every: steps from one checkpoint to the next within an epoch; None saves after
            every epoch only.
        resume: whether to go on with the run in run_dir.
        strategy: a key of `distribution.STRATEGIES`.
        worker_timeout: seconds that a worker of a cluster waits for the others before it gives up.
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
    checkpoint_every: int | None = None
    resume: bool = False
    strategy: str = "auto"
    worker_timeout: float = 120.0
    mixed_precision: str = "none"
    jit_compile: str = "auto"

    def __post_init__(self) -> None:
        choose("recipe", self.recipe, RECIPES)
        choose("strategy", self.strategy, STRATEGIES)
        choose("mixed_precision", self.mixed_precision, MIXED_PRECISIONS)
        choose("jit_compile", self.jit_compile, JIT_COMPILE)
        for field, least in (("epochs", 0), ("batch_size", 1), ("checkpoint_every", 1)):
            value = getattr(self, field)
            if value is not None and value < least:
                raise InputError(f"{field}: {value} is below {least}; give a whole number of {least} or more")
        rate = self.learning_rate
        if rate is not None and not (rate > 0 and math.isfinite(rate)):
            raise InputError(f"learning_rate: {rate} is not a positive number; leave it out for the recipe's own")
        if not self.worker_timeout >= 0:
            raise InputError(f"worker_timeout: {self.worker_timeout} is no time to wait; give seconds")
        if not 0 <= self.seed < 2**31:
            raise InputError(f"seed: {self.seed} is not in 0 to 2147483647")
        if self.resume and not self.run_dir:
            raise InputError("resume: no --run_dir given to go on from")
        if self.checkpoint_every and not self.run_dir:
            raise InputError("checkpoint_every: no --run_dir given to keep checkpoints in")

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
            checkpoint_every=None,
            resume=False,
            strategy="none",
            worker_timeout=0.0,
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
    strategy: tf.distribute.Strategy | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: bool = True,
) -> TrainingResult:
    """Trains an autoencoder and evaluates it on both splits.

    Args:
        dataset: `data.load_dataset`'s.
        options: see `TrainingOptions`.
        strategy: from `make_strategy`, where that had to be made earlier.
        callbacks: of the caller's own, besides those that watch every run.
        verbose: whether to print the number of parameters and the progress.

    Raises:
        InputError: if the options do not fit the images, or run_dir cannot be used.
        RunError: if the run fails: a loss that is not finite, a dead ReLU, a full disk.
        Interrupted: on SIGINT or SIGTERM, after a checkpoint.
    """
    started = time.perf_counter()
    options.architecture.stage_shapes(dataset.image_shape)
    strategy = strategy or make_strategy(options.strategy, options.worker_timeout)
    check_replicas(strategy.num_replicas_in_sync, options.images_per_step, options.jit_compile)
    keras.utils.set_random_seed(options.seed)
    with (
        _run_directory(dataset, options, writes=is_chief(strategy)) as run_directory,
        _dtype_policy(MIXED_PRECISIONS[options.mixed_precision]),
        watchdog(strategy, options.worker_timeout) as watch,
        lost_workers_named(strategy),
    ):
        # For the variables only: in its scope, whatever makes a variable waits for all workers.
        with strategy.scope():
            model = _compiled(dataset, options)
        if verbose:
            print(f"{model.count_params()} parameters", flush=True)
        # A bar that redraws itself, or one line an epoch where the output goes to a file.
        bar = (1 if sys.stdout.isatty() else 2) if verbose else 0
        _fit(model, dataset, options, strategy, run_directory, watch, callbacks, bar)
    if options.mixed_precision != "none" or strategy.num_replicas_in_sync > 1:
        # Mixed precision and replicas are ways to train; what they trained is evaluated and served
        # in float32 on one device.
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
    _make_variables(model)
    return model


def _make_variables(model: Autoencoder) -> None:
    """Makes the optimizer's and the metrics' variables, which Keras leaves to the first step: a
    checkpoint has to find them."""
    model.optimizer.build(model.trainable_variables)
    no_images = tf.zeros((1, *model.image_shape))
    tf.distribute.get_strategy().run(model.compute_metrics, args=(no_images, no_images, no_images))


def _fit(
    model: Autoencoder,
    dataset: ImageDataset,
    options: TrainingOptions,
    strategy: tf.distribute.Strategy,
    run_directory: RunDirectory | None,
    watch: Watchdog,
    own_callbacks: Sequence[keras.callbacks.Callback],
    bar: int,
) -> None:
    steps = steps_per_epoch(len(dataset.train), options.images_per_step)
    done, metrics = run_directory.restore(model) if run_directory else (0, [])
    if strategy.num_replicas_in_sync == 1:
        model.steps_per_execution = steps_per_execution(steps, done % steps, options.checkpoint_every or 0)
    progress = Progress(done, steps, metrics)
    callbacks: list[keras.callbacks.Callback] = [
        progress,
        StopOnFailure(progress, dataset.test),
        *own_callbacks,
    ]
    checkpoints = None
    if run_directory:
        checkpoints = SaveCheckpoints(progress, run_directory, options.checkpoint_every)
        if run_directory.writes:
            callbacks.append(WriteTensorBoard(run_directory.logs, dataset.test[:PICTURED_IMAGES]))
        callbacks.append(checkpoints)
    with SignalsHeld() as signals:
        asked, batches_from = signals.asked, partial(training_batches, dataset.train)
        if strategy.num_replicas_in_sync > 1:
            check_agreement(strategy, done)
            asked = ReplicatedTraining(model, strategy, signals.asked, watch).asked
            batches_from = partial(global_batches, strategy, dataset.train)
        callbacks.append(StopWhenAsked(progress, asked, checkpoints))
        for first_epoch, end, steps_each in _spans(done, steps, options.epochs_to_run):
            model.fit(
                batches_from(options.images_per_step, options.seed, first_step=progress.step),
                steps_per_epoch=steps_each,
                initial_epoch=first_epoch,
                epochs=end,
                callbacks=callbacks,
                shuffle=False,  # The batches are; Keras warns that it cannot.
                verbose=bar,
            )


def steps_per_execution(*lengths: int) -> int:
    """The most steps at once that end where each of these numbers of steps does; 0 ends anywhere.

    >>> steps_per_execution(469, 0, 0), steps_per_execution(469, 0, 100), steps_per_execution(32, 0, 0)
    (7, 1, 8)
    """
    common = math.gcd(*lengths)
    return max(count for count in range(1, MOST_STEPS_PER_EXECUTION + 1) if common % count == 0)


def _spans(done: int, steps: int, epochs: int) -> list[tuple[int, int, int]]:
    """(first epoch, end, steps of each) of what is left to do: Keras wants epochs of equal length.

    >>> _spans(done=0, steps=10, epochs=3)
    [(0, 3, 10)]
    >>> _spans(done=14, steps=10, epochs=3)
    [(1, 2, 6), (2, 3, 10)]
    """
    epoch, skipped = divmod(done, steps)
    rest = [(epoch, epoch + 1, steps - skipped)] if skipped else []
    return [*rest, (epoch + len(rest), epochs, steps)]


def _run_directory(
    dataset: ImageDataset, options: TrainingOptions, writes: bool
) -> contextlib.AbstractContextManager[RunDirectory | None]:
    if not options.run_dir:
        return contextlib.nullcontext()
    settings = options.settings() | {
        "dataset": dataset.name,
        "training_images": len(dataset.train),
        "image_shape": dataset.image_shape,
    }
    return RunDirectory(options.run_dir, settings, options.resume, writes)


@contextlib.contextmanager
def _dtype_policy(name: str | None) -> Iterator[None]:
    before = keras.config.dtype_policy()
    if name is not None:
        keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
