"""One window's journey through a model: its pixels, the maximum, the switch, and the value back in its place."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from deconv_ae.data import scale
from deconv_ae.playground import drawings
from deconv_ae.playground.cards import CODE_KEYS, drawing_name
from deconv_ae.playground.model_run import ModelRun, maxima, pool_sizes, window_size
from deconv_ae.saved_model.keras_file import load_keras_model
from deconv_ae.saved_model.serving import ServedAutoencoder

HOW_TO_FOLLOW = "Click in a drawing to follow another window. In a code, arrow keys choose a value and Enter erases it."
LETTER_HEIGHT = 12 / 84
"""The height of letters as a share of a step's drawing: 12 of its 84 pixels in page.css."""
LONGEST_NUMBERED_SIDE = 5
"""The longest side of a window whose places have room for numbers."""


class LastPoolingInput:
    """Computes the input of a model's last pooling, which the SavedModel does not return.

    Args:
        model: the model.

    Raises:
        InputError: if the Keras model beside the SavedModel is missing or damaged.
    """

    def __init__(self, model: ServedAutoencoder) -> None:
        autoencoder = load_keras_model(model)
        last_pooling = autoencoder.get_layer(f"pool{len(pool_sizes(model))}")
        self._features = tf.function(keras.Model(autoencoder.inputs, last_pooling.input))

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Returns the last pooling's `(h, w, c)` float32 input for a `(height, width, channels)` uint8 picture."""
        return self._features(scale(tf.constant(picture[None])))[0].numpy()


@dataclass(frozen=True, eq=False)
class UnpooledWindow:
    """One window of one channel, before the last pooling and after its unpooling.

    Attributes:
        pooling_input: the window's values before the pooling, `(pool height, pool width)` float32.
        sent_switch: the switch that leaves the encoder: the place of the maximum.
        received_switch: the switch that reaches the decoder.
        restored: the window after unpooling, of the shape of `pooling_input`: the received value at the place
            `received_switch`, and zeros elsewhere.
        white_value: the value that is drawn in white: the largest maximum of the two codes, sent and received.
    """

    pooling_input: np.ndarray
    sent_switch: int
    received_switch: int
    restored: np.ndarray
    white_value: float


@dataclass(frozen=True, eq=False)
class Journey:
    """One value of the code on its way from the picture's pixels to the decoder's pixels.

    Attributes:
        place: the value's row, column and channel.
        pixels: the window of the picture that the value stands for, `(height, width, channels)` uint8.
        sent_value: the value that leaves the encoder.
        received_value: the value that reaches the decoder.
        unpooled: the window before the last pooling and after its unpooling; None if the value is a weighted average.
        reconstruction: the decoder's pixels of the same window, float32 of the shape of `pixels`.
    """

    place: tuple[int, int, int]
    pixels: np.ndarray
    sent_value: float
    received_value: float
    unpooled: UnpooledWindow | None
    reconstruction: np.ndarray


def follow_value(model: ServedAutoencoder, run: ModelRun, features: np.ndarray, place: tuple[int, int, int]) -> Journey:
    """Follows a value of the code through the model.

    Args:
        model: the model.
        run: the model's run on the picture.
        features: the input of the last pooling, from `LastPoolingInput`.
        place: the value's row, column and channel.

    Returns:
        The value's journey.
    """
    row, column, channel = place
    height, width = window_size(model)
    rows, columns = slice(row * height, (row + 1) * height), slice(column * width, (column + 1) * width)
    sent, received = (float(encoded.code[(0, *place)]) for encoded in (run.sent, run.received))
    is_maximum = channel < model.card.architecture.filters[-1]
    unpooled = _follow_maximum(model, run, features, place) if is_maximum else None
    return Journey(place, run.picture[rows, columns], sent, received, unpooled, run.reconstruction[rows, columns])


def _follow_maximum(
    model: ServedAutoencoder, run: ModelRun, features: np.ndarray, place: tuple[int, int, int]
) -> UnpooledWindow:
    row, column, channel = place
    height, width = pool_sizes(model)[-1]
    pooling_input = features[row * height : (row + 1) * height, column * width : (column + 1) * width, channel]
    sent, received = (int(encoded.switches[-1][(0, *place)]) for encoded in (run.sent, run.received))
    restored = np.zeros((height, width), np.float32)
    restored[divmod(received, width)] = run.received.code[(0, *place)]
    white_value = max(float(maxima(model, encoded).max()) for encoded in (run.sent, run.received))
    return UnpooledWindow(pooling_input, sent, received, restored, white_value)


def unpooling(model: ServedAutoencoder, run: ModelRun, channel: int) -> dict[str, Any] | None:
    """Returns one channel's values and switches, which unpooling.js plays; None if the channel holds averages."""
    received = maxima(model, run.received)
    rows, columns, channels = received.shape
    if channel >= channels:
        return None
    return {
        "title": model.name if channels == 1 else f"{model.name}, channel {channel + 1}",
        "windows": [rows, columns],
        "pool": pool_sizes(model)[-1],
        "values": [round(float(value), 2) for value in received[..., channel].flat],
        "places": run.received.switches[-1][0, ..., channel].ravel().tolist(),
    }


def journey_html(model: ServedAutoencoder, model_number: int, run: ModelRun, journey: Journey, is_erased: bool) -> str:
    """Returns the journey as HTML: a small picture and a caption for each step, and a button that erases the value.

    If the value is erased, the button puts the value back. For a maximum, the HTML also has a box for the switch.
    """
    shape = journey.pixels.shape
    pixel_lines = drawings.window_lines((shape[0], shape[1]), (1, 1))
    unpooled = journey.unpooled
    steps = (
        ("pixels", shape, drawings.image_element(journey.pixels) + pixel_lines, "its pixels"),
        *(_steps_of_average(model, journey) if unpooled is None else _steps_of_maximum(model, journey, unpooled)),
        ("drawn", shape, drawings.image_element(journey.reconstruction) + pixel_lines, "the decoder's pixels"),
    )
    figures = "".join(
        f"<li><figure>{drawings.drawing(size, content, drawing_name(model, run, f'one window, {subject}'))}"
        f"<figcaption>{caption}</figcaption></figure></li>"
        for subject, size, content, caption in steps
    )
    row, column, channel = journey.place
    location = f"{model.name}, row {row + 1}, column {column + 1}"
    location += f", channel {channel + 1}" if model.card.architecture.code_channels > 1 else ""
    place = "-".join(map(str, (model_number, *journey.place)))
    actions = f'<button data-erase="{place}">{"Put its value back" if is_erased else "Erase its value"}</button>'
    if unpooled is not None:
        pool = pool_sizes(model)[-1]
        actions += (
            f'<label>Its switch <input type="number" data-move="{place}" min="0" max="{pool[0] * pool[1] - 1}" '
            f'step="1" value="{unpooled.received_switch}"/></label>'
        )
    return (
        f'<section class="journey" aria-label="One window\'s journey"><h2>One window\'s journey</h2>'
        f'<div><p role="status">{html.escape(location)}: {journey.sent_value:.2f}</p>'
        f'<p id="{CODE_KEYS}">{HOW_TO_FOLLOW}</p>'
        f'<div class="actions">{actions}</div></div>'
        f"<ol>{figures}</ol></section>"
    )


_Step = tuple[str, Sequence[int], str, str]
"""The subject for screen readers, the drawing's size and content, and the caption."""


def _steps_of_maximum(model: ServedAutoencoder, journey: Journey, unpooled: UnpooledWindow) -> list[_Step]:
    """Returns the steps of a maximum's journey between the picture's pixels and the decoder's pixels."""
    pool = pool_sizes(model)[-1]
    lines = drawings.window_lines(pool, (1, 1))
    sent_frame, received_frame = (
        drawings.frame(*divmod(switch, pool[1]), kind="maximum")
        for switch in (unpooled.sent_switch, unpooled.received_switch)
    )
    input_image, restored_image = (
        _grey_image(each, unpooled.white_value) for each in (unpooled.pooling_input, unpooled.restored)
    )
    is_unchanged = (journey.sent_value, unpooled.sent_switch) == (journey.received_value, unpooled.received_switch)
    arrival_text = "back in its place" if is_unchanged else f"arrives, at place <b>{unpooled.received_switch}</b>"
    return [
        ("convolved", pool, input_image + lines + sent_frame, f"convolved, maximum <b>{journey.sent_value:.2f}</b>"),
        (
            "sent",
            pool,
            lines + _place_numbers(pool) + sent_frame,
            f"code <b>{journey.sent_value:.2f}</b>, switch <b>{unpooled.sent_switch}</b>",
        ),
        (
            "put back",
            pool,
            restored_image + lines + received_frame,
            f"<b>{journey.received_value:.2f}</b> {arrival_text}",
        ),
    ]


def _steps_of_average(model: ServedAutoencoder, journey: Journey) -> list[_Step]:
    """Returns the steps of a weighted average's journey between the picture's pixels and the decoder's pixels."""
    size = window_size(model)
    frame = drawings.window_lines((1, 1), size)
    return [
        ("sent", size, frame, f"their weighted average, <b>{journey.sent_value:.2f}</b>"),
        ("received", size, frame, f"<b>{journey.received_value:.2f}</b> arrives; it has no switch"),
    ]


def _grey_image(values: np.ndarray, white_value: float) -> str:
    """Draws values in shades of grey, from 0 in black to `white_value` in white."""
    return drawings.image_element((values / (white_value or 1.0))[..., None])


def _place_numbers(pool: Sequence[int]) -> str:
    """The numbers of a window's places as SVG text, or "" if the window is too large for them."""
    if max(pool) > LONGEST_NUMBERED_SIDE:
        return ""
    return "".join(
        f'<text x="{place % pool[1] + 0.5}" y="{place // pool[1] + 0.5}" font-size="{max(pool) * LETTER_HEIGHT:.2f}">'
        f"{place}</text>"
        for place in range(pool[0] * pool[1])
    )
