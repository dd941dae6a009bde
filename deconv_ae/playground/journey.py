"""One window's journey through a model: its pixels, the maximum, the switch, the value back in its place."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from deconv_ae.conversion.convert import load_keras_model
from deconv_ae.data import scale
from deconv_ae.playground import drawings
from deconv_ae.playground.cards import CODE_KEYS, Passage, name, pool_sizes, window_size
from deconv_ae.saved_model.serving import ServedAutoencoder

HOW_TO_FOLLOW = "Click in a drawing to follow another. In a code, arrow keys follow and Enter erases."
LETTERS = 12 / 84
"""Their height as a share of a step's drawing: 12 of its 84 pixels in page.css."""
MOST_NUMBERED = 5


class BeforePooling:
    """What a model's last pooling is given, which its SavedModel keeps to itself.

    Raises:
        InputError: if the Keras model beside the SavedModel is missing or damaged.
    """

    def __init__(self, model: ServedAutoencoder) -> None:
        autoencoder = load_keras_model(model)
        last = autoencoder.get_layer(f"pool{len(pool_sizes(model))}")
        self._features = tf.function(keras.Model(autoencoder.inputs, last.input))
        self(np.zeros(model.card.image_shape, np.uint8))  # Traced now, and not while somebody waits for an answer.

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """`(height, width, channels)` uint8 to the `(h, w, c)` float32 values of which the maxima are taken."""
        return self._features(scale(tf.constant(picture[None])))[0].numpy()


@dataclass(frozen=True, eq=False)
class Journey:
    """What becomes of one window of a model's last pooling.

    Attributes:
        place: row and column of the window, and the channel.
        pixels: the picture's, `(height, width, channels)` uint8.
        values: of which the maximum is taken, `(pool height, pool width)` float32.
        sent, received: the value and the switch that leave the encoder, and that reach the decoder.
        restored: `received`'s value in its place, zeros around it; the shape of `values`.
        reconstruction: the shape of `pixels`, float32.
        brightest: the largest value of the whole code, sent or received, 0 or more.
    """

    place: tuple[int, int, int]
    pixels: np.ndarray
    values: np.ndarray
    sent: tuple[float, int]
    received: tuple[float, int]
    restored: np.ndarray
    reconstruction: np.ndarray
    brightest: float


def journey(model: ServedAutoencoder, passage: Passage, features: np.ndarray, place: tuple[int, int, int]) -> Journey:
    """Follows the window whose maximum is a code's value.

    Args:
        features: `BeforePooling`'s, of the passage's picture.
        place: the value's row, column and channel in the code.
    """
    row, column, channel = place
    pool_height, pool_width = pool_sizes(model)[-1]
    height, width = window_size(model)
    rows, columns = slice(row * height, (row + 1) * height), slice(column * width, (column + 1) * width)
    at = (0, row, column, channel)
    sent, received = (
        (float(encoded.code[at]), int(encoded.switches[-1][at])) for encoded in (passage.sent, passage.received)
    )
    restored = np.zeros((pool_height, pool_width), np.float32)
    restored[divmod(received[1], pool_width)] = received[0]
    return Journey(
        place,
        passage.picture[rows, columns],
        features[row * pool_height : (row + 1) * pool_height, column * pool_width : (column + 1) * pool_width, channel],
        sent,
        received,
        restored,
        passage.reconstruction[rows, columns],
        max(float(passage.sent.code.max()), float(passage.received.code.max())),
    )


def strip(model: ServedAutoencoder, number: int, passage: Passage, followed: Journey, is_erased: bool) -> str:
    """The journey as HTML: five small pictures, and under each what happens there; the value is erased with a button,
    and the switch moved with a box."""
    (value, switch), (arrived, arrived_switch) = followed.sent, followed.received
    untouched = followed.sent == followed.received
    pool = pool_sizes(model)[-1]
    size = followed.pixels.shape
    lines = drawings.window_lines(pool, (1, 1))
    pixel_lines = drawings.window_lines((size[0], size[1]), (1, 1))
    maximum, put_back = (drawings.frame(*divmod(place, pool[1]), kind="maximum") for place in (switch, arrived_switch))
    values, restored = (_grey(values, followed.brightest) for values in (followed.values, followed.restored))
    steps = (
        ("pixels", size, drawings.picture(followed.pixels) + pixel_lines, "its pixels"),
        ("convolved", pool, values + lines + maximum, f"convolved, maximum <b>{value:.2f}</b>"),
        ("sent", pool, lines + _numbers(pool) + maximum, f"code <b>{value:.2f}</b>, switch <b>{switch}</b>"),
        (
            "put back",
            pool,
            restored + lines + put_back,
            f"<b>{arrived:.2f}</b> "
            + ("back in its place" if untouched else f"arrives, at place <b>{arrived_switch}</b>"),
        ),
        ("drawn", size, drawings.picture(followed.reconstruction) + pixel_lines, "what is drawn"),
    )
    figures = "".join(
        f"<li><figure>{drawings.drawing(size, content, name(model, passage, f'one window, {what}'))}"
        f"<figcaption>{caption}</figcaption></figure></li>"
        for what, size, content, caption in steps
    )
    row, column, channel = followed.place
    where = f"{model.name}, row {row + 1}, column {column + 1}"
    where += f", channel {channel + 1}" if model.card.architecture.filters[-1] > 1 else ""
    place = "-".join(map(str, (number, *followed.place)))
    acts = (
        f'<div class="acts"><button data-erase="{place}">{"Put its value back" if is_erased else "Erase its value"}'
        f'</button><label>Its switch <input type="number" data-move="{place}" min="0" max="{pool[0] * pool[1] - 1}" '
        f'step="1" value="{arrived_switch}"/></label></div>'
    )
    return (
        f'<section class="journey" aria-label="One window\'s journey"><h2>One window\'s journey</h2>'
        f'<div><p role="status">{html.escape(where)}: {value:.2f}</p><p id="{CODE_KEYS}">{HOW_TO_FOLLOW}</p>'
        f"{acts}</div>"
        f"<ol>{figures}</ol></section>"
    )


def _grey(values: np.ndarray, brightest: float) -> str:
    return drawings.picture((values / (brightest or 1.0))[..., None])


def _numbers(pool: Sequence[int]) -> str:
    """The numbers of a window's places, as long as there is room for them."""
    if max(pool) > MOST_NUMBERED:
        return ""
    return "".join(
        f'<text x="{place % pool[1] + 0.5}" y="{place // pool[1] + 0.5}" font-size="{max(pool) * LETTERS:.2f}">'
        f"{place}</text>"
        for place in range(pool[0] * pool[1])
    )
