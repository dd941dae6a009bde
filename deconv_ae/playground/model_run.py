"""One model's run on one picture, with the page's changes to code and switches."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from deconv_ae.data import scale
from deconv_ae.model.baselines import thumbnail_size
from deconv_ae.model.objective import per_image_rmse
from deconv_ae.playground.tampering import Tampering
from deconv_ae.saved_model.serving import Encoded, ServedAutoencoder
from deconv_ae.training.evaluation import ENLARGING_METHODS, enlarged_thumbnails


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A picture reduced until it has at most as many numbers as the code, and then enlarged again.

    Attributes:
        size: the reduced picture's (height, width).
        enlarged: `(height, width, channels)` float32, by whichever of `ENLARGING_METHODS` has the lowest RMSE.
        rmse: the RMSE of the enlarged picture.
    """

    size: tuple[int, int]
    enlarged: np.ndarray
    rmse: float


@dataclass(frozen=True, eq=False)
class ModelRun:
    """One model's run on one picture: encoding, the page's changes, and decoding.

    Attributes:
        picture: `(height, width, channels)` uint8.
        sent: the encoder's code and switches.
        received: the code and switches that reach the decoder.
        reconstruction: the decoder's picture from `received`, `(height, width, channels)` float32.
        rmse: the RMSE of the reconstruction.
        untouched_rmse: the RMSE of the reconstruction from `sent`.
        thumbnail: the picture reduced and enlarged without a model, to compare with the reconstruction.
    """

    picture: np.ndarray
    sent: Encoded
    received: Encoded
    reconstruction: np.ndarray
    rmse: float
    untouched_rmse: float
    thumbnail: Thumbnail

    def rmse_text(self, rmse: float) -> str:
        """An RMSE as text, or "-" for a black picture."""
        return f"{rmse:.3f}" if self.picture.any() else "-"


def run_model(model: ServedAutoencoder, number: int, picture: np.ndarray, tampering: Tampering) -> ModelRun:
    """Encodes a picture, changes the code and switches, and decodes them with and without the changes.

    Args:
        model: the model.
        number: the model's number on the page, by which `tampering` names the model.
        picture: `(height, width, channels)` uint8.
        tampering: the changes.

    Returns:
        The run: the picture, and what the model made of it.
    """
    images = picture[None]
    sent = model.encode(images)
    received = tampering.apply(sent, number, pool_sizes(model))
    received_and_sent = Encoded(
        np.concatenate([received.code, sent.code]),
        tuple(np.concatenate(pair) for pair in zip(received.switches, sent.switches)),
    )
    reconstructions = model.decode(received_and_sent)
    rmse, untouched_rmse = per_image_rmse(scale(images), reconstructions).numpy()
    thumbnail = _thumbnail(picture, model.card.size_per_image.code_values)
    return ModelRun(picture, sent, received, reconstructions[0], float(rmse), float(untouched_rmse), thumbnail)


def _thumbnail(picture: np.ndarray, code_values: int) -> Thumbnail:
    enlarged, rmses = (each.numpy() for each in _enlarge_by_each_method(tf.constant(picture[None]), code_values))
    best = int(rmses.argmin())
    return Thumbnail(thumbnail_size(picture.shape, code_values), enlarged[best], float(rmses[best]))


@tf.function  # A graph takes a fifth of the time of eager execution.
def _enlarge_by_each_method(images: tf.Tensor, code_values: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Reduces images, and enlarges them by each of `ENLARGING_METHODS`. Returns the enlarged images and their RMSEs."""
    scaled = scale(images)
    enlarged = tf.concat([enlarged_thumbnails(scaled, code_values, method) for method in ENLARGING_METHODS], axis=0)
    return enlarged, per_image_rmse(scaled, enlarged)


def pool_sizes(model: ServedAutoencoder) -> list[tuple[int, int]]:
    """(height, width) of each pooling's windows."""
    return [(height, width) for height, width in model.card.architecture.pool_sizes]


def window_size(model: ServedAutoencoder) -> tuple[int, int]:
    """(height, width) of a window of the picture. Each value of the code stands for one window."""
    return model.card.architecture.block


def maxima(model: ServedAutoencoder, encoded: Encoded) -> np.ndarray:
    """A code's maxima, `(h, w, filters)`, without its averages."""
    return encoded.code[0, ..., : model.card.architecture.filters[-1]]


def most_telling_place(model: ServedAutoencoder, run: ModelRun) -> tuple[int, int, int]:
    """Row, column and channel of the maximum that is largest when multiplied by the contrast of its window's pixels."""
    code = maxima(model, run.sent)
    rows, columns, _ = code.shape
    height, width = window_size(model)
    pixels = run.picture[: rows * height, : columns * width].reshape(rows, height, columns, width, -1)
    row, column, channel = np.unravel_index(np.argmax(code * pixels.std(axis=(1, 3)).mean(-1)[..., None]), code.shape)
    return int(row), int(column), int(channel)


def strongest_channel(model: ServedAutoencoder, run: ModelRun, row: int, column: int) -> int:
    """The channel with the largest maximum in a window."""
    return int(maxima(model, run.sent)[row, column].argmax())
