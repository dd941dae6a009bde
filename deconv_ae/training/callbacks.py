"""Keras callbacks of a training run: progress, failures, signals, checkpoints, TensorBoard."""

import contextlib
import math
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from deconv_ae.data import scale
from deconv_ae.errors import Interrupted, RunError, first_line
from deconv_ae.files import partial_directory
from deconv_ae.model.arrays import to_array
from deconv_ae.training.checkpoints import RunDirectory
from deconv_ae.training.history import Epoch

PROBE_IMAGES = 64
PROBE_EVERY_STEPS = 100


class Progress(keras.callbacks.Callback):
    """Counts the steps of the whole run.

    Keras calls callbacks after every execution, which may be several steps (steps_per_execution).

    The optimizer's own count would differ: under mixed_float16 Keras skips steps whose gradients overflow, but their
    batches are consumed.

    Args:
        step: number of steps done before this process trains.
        steps_per_epoch: number of steps in a whole epoch, even if the first epoch is resumed in its middle.
        metrics: values of the metrics' variables at `step`. Keras sets metrics to zero at the start of every epoch,
            so in an epoch that is resumed in its middle, the callback restores these values.
    """

    def __init__(self, step: int, steps_per_epoch: int, metrics: list[float]) -> None:
        super().__init__()
        self.step = step
        self._steps_per_epoch = steps_per_epoch
        self._metrics = metrics

    @property
    def epoch_is_complete(self) -> bool:
        return self.step % self._steps_per_epoch == 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._steps_before_epoch = self.step
        if not self.epoch_is_complete:
            for variable, value in zip(self.model.metrics_variables, self._metrics):
                variable.assign(value)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.step = self._steps_before_epoch + batch + 1


class StopOnFailure(keras.callbacks.Callback):
    """Raises RunError from within fit if the run can no longer succeed.

    After every execution of one or more steps, the callback checks that the loss is finite. Keras logs the mean of the
    epoch's losses, which stays NaN or infinite after the first step with such a loss. Every 100 steps and after every
    epoch, the callback encodes 64 images. If all their codes are zeros, the last convolution's ReLU has died. No
    gradient passes through a dead ReLU, so no later step can revive it.

    Args:
        progress: counts the steps.
        images: `(N, height, width, channels)` uint8; the first 64 are encoded.
    """

    def __init__(self, progress: Progress, images: np.ndarray) -> None:
        super().__init__()
        self._progress = progress
        self._probe_images = scale(tf.constant(images[:PROBE_IMAGES]))
        self._probed_step = progress.step
        self._last_finite_step = progress.step

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        loss, first, last = float((logs or {}).get("loss", 0.0)), self._last_finite_step + 1, self._progress.step
        if not math.isfinite(loss):
            steps = f"at step {last}" if first == last else f"in steps {first} to {last}"
            raise RunError(f"the loss became {loss} {steps}; try a lower --learning_rate")
        self._last_finite_step = last
        if self._progress.step // PROBE_EVERY_STEPS > self._probed_step // PROBE_EVERY_STEPS:
            self._raise_if_codes_are_zero()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._raise_if_codes_are_zero()

    def _raise_if_codes_are_zero(self) -> None:
        self._probed_step = self._progress.step
        code, _ = self.model.encode(self._probe_images)
        if not tf.reduce_any(code != 0):
            raise RunError(
                f"at step {self._progress.step} the code of every probed image is all zeros: a ReLU has died and "
                "cannot recover; try another --seed or a lower --learning_rate"
            )


class Validate(keras.callbacks.Callback):
    """Adds the RMSE over the test images to an epoch's metrics, as `test_rmse`, for later callbacks.

    Keras's own validation would overwrite the training's metrics, which are part of a checkpoint. It would also make
    every worker of a cluster read all images.

    Args:
        compute_rmse: computes a model's RMSE.
        every_epochs: number of epochs between two computations of the RMSE.
    """

    def __init__(self, compute_rmse: Callable[[keras.Model], float], every_epochs: int) -> None:
        super().__init__()
        self._compute_rmse = compute_rmse
        self._every_epochs = every_epochs

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if logs is not None and (epoch + 1) % self._every_epochs == 0:
            logs["test_rmse"] = self._compute_rmse(self.model)


class KeepHistory(keras.callbacks.Callback):
    """Adds every epoch's RMSE to a history, and writes the whole history to the run directory.

    Args:
        history: the list to add to. In a resumed run it must not contain the epochs that this run trains again.
        run_directory: where to write the history; if None, the history stays in memory only.
    """

    def __init__(self, history: list[Epoch], run_directory: RunDirectory | None) -> None:
        super().__init__()
        self._history = history
        self._run_directory = run_directory

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._write()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs = logs or {}
        test_rmse = logs.get("test_rmse")
        self._history.append(Epoch(epoch + 1, float(logs["rmse"]), None if test_rmse is None else float(test_rmse)))
        self._write()

    def _write(self) -> None:
        if self._run_directory:
            self._run_directory.write_history(self._history)


class SaveCheckpoints(keras.callbacks.Callback):
    """Saves a checkpoint to the run directory after every epoch, and within epochs every few steps.

    Args:
        progress: counts the steps.
        run_directory: where to save.
        every_steps: number of steps between two checkpoints; None saves after epochs only.
    """

    def __init__(self, progress: Progress, run_directory: RunDirectory, every_steps: int | None = None) -> None:
        super().__init__()
        self._progress = progress
        self._run_directory = run_directory
        self._every_steps = every_steps
        self._saved_step = progress.step

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        # After an epoch's last step, on_epoch_end saves the checkpoint. By then, the epoch's history and TensorBoard
        # records must be on the disk, because a run that resumes from the checkpoint does not write them.
        if self._progress.epoch_is_complete or not self._every_steps:
            return
        if self._progress.step // self._every_steps > self._saved_step // self._every_steps:
            self.save()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.save()

    def save(self) -> None:
        """Saves a checkpoint of this step if there is none yet."""
        if self._saved_step != self._progress.step:
            self._run_directory.save(self.model, self._progress.step)
            self._saved_step = self._progress.step


class StopWhenAsked(keras.callbacks.Callback):
    """Raises Interrupted from within fit, after the execution of steps in which a signal arrived.

    If that execution ended an epoch, the other callbacks first finish the epoch.

    Args:
        progress: counts the steps.
        get_stop_signal: returns the number of the signal that stops the run, or 0.
        checkpoints: saves a last checkpoint; None without a run directory.
    """

    def __init__(
        self, progress: Progress, get_stop_signal: Callable[[], int], checkpoints: SaveCheckpoints | None
    ) -> None:
        super().__init__()
        self._progress = progress
        self._get_stop_signal = get_stop_signal
        self._checkpoints = checkpoints

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if not self._progress.epoch_is_complete:
            self._stop_if_asked()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        number = self._get_stop_signal()
        if not number:
            return
        message = f"stopped by {signal.Signals(number).name} after step {self._progress.step}"
        if self._checkpoints is None:
            raise Interrupted(f"{message}; nothing was kept, because no --run_dir was given", number)
        self._checkpoints.save()
        raise Interrupted(f"{message}; the same command with --resume goes on from there", number)


class WriteTensorBoard(keras.callbacks.Callback):
    """Writes every epoch's metrics, learning rate, and images with their codes and reconstructions.

    This callback replaces Keras's TensorBoard callback, which buffers its records: if a run is killed when the epoch's
    checkpoint is on the disk but the records are still in memory, the records are lost for good.

    A disk error raises RunError from within fit.

    Args:
        log_dir: TensorBoard's directory.
        images: `(N, height, width, channels)` uint8. The codes of all of them are written every epoch, and if the
            images have 1, 3 or 4 channels, so are the images and their reconstructions.
    """

    def __init__(self, log_dir: Path, images: np.ndarray) -> None:
        super().__init__()
        self._log_dir = log_dir
        self._images = scale(tf.constant(images))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        try:
            self._log_dir.mkdir(exist_ok=True)  # Fails if the run directory was removed.
            with _epoch_file(self._log_dir / "train", epoch):
                for name, value in (logs or {}).items():
                    tf.summary.scalar(f"epoch_{name}", value)
                tf.summary.scalar("epoch_learning_rate", to_array(self.model.optimizer.learning_rate))
            with _epoch_file(self._log_dir / "pictures", epoch):
                self._write_pictures()
        except (OSError, tf.errors.OpError) as error:
            raise RunError(f"run_dir: {self._log_dir} cannot be written: {first_line(error)}") from error

    def _write_pictures(self) -> None:
        code, switches = self.model.encode(self._images)
        reconstruction = self.model.reconstruct(code, switches)
        code = tf.cast(code, tf.float32)
        code = code / tf.maximum(tf.reduce_max(code), keras.config.epsilon())
        # The tiles show a code's channels side by side, because TensorBoard shows only pictures of 1, 3 or 4 channels.
        count, height, width, channels = code.shape
        tiles = tf.reshape(tf.transpose(code, (0, 1, 3, 2)), (count, height, channels * width, 1))
        for name, pictures in (
            ("1_original", self._images),
            ("2_code", tiles),
            ("3_reconstruction", tf.clip_by_value(reconstruction, 0, 1)),
        ):
            if pictures.shape[-1] in (1, 3, 4):
                tf.summary.image(name, pictures, max_outputs=len(self._images))


@contextlib.contextmanager
def _epoch_file(log_dir: Path, epoch: int) -> Iterator[None]:
    """A context in which `tf.summary` writes the records of one epoch to a file of their own.

    The file appears only when it is complete. If a run is killed after that, but before the epoch's checkpoint is
    saved, the resumed run writes the epoch again and replaces the file. So no epoch is recorded twice.
    """
    with partial_directory(log_dir) as partial:
        writer = tf.summary.create_file_writer(str(partial))
        with writer.as_default(step=epoch):
            yield
        writer.close()
        log_dir.mkdir(exist_ok=True)
        # TensorBoard reads a directory's files in the order of their names.
        next(partial.iterdir()).replace(log_dir / f"epoch-{epoch:06d}.tfevents")
