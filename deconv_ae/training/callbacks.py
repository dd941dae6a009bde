"""What watches a training run: its progress, failures, signals, checkpoints, TensorBoard."""

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

    Callbacks are called after every execution, which may be several steps (Keras's steps_per_execution).

    The optimizer's own count is not it: under mixed_float16 Keras leaves out the steps whose
    gradients overflow, and the data do not wait for them.

    Args:
        step: steps done before.
        steps_per_epoch: in a whole epoch, also where the first is a part of one.
        metrics: what the metrics had summed up when `step` was reached; Keras starts every epoch,
            also one that is resumed in its middle, with metrics at zero.
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
        self._start = self.step
        if not self.epoch_is_complete:
            for variable, value in zip(self.model.metrics_variables, self._metrics):
                variable.assign(value)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.step = self._start + batch + 1


class StopOnFailure(keras.callbacks.Callback):
    """Ends a run that cannot succeed any more.

    After every execution: a loss that was NaN or infinite in one of its steps. Once an epoch's mean is, it stays so.
    Every 100 steps and after every epoch:
    a code that is all zeros for all of 64 images, as when the ReLU of a last convolution has died; no gradient passes
    through it, so no later step can mend it.

    Args:
        progress: counts the steps.
        images: `(N, height, width, channels)` uint8 to look at; the first 64 are used.

    Raises:
        RunError: from within fit.
    """

    def __init__(self, progress: Progress, images: np.ndarray) -> None:
        super().__init__()
        self._progress = progress
        self._probe = scale(tf.constant(images[:PROBE_IMAGES]))
        self._probed_step = progress.step
        self._finite_until = progress.step

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        loss, first, last = float((logs or {}).get("loss", 0.0)), self._finite_until + 1, self._progress.step
        if not math.isfinite(loss):
            steps = f"at step {last}" if first == last else f"in steps {first} to {last}"
            raise RunError(f"the loss became {loss} {steps}; try a lower --learning_rate")
        self._finite_until = last
        if self._progress.step // PROBE_EVERY_STEPS > self._probed_step // PROBE_EVERY_STEPS:
            self._check_code()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._check_code()

    def _check_code(self) -> None:
        self._probed_step = self._progress.step
        code, _ = self.model.encode(self._probe)
        if not tf.reduce_any(code != 0):
            raise RunError(
                f"at step {self._progress.step} the code of every image is all zeros: a ReLU has died and cannot "
                "recover; try another --seed or a lower --learning_rate"
            )


class Validate(keras.callbacks.Callback):
    """Adds the RMSE over the test images to an epoch's metrics, as `test_rmse`, for the callbacks after it and the bar.

    Not Keras's validation: that sums up in the training's own metrics, which are part of a checkpoint, and has every
    worker of a cluster read all images.

    Args:
        rmse: of a model.
        every: epochs.
    """

    def __init__(self, rmse: Callable[[keras.Model], float], every: int) -> None:
        super().__init__()
        self._rmse = rmse
        self._every = every

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if logs is not None and (epoch + 1) % self._every == 0:
            logs["test_rmse"] = self._rmse(self.model)


class KeepHistory(keras.callbacks.Callback):
    """Adds every epoch's RMSE to a history, also in the run directory.

    Of an epoch that is trained again after a kill, what the history has is replaced.

    Args:
        history: is added to.
        run_directory: where it is kept; None keeps none.
    """

    def __init__(self, history: list[Epoch], run_directory: RunDirectory | None) -> None:
        super().__init__()
        self._history = history
        self._run_directory = run_directory

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._keep()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs = logs or {}
        test_rmse = logs.get("test_rmse")
        self._history.append(Epoch(epoch + 1, float(logs["rmse"]), None if test_rmse is None else float(test_rmse)))
        self._keep()

    def _keep(self) -> None:
        if self._run_directory:
            self._run_directory.keep_history(self._history)


class SaveCheckpoints(keras.callbacks.Callback):
    """A checkpoint in the run directory after every epoch, and within epochs every few steps.

    Args:
        progress: counts the steps.
        run_directory: where to.
        every_steps: None saves after epochs only.
    """

    def __init__(self, progress: Progress, run_directory: RunDirectory, every_steps: int | None = None) -> None:
        super().__init__()
        self._progress = progress
        self._run_directory = run_directory
        self._every_steps = every_steps
        self._saved_step = progress.step

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        # An epoch's last step is saved after the epoch's end: whoever goes on from there does not
        # write that epoch's TensorBoard records again.
        if self._progress.epoch_is_complete or not self._every_steps:
            return
        if self._progress.step // self._every_steps > self._saved_step // self._every_steps:
            self.save()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.save()

    def save(self) -> None:
        """A checkpoint of this step, if there is none yet."""
        if self._saved_step != self._progress.step:
            self._run_directory.save(self.model, self._progress.step)
            self._saved_step = self._progress.step


class StopWhenAsked(keras.callbacks.Callback):
    """Ends the run after the execution, or the epoch's end, in which a signal asked for it.

    Args:
        progress: counts the steps.
        asked: gives the signal's number, 0 while there is none.
        checkpoints: saves before the end; None where nothing is kept.

    Raises:
        Interrupted: from within fit.
    """

    def __init__(self, progress: Progress, asked: Callable[[], int], checkpoints: SaveCheckpoints | None) -> None:
        super().__init__()
        self._progress = progress
        self._asked = asked
        self._checkpoints = checkpoints

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if not self._progress.epoch_is_complete:
            self._stop_if_asked()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        number = self._asked()
        if not number:
            return
        stopped = f"stopped by {signal.Signals(number).name} after step {self._progress.step}"
        if self._checkpoints is None:
            raise Interrupted(f"{stopped}; nothing was kept, for want of a --run_dir", number)
        self._checkpoints.save()
        raise Interrupted(f"{stopped}; the same command with --resume goes on from there", number)


class WriteTensorBoard(keras.callbacks.Callback):
    """After every epoch: its metrics, its learning rate, and a few images, codes and reconstructions.

    Keras's own TensorBoard callback is not used: what it has written is still in its memory when
    the epoch's checkpoint is on the disk, and a killed run would lose it for good.

    Args:
        log_dir: TensorBoard's directory.
        images: `(N, height, width, channels)` uint8, shown as they are.

    Raises:
        RunError: from within fit, if it cannot be written.
    """

    def __init__(self, log_dir: Path, images: np.ndarray) -> None:
        super().__init__()
        self._log_dir = log_dir
        self._images = scale(tf.constant(images))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        try:
            self._log_dir.mkdir(exist_ok=True)  # Without parents: a run directory that was removed stays so.
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
        # Channels side by side: TensorBoard shows 1, 3 or 4 of them, a code may have any number.
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
    """TensorBoard's default writer, to a file that holds this epoch's records and nothing else.

    The file comes into its place whole. A run that is killed between it and the epoch's checkpoint
    writes the epoch once more, and replaces it: no step is there twice.
    """
    with partial_directory(log_dir) as partial:
        writer = tf.summary.create_file_writer(str(partial))
        with writer.as_default(step=epoch):
            yield
        writer.close()
        log_dir.mkdir(exist_ok=True)
        # TensorBoard reads a directory's files in the order of their names.
        next(partial.iterdir()).replace(log_dir / f"epoch-{epoch:06d}.tfevents")
