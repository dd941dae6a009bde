"""What watches a training run: failures, checkpoints, pictures in TensorBoard."""

import math
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from deconv_ae.checkpoints import RunDirectory
from deconv_ae.data import scale
from deconv_ae.errors import RunError

PROBE_IMAGES = 64
PROBE_EVERY_STEPS = 100


class StopOnFailure(keras.callbacks.Callback):
    """Ends a run that cannot succeed any more.

    Every step: a loss that is NaN or infinite. Every 100 steps and after every epoch: a code that
    is all zeros for all of 64 images, as when the ReLU of a last convolution has died; no gradient
    passes through it, so no later step can mend it.

    Args:
        images: `(N, height, width, channels)` uint8 to look at; the first 64 are used.

    Raises:
        RunError: from within fit.
    """

    def __init__(self, images: np.ndarray) -> None:
        super().__init__()
        self._probe = scale(tf.constant(images[:PROBE_IMAGES]))

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        step = int(self.model.optimizer.iterations)
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise RunError(f"the loss became {loss} at step {step}; try a lower --learning_rate")
        if step % PROBE_EVERY_STEPS == 0:
            self._check_code(step)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._check_code(int(self.model.optimizer.iterations))

    def _check_code(self, step: int) -> None:
        code, *_ = self.model.encoder(self._probe)
        if not tf.reduce_any(code != 0):
            raise RunError(
                f"at step {step} the code of every image is all zeros: a ReLU has died and cannot recover; "
                "try another --seed or a lower --learning_rate"
            )


class SaveCheckpoints(keras.callbacks.Callback):
    """A checkpoint in the run directory after every epoch."""

    def __init__(self, run_directory: RunDirectory) -> None:
        super().__init__()
        self._run_directory = run_directory

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._run_directory.save(self.model)


class PicturesInTensorBoard(keras.callbacks.Callback):
    """Images, code and reconstruction of a few images, after every epoch.

    Args:
        log_dir: TensorBoard's directory.
        images: `(N, height, width, channels)` uint8, shown as they are.
    """

    def __init__(self, log_dir: Path, images: np.ndarray) -> None:
        super().__init__()
        self._writer = tf.summary.create_file_writer(str(log_dir))
        self._images = scale(tf.constant(images))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        code, *switches = self.model.encoder(self._images)
        reconstruction = self.model.decoder([code, *switches])
        code = tf.cast(code, tf.float32)
        code = code / tf.maximum(tf.reduce_max(code), keras.config.epsilon())
        # Channels side by side: TensorBoard shows 1, 3 or 4 of them, a code may have any number.
        count, height, width, channels = code.shape
        tiles = tf.reshape(tf.transpose(code, (0, 1, 3, 2)), (count, height, channels * width, 1))
        with self._writer.as_default(step=epoch):
            for name, pictures in (
                ("1_original", self._images),
                ("2_code", tiles),
                ("3_reconstruction", tf.clip_by_value(reconstruction, 0, 1)),
            ):
                if pictures.shape[-1] in (1, 3, 4):
                    tf.summary.image(name, pictures, max_outputs=len(self._images))
        self._writer.flush()

    def on_train_end(self, logs: dict | None = None) -> None:
        self._writer.close()
