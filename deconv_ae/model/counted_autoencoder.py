"""The autoencoder while it trains: it counts its steps where Keras executes several at once."""

from typing import Any

import keras
import tensorflow as tf

from deconv_ae.model.autoencoder import Autoencoder


@keras.saving.register_keras_serializable(package="deconv_ae.training")
class CountedAutoencoder(Autoencoder):
    """An `Autoencoder` that knows how many of its training steps had a finite loss.

    Callbacks hear of an execution, which may be several steps, only when it is over; which of its steps failed, only
    the steps themselves can tell.

    Attributes:
        finite_steps: int64 variable, the steps trained before the first whose loss was NaN or infinite.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.finite_steps = tf.Variable(0, dtype=tf.int64, trainable=False)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        logs = super().train_step(data)
        # The mean since the epoch began: once it is not finite, it stays so.
        self.finite_steps.assign_add(tf.cast(tf.math.is_finite(logs["loss"]), tf.int64))
        return logs
