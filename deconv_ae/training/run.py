"""One training run: build, compile, fit, evaluate; from the start or from its last checkpoint."""

import contextlib
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import keras
import tensorflow as tf

from deconv_ae.data import ImageDataset, training_batches
from deconv_ae.errors import InputError, RunError
from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.model.baselines import Baselines
from deconv_ae.model.objective import PerImageRMSE, PerImageRMSELoss
from deconv_ae.model.recipes import RECIPES
from deconv_ae.training import evaluation
from deconv_ae.training.callbacks import (
    KeepHistory,
    Progress,
    SaveCheckpoints,
    StopOnFailure,
    StopWhenAsked,
    Validate,
    WriteTensorBoard,
)
from deconv_ae.training.checkpoints import RunDirectory
from deconv_ae.training.distribution import (
    ReplicatedTraining,
    Watchdog,
    check_replicas,
    check_steps_agree,
    global_batches,
    is_chief,
    make_rmse_function,
    make_strategy,
    make_watchdog,
    report_lost_workers,
)
from deconv_ae.training.history import Epoch
from deconv_ae.training.interruption import SignalsHeld
from deconv_ae.training.options import JIT_COMPILE, MIXED_PRECISIONS, TrainingOptions
from deconv_ae.training.reporting import (
    ShowProgress,
    describe_evaluation,
    describe_model,
    describe_resumption,
    describe_run_dir,
    describe_schedule,
    labelled,
)
from deconv_ae.training.run_record import ONEDNN_VARIABLE, RunRecord
from deconv_ae.training.start import set_initial_weights

PICTURED_IMAGES = 5
# Between executions, Keras's fit returns to Python, for half as long as a step of 64 digits takes. Several steps in one
# execution save most of this time; more than seven steps measured no faster.
MOST_STEPS_PER_EXECUTION = 8


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """A trained model and its results.

    RMSEs are means over a whole split, in the scale of pixels / 256. `Epoch` says how those in `history` are measured.

    Attributes:
        model: compiled, in float32, on one device.
        options: the run's options.
        training_rmse: the trained model's RMSE over the training images.
        test_rmse: the trained model's RMSE over the test images.
        baselines: the test RMSE of baselines that need no model.
        silent_channels: number of channels of the code that are 0 in every test image.
        history: the RMSE of every epoch; epoch 0 stands for the model before epoch 1.
        problem: a reason not to keep the model, in a line, or None. See `evaluation.find_problem`.
        seconds: the duration of the call of `train`; for a resumed run, without the time before it was resumed.
        extended_after_epochs: earlier numbers of epochs, if the run was extended.
    """

    model: Autoencoder
    options: TrainingOptions
    training_rmse: float
    test_rmse: float
    baselines: Baselines
    silent_channels: int
    history: list[Epoch]
    problem: str | None
    seconds: float
    extended_after_epochs: tuple[int, ...] = ()

    def __str__(self) -> str:
        text = (
            f"training RMSE {self.training_rmse:.4f}, test RMSE {self.test_rmse:.4f}; without a model: the mean "
            f"training image {self.baselines.mean_image_rmse:.4f}, black {self.baselines.black_rmse:.4f}"
        )
        if self.baselines.thumbnail_rmse is not None:
            text += f", a thumbnail with at most as many numbers as the code {self.baselines.thumbnail_rmse:.4f}"
        if self.silent_channels:
            channels = self.model.architecture.code_channels
            text += f"; silent, 0 in every test image: {self.silent_channels} of the code's {channels} channels"
        return text


def train(
    dataset: ImageDataset,
    options: TrainingOptions,
    strategy: tf.distribute.Strategy | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: bool = True,
) -> TrainingResult:
    """Trains an autoencoder and evaluates it on both splits.

    Args:
        dataset: from `data.load_dataset`.
        options: the run's options.
        strategy: from `make_strategy`, if it had to be made earlier.
        callbacks: more Keras callbacks.
        verbose: whether to print the run's data, model, schedule and progress.

    Returns:
        The trained model and its results.

    Raises:
        InputError: if the options do not fit the images or the machine, or run_dir cannot be used.
        RunError: if the run fails: a loss that is not finite, a dead ReLU, a full disk.
        Interrupted: on SIGINT, SIGTERM or SIGHUP while the model trains; with a run_dir, after a checkpoint.
    """
    start_time = time.perf_counter()
    schedule = options.schedule(len(dataset.train))
    options.architecture.check_trainable(
        dataset.image_shape,
        min(schedule.batch_size, schedule.images),
        activation_bytes=4 if options.mixed_precision == "none" else 2,
    )
    strategy = strategy or make_strategy(options.strategy, options.worker_timeout)
    check_mixed_precision(options.mixed_precision)
    check_replicas(strategy.num_replicas_in_sync, schedule.batch_size, options.jit_compile)
    keras.utils.set_random_seed(options.seed)
    with (
        _run_directory(dataset, options, writes=is_chief(strategy)) as run_directory,
        _dtype_policy(MIXED_PRECISIONS[options.mixed_precision]),
        make_watchdog(strategy, options.worker_timeout) as watchdog,
        report_lost_workers(strategy),
    ):
        # Only the model is built in the scope, because creating a variable there waits for all workers.
        with strategy.scope():
            model = _compiled_model(dataset, options)
        if verbose:
            print(labelled("data", str(dataset)))
            print(labelled("model", describe_model(options.architecture, model.count_params())))
            print(labelled("training", describe_schedule(options, schedule)))
            print(describe_run_dir(options), flush=True)
        history = _fit(model, dataset, options, strategy, run_directory, watchdog, callbacks, verbose)
    if verbose and (evaluation_line := describe_evaluation(dataset.train.shape, dataset.test.shape)):
        print(evaluation_line, flush=True)
    # The returned model computes in float32 on one device, even if the run had mixed precision or several replicas.
    weights, model = model.get_weights(), _compiled_model(dataset, options)
    model.set_weights(weights)
    extended_after_epochs = run_directory.extended_after_epochs if run_directory else ()
    return replace(
        _make_result(model, dataset, options, history, start_time), extended_after_epochs=extended_after_epochs
    )


def _make_result(
    model: Autoencoder, dataset: ImageDataset, options: TrainingOptions, history: list[Epoch], start_time: float
) -> TrainingResult:
    training_rmse, test_rmse = (evaluation.mean_rmse(model, images) for images in (dataset.train, dataset.test))
    # The last step's loss is computed before the step changes the weights. So the loss can be finite although the step
    # made the weights infinite or NaN. These RMSEs are not finite then.
    for split, rmse in (("training", training_rmse), ("test", test_rmse)):
        if not math.isfinite(rmse):
            raise RunError(f"the {split} RMSE is {rmse} after the last step; try a lower --learning_rate")
    code_values = options.architecture.size_per_image(dataset.image_shape).code_values
    baselines = evaluation.baselines(dataset.train, dataset.test, code_values)
    initial_loss = next((epoch.training_rmse for epoch in history if epoch.number == 0), None)
    final_loss = evaluation.mean_rmse(model, evaluation.sample(dataset.train))
    return TrainingResult(
        model=model,
        options=options,
        training_rmse=training_rmse,
        test_rmse=test_rmse,
        baselines=baselines,
        silent_channels=evaluation.silent_channels(lambda images: model.encode(images)[0], dataset.test),
        history=history,
        problem=evaluation.find_problem(test_rmse, baselines.mean_image_rmse, initial_loss, final_loss),
        seconds=time.perf_counter() - start_time,
    )


def _compiled_model(dataset: ImageDataset, options: TrainingOptions) -> Autoencoder:
    recipe = RECIPES[options.recipe]
    model = Autoencoder(options.architecture, dataset.image_shape, *recipe.initializers(options.architecture))
    schedule = options.schedule(len(dataset.train))
    model.compile(
        optimizer=recipe.optimizer(
            options.architecture, schedule.batch_size, schedule.total_steps, options.learning_rate
        ),
        loss=PerImageRMSELoss(),
        metrics=[PerImageRMSE()],
        jit_compile=JIT_COMPILE[options.jit_compile],
    )
    _make_variables(model)
    return model


def _make_variables(model: Autoencoder) -> None:
    """Makes the optimizer's and the metrics' variables, so that a checkpoint can be loaded into them.

    Keras itself makes them only in the first step.
    """
    model.optimizer.build(model.trainable_variables)
    black_image = tf.zeros((1, *model.image_shape))
    tf.distribute.get_strategy().run(model.compute_metrics, args=(black_image, black_image, black_image))


def _fit(
    model: Autoencoder,
    dataset: ImageDataset,
    options: TrainingOptions,
    strategy: tf.distribute.Strategy,
    run_directory: RunDirectory | None,
    watchdog: Watchdog,
    more_callbacks: Sequence[keras.callbacks.Callback],
    verbose: bool,
) -> list[Epoch]:
    """Trains the remaining steps and returns the run's history."""
    schedule = options.schedule(len(dataset.train))
    steps_per_epoch = schedule.steps_per_epoch
    steps_done, metrics = run_directory.restore(model) if run_directory else (0, [])
    if run_directory and steps_done and verbose:
        print(describe_resumption(options, schedule, steps_done, run_directory.extended_after_epochs), flush=True)
    make_guesses = RECIPES[options.recipe].make_guesses
    if make_guesses is not None and steps_done == 0:
        channels = model.image_shape[-1]
        set_initial_weights(model, dataset.train, make_guesses(options.architecture, channels), options.seed)
    history = run_directory.history(steps_done // steps_per_epoch) if run_directory else []
    if steps_done == 0:
        history = [Epoch(0, evaluation.mean_rmse(model, evaluation.sample(dataset.train)))]
    if strategy.num_replicas_in_sync == 1:
        model.steps_per_execution = steps_per_execution(
            steps_per_epoch, steps_done % steps_per_epoch, options.checkpoint_every or 0
        )
        # This choice ignores the number of epochs, which a resumed run may change.
        if options.jit_compile == "auto" and model.is_faster_compiled(len(dataset.train)):
            model.jit_compile = True
    progress = Progress(steps_done, steps_per_epoch, metrics)
    show_progress = ShowProgress(progress, schedule)
    with SignalsHeld() as signals:
        get_stop_signal, make_batches = signals.first_signal, partial(training_batches, dataset.train)
        if strategy.num_replicas_in_sync > 1:
            check_steps_agree(strategy, steps_done)
            get_stop_signal = ReplicatedTraining(model, strategy, signals.first_signal, watchdog).shared_signal
            make_batches = partial(global_batches, strategy, dataset.train)
        compute_test_rmse = make_rmse_function(strategy, dataset.test, watchdog.feed)
        validate = Validate(compute_test_rmse, options.validate_every) if options.validate_every else None
        checkpoints = SaveCheckpoints(progress, run_directory, options.checkpoint_every) if run_directory else None
        # The order matters, for the reasons beside the callbacks.
        callbacks: list[keras.callbacks.Callback | None] = [
            progress,  # First: it counts the steps, and others read the count.
            StopOnFailure(progress, dataset.test),  # Raises before a failed step is saved.
            validate,  # Adds to the epoch's metrics.
            KeepHistory(history, run_directory),  # Before the checkpoint, because resumed runs skip a saved epoch.
            *more_callbacks,
            show_progress if verbose else None,  # Prints what the callbacks above add to the metrics.
            _tensorboard_callback(run_directory, dataset),  # Before the checkpoint, for the same reason.
            checkpoints,
            StopWhenAsked(progress, get_stop_signal, checkpoints),  # Last: on a signal, saves a checkpoint and raises.
        ]
        try:
            for first_epoch, end, steps in _spans(steps_done, steps_per_epoch, schedule.epochs):
                model.fit(
                    make_batches(schedule.batch_size, options.seed, first_step=progress.step),
                    steps_per_epoch=steps,
                    initial_epoch=first_epoch,
                    epochs=end,
                    callbacks=[callback for callback in callbacks if callback],
                    shuffle=False,  # The batches are shuffled already. Without this argument, Keras warns.
                    verbose=0,
                )
        finally:
            show_progress.clear()
    return history


def _tensorboard_callback(run_directory: RunDirectory | None, dataset: ImageDataset) -> WriteTensorBoard | None:
    if run_directory is None or not run_directory.writes:
        return None
    return WriteTensorBoard(run_directory.logs, dataset.test[:PICTURED_IMAGES])


def steps_per_execution(*step_counts: int) -> int:
    """Returns the largest number of steps per execution, at most 8, that divides all of these numbers of steps.

    Every number divides 0, so a 0 does not restrict the result.

    >>> steps_per_execution(469, 0, 0), steps_per_execution(469, 0, 100), steps_per_execution(32, 0, 0)
    (7, 1, 8)
    """
    common = math.gcd(*step_counts)
    return max(count for count in range(1, MOST_STEPS_PER_EXECUTION + 1) if common % count == 0)


def _spans(steps_done: int, steps_per_epoch: int, epochs: int) -> list[tuple[int, int, int]]:
    """Returns (first epoch, end, steps in each epoch) for the remaining calls of fit.

    Epochs count from 0, and `end` is the epoch after the last one of the call. All epochs of one call have equally many
    steps. So an epoch that is resumed in its middle gets a call of its own.

    >>> _spans(steps_done=0, steps_per_epoch=10, epochs=3)
    [(0, 3, 10)]
    >>> _spans(steps_done=14, steps_per_epoch=10, epochs=3)
    [(1, 2, 6), (2, 3, 10)]
    """
    epoch, skipped = divmod(steps_done, steps_per_epoch)
    resumed_epoch = [(epoch, epoch + 1, steps_per_epoch - skipped)] if skipped else []
    return [*resumed_epoch, (epoch + len(resumed_epoch), epochs, steps_per_epoch)]


def _run_directory(
    dataset: ImageDataset, options: TrainingOptions, writes: bool
) -> contextlib.AbstractContextManager[RunDirectory | None]:
    if not options.run_dir:
        return contextlib.nullcontext()
    record = RunRecord(
        options=options.deciding_options(len(dataset.train)),
        dataset=dataset.name,
        training_images=len(dataset.train),
        image_shape=dataset.image_shape,
        fit=dataset.fit,
        pictures=dataset.fingerprint,
        peak_learning_rate=options.peak_learning_rate,
        onednn=os.environ.get(ONEDNN_VARIABLE) or None,
    )
    return RunDirectory(options.run_dir, record, options.resume, writes)


def check_mixed_precision(name: str) -> None:
    """Raises InputError if this machine cannot convolve in the dtype of `name`, one of `MIXED_PRECISIONS`.

    TensorFlow looks at the CPU, but oneDNN obeys the environment variable ONEDNN_MAX_CPU_ISA. If the variable is AVX2,
    TensorFlow can accept a dtype that oneDNN refuses. So this function tries a convolution.
    """
    dtype = keras.DTypePolicy(MIXED_PRECISIONS[name] or "float32").compute_dtype
    try:
        tf.nn.conv2d(tf.zeros((1, 2, 2, 1), dtype), tf.zeros((1, 1, 1, 1), dtype), 1, "SAME")
    except tf.errors.OpError as error:
        raise InputError(
            f"mixed_precision: this machine does not convolve in {dtype}; pass --mixed_precision=none"
        ) from error


@contextlib.contextmanager
def _dtype_policy(name: str | None) -> Iterator[None]:
    before = keras.config.dtype_policy()
    if name is not None:
        keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
