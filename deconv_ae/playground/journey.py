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
from deconv_ae.playground.cards import CODE_KEYS, Passage, maxima, name, pool_sizes, window_size
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
    """What becomes of one window of a model's last pooling, or of one average, which has no switch.

    Attributes:
        place: row and column of the window, and the channel.
        pixels: the picture's, `(height, width, channels)` uint8.
        values: of which the maximum is taken, `(pool height, pool width)` float32; None of an average.
        sent, received: the value and the switch that leave the encoder, and that reach the decoder.
        restored: `received`'s value in its place, zeros around it; the shape of `values`.
        reconstruction: the shape of `pixels`, float32.
        brightest: the largest value of the whole code, sent or received, 0 or more.
    """

    place: tuple[int, int, int]
    pixels: np.ndarray
    values: np.ndarray | None
    sent: tuple[float, int | None]
    received: tuple[float, int | None]
    restored: np.ndarray | None
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
    sent, received = (float(encoded.code[at]) for encoded in (passage.sent, passage.received))
    pixels, drawn = passage.picture[rows, columns], passage.reconstruction[rows, columns]
    brightest = max(float(maxima(model, encoded).max()) for encoded in (passage.sent, passage.received))
    if channel >= model.card.architecture.filters[-1]:
        return Journey(place, pixels, None, (sent, None), (received, None), None, drawn, brightest)
    switch, arrived = (int(encoded.switches[-1][at]) for encoded in (passage.sent, passage.received))
    restored = np.zeros((pool_height, pool_width), np.float32)
    restored[divmod(arrived, pool_width)] = received
    values = features[
        row * pool_height : (row + 1) * pool_height, column * pool_width : (column + 1) * pool_width, channel
    ]
    return Journey(place, pixels, values, (sent, switch), (received, arrived), restored, drawn, brightest)


def strip(model: ServedAutoencoder, number: int, passage: Passage, followed: Journey, is_erased: bool) -> str:
    """The journey as HTML: small pictures, and under each what happens there; the value is erased with a button, and
    the switch moved with a box."""
    size = followed.pixels.shape
    pixel_lines = drawings.window_lines((size[0], size[1]), (1, 1))
    steps = (
        ("pixels", size, drawings.picture(followed.pixels) + pixel_lines, "its pixels"),
        *(_averaged(model, followed) if followed.values is None else _pooled(model, followed)),
        ("drawn", size, drawings.picture(followed.reconstruction) + pixel_lines, "what is drawn"),
    )
    figures = "".join(
        f"<li><figure>{drawings.drawing(size, content, name(model, passage, f'one window, {what}'))}"
        f"<figcaption>{caption}</figcaption></figure></li>"
        for what, size, content, caption in steps
    )
    row, column, channel = followed.place
    where = f"{model.name}, row {row + 1}, column {column + 1}"
    where += f", channel {channel + 1}" if model.card.architecture.code_channels > 1 else ""
    place = "-".join(map(str, (number, *followed.place)))
    acts = f'<button data-erase="{place}">{"Put its value back" if is_erased else "Erase its value"}</button>'
    if followed.received[1] is not None:
        pool = pool_sizes(model)[-1]
        acts += (
            f'<label>Its switch <input type="number" data-move="{place}" min="0" max="{pool[0] * pool[1] - 1}" '
            f'step="1" value="{followed.received[1]}"/></label>'
        )
    return (
        f'<section class="journey" aria-label="One window\'s journey"><h2>One window\'s journey</h2>'
        f'<div><p role="status">{html.escape(where)}: {followed.sent[0]:.2f}</p><p id="{CODE_KEYS}">{HOW_TO_FOLLOW}</p>'
        f'<div class="acts">{acts}</div></div>'
        f"<ol>{figures}</ol></section>"
    )


_Step = tuple[str, Sequence[int], str, str]
"""What a screen reader says, the drawing's size and content, and the caption."""


def _pooled(model: ServedAutoencoder, followed: Journey) -> list[_Step]:
    """A maximum, its switch, and the value back in its place."""
    (value, switch), (arrived, arrived_switch) = followed.sent, followed.received
    pool = pool_sizes(model)[-1]
    lines = drawings.window_lines(pool, (1, 1))
    maximum, put_back = (
        drawings.frame(*divmod(int(place or 0), pool[1]), kind="maximum") for place in (switch, arrived_switch)
    )
    values, restored = (
        _grey(np.asarray(values), followed.brightest) for values in (followed.values, followed.restored)
    )
    untouched = followed.sent == followed.received
    where = "back in its place" if untouched else f"arrives, at place <b>{arrived_switch}</b>"
    return [
        ("convolved", pool, values + lines + maximum, f"convolved, maximum <b>{value:.2f}</b>"),
        ("sent", pool, lines + _numbers(pool) + maximum, f"code <b>{value:.2f}</b>, switch <b>{switch}</b>"),
        ("put back", pool, restored + lines + put_back, f"<b>{arrived:.2f}</b> {where}"),
    ]


def _averaged(model: ServedAutoencoder, followed: Journey) -> list[_Step]:
    """A weighted average of the window's pixels."""
    (value, _), (arrived, _) = followed.sent, followed.received
    frame = drawings.window_lines((1, 1), window_size(model))
    size = window_size(model)
    return [
        ("sent", size, frame, f"a weighted average of them, <b>{value:.2f}</b>"),
        ("received", size, frame, f"<b>{arrived:.2f}</b> arrives; it has no switch"),
    ]


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
