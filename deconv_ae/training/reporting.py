"""A run's messages: its data, model and schedule before it starts, and its progress while it trains."""

import itertools
import math
import shutil
import sys
import textwrap
import time

import keras

from deconv_ae.model.architecture import Architecture
from deconv_ae.model.recipes import RECIPES
from deconv_ae.training.callbacks import Progress
from deconv_ae.training.options import TrainingOptions
from deconv_ae.training.schedule import STEPS_FOR_A_RECIPES_EPOCH, Schedule

BAR_WIDTH = 20
REDRAWN_SECONDS = 0.1
LINE_SECONDS = 10.0
"""Seconds between two progress lines within an epoch, if the output is not a terminal."""
VALUES_EVALUATED_SILENTLY = 1 << 28
"""MNIST has a fifth of this many values and takes seconds; 40,000 pictures of 128x128x3 have seven times as many."""


def labelled(label: str, *texts: str) -> str:
    """Formats a label and texts for a terminal of 80 columns. Each text begins a new line.

    >>> print(labelled("run", "runs/mine", "goes on with --resume"))
    run       runs/mine
              goes on with --resume
    """
    lines = [line for text in texts for line in textwrap.wrap(text, 70, break_long_words=False, break_on_hyphens=False)]
    return "\n".join(f"{name:<10}{line}" for name, line in itertools.zip_longest([label], lines, fillvalue=""))


def describe_model(architecture: Architecture, parameters: int) -> str:
    """Describes a model in a line.

    >>> describe_model(Architecture(filters=(16, 8), pool_sizes=(2, (4, 2))), 13_203)
    'filters 16, 8; pools 2x2, 4x2; kernels 5x5: 13,203 parameters'
    """
    height, width = architecture.kernel_size
    return f"{architecture.title}; kernels {height}x{width}: {parameters:,} parameters"


def describe_schedule(options: TrainingOptions, schedule: Schedule) -> str:
    """Describes the recipe and the schedule. If the run needs more epochs than the recipe has, says why.

    >>> options = TrainingOptions(Architecture((1,), (4,)))
    >>> describe_schedule(options, options.schedule(300))
    "recipe default; 300 pictures: 20 steps an epoch, 30 epochs, since the recipe's 3 epochs need 200 steps each"
    """
    recipe = RECIPES[options.recipe]
    text = f"recipe {options.recipe}; {schedule}"
    if options.epochs is None and schedule.epochs > recipe.epochs:
        text += f", since the recipe's {recipe.epochs} epochs need {STEPS_FOR_A_RECIPES_EPOCH} steps each"
    return text


def describe_run_dir(options: TrainingOptions) -> str:
    """Says where a run's checkpoints and logs go, and how to stop and resume it."""
    if not options.run_dir:
        return labelled("stop", "Ctrl-C; without --run_dir, nothing is kept")
    steps = f" and every {options.checkpoint_every:,} steps" if options.checkpoint_every else ""
    text = labelled("run", f"{options.run_dir}: a checkpoint every epoch{steps}; logs for TensorBoard in logs")
    return f"{text}\n{labelled('stop', 'Ctrl-C; the same command with --resume goes on')}"


def describe_resumption(
    options: TrainingOptions, schedule: Schedule, steps_done: int, extended_after_epochs: tuple[int, ...]
) -> str:
    """Says that a run is complete, or where it resumes.

    If the run was extended and its recipe plans the learning rate for all epochs, the text also says that the weights
    will differ from those of a run that had all epochs from the beginning.

    Args:
        options: the run's options.
        schedule: the run's schedule.
        steps_done: number of steps done.
        extended_after_epochs: the earlier numbers of epochs, if the run was extended.

    Returns:
        The labelled text.
    """
    epoch, step = divmod(steps_done, schedule.steps_per_epoch)
    if epoch >= schedule.epochs:
        return labelled("resumed", f"complete, after epoch {schedule.epochs}; a larger --epochs extends it")
    text = f"after step {step} of epoch {epoch + 1}" if step else f"after epoch {epoch}"
    if extended_after_epochs and RECIPES[options.recipe].plans_ahead:
        planned_epochs = ", then ".join(map(str, extended_after_epochs))
        text += (
            f"; the learning rate was planned for --epochs={planned_epochs} and rises again, so the weights will "
            f"differ from those of a single run with --epochs={schedule.epochs}"
        )
    return labelled("resumed", text)


def describe_evaluation(training_shape: tuple[int, ...], test_shape: tuple[int, ...]) -> str:
    """Says what is evaluated after the last epoch, if that takes long; otherwise returns "".

    >>> print(describe_evaluation((32_000, 128, 128, 3), (8_000, 128, 128, 3)))
    evaluate  32,000 training and 8,000 test images, with the model and without one
    >>> describe_evaluation((60_000, 28, 28, 1), (10_000, 28, 28, 1))
    ''
    """
    if math.prod(training_shape) + math.prod(test_shape) < VALUES_EVALUATED_SILENTLY:
        return ""
    text = f"{training_shape[0]:,} training and {test_shape[0]:,} test images, with the model and without one"
    return labelled("evaluate", text)


def format_duration(seconds: float) -> str:
    """Formats an estimated time, with no more digits than the estimate allows.

    >>> format_duration(0.2), format_duration(89), format_duration(91), format_duration(5000)
    ('1 s', '89 s', '2 min', '1 h 23 min')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class ShowProgress(keras.callbacks.Callback):
    """Prints a line for every epoch, with its RMSE and the time left for the whole run.

    During an epoch, the callback redraws a progress line on a terminal, and elsewhere prints one every `LINE_SECONDS`.
    The callback must come after all others that add to an epoch's metrics.

    Args:
        progress: counts the steps.
        schedule: the whole run's schedule.
    """

    def __init__(self, progress: Progress, schedule: Schedule) -> None:
        super().__init__()
        self._progress = progress
        self._schedule = schedule
        self._redraws = sys.stdout.isatty()
        self._line_width = 0
        self._drawn_at = 0.0
        # The step and the time after the first execution. The estimate of the time left ignores the first execution,
        # because its tracing and compiling take as long as hundreds of executions.
        self._measuring_start: tuple[int, float] | None = None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._drawn_at = 0.0 if self._redraws else time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        logs, now = logs or {}, time.monotonic()
        if self._measuring_start is None:
            self._measuring_start = (self._progress.step, now)
        if now - self._drawn_at < (REDRAWN_SECONDS if self._redraws else LINE_SECONDS):
            return
        if self._progress.epoch_is_complete and not self._redraws:
            return
        self._drawn_at = now
        epoch, step = divmod(self._progress.step - 1, self._schedule.steps_per_epoch)
        filled = round(BAR_WIDTH * (step + 1) / self._schedule.steps_per_epoch)
        bar = f"{'=' * filled}{' ' * (BAR_WIDTH - filled)}"
        self._draw(f"{self._epoch_label(epoch)} [{bar}] RMSE {float(logs['rmse']):.4f}{self._time_left(now)}")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs = logs or {}
        test_rmse = f", test RMSE {logs['test_rmse']:.4f}" if "test_rmse" in logs else ""
        self.clear()
        time_left = self._time_left(time.monotonic())
        print(f"{self._epoch_label(epoch)} training RMSE {logs['rmse']:.4f}{test_rmse}{time_left}", flush=True)

    def clear(self) -> None:
        """Removes the progress line, before other lines are printed and when training ends in an error."""
        if self._line_width:
            self._draw("")
            print("\r", end="", flush=True)
        self._line_width = 0

    def _draw(self, line: str) -> None:
        if not self._redraws:
            print(line, flush=True)
            return
        line = line[: shutil.get_terminal_size().columns - 1]
        print(f"\r{line:<{self._line_width}}", end="", flush=True)
        self._line_width = len(line)

    def _epoch_label(self, epoch: int) -> str:
        epochs = str(self._schedule.epochs)
        return f"epoch {epoch + 1:>{len(epochs)}}/{epochs}"

    def _time_left(self, now: float) -> str:
        if self._measuring_start is None:
            return ""
        first_step, start = self._measuring_start
        steps, steps_left = self._progress.step - first_step, self._schedule.total_steps - self._progress.step
        return f", {format_duration((now - start) / steps * steps_left)} left" if steps and steps_left > 0 else ""
