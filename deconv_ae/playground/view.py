"""What the page shows of a state: a card for each model, one window's journey, and a line on what was changed."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from deconv_ae.errors import InputError
from deconv_ae.playground.cards import cards
from deconv_ae.playground.journey import LastPoolingInput, follow_value, journey_html, unpooling
from deconv_ae.playground.link import Place, State
from deconv_ae.playground.model_run import most_telling_place, pool_sizes, run_model, strongest_channel, window_size
from deconv_ae.playground.tampering import CodeValue, Move, Tampering, is_inside
from deconv_ae.saved_model.serving import ServedAutoencoder


@dataclass(frozen=True)
class Shown:
    """What the page shows for a state.

    Attributes:
        state: the state. If it names a window without a channel, the channel is filled in.
        models: a card for each model, as HTML.
        journey: the journey of `window`, as HTML.
        unpooling: the values and switches that unpooling.js plays; None if the channel of `window` holds averages.
        changes: what was changed in codes and switches, as HTML.
        window: the window that the state names, or that `View.show` chose if the state names none.
    """

    state: State
    models: str
    journey: str
    unpooling: dict[str, Any] | None
    changes: str
    window: CodeValue


class View:
    """Passes pictures through models, and draws what the page shows.

    Args:
        models: models of one image shape, grey or colour.
        test_images: `(N, height, width, channels)` uint8.

    Raises:
        InputError: if a model does not take the test images, if they have neither 1 nor 3 channels, or if the Keras
            model beside a SavedModel is missing or damaged.
    """

    def __init__(self, models: Sequence[ServedAutoencoder], test_images: np.ndarray) -> None:
        for model in models:
            model.check(test_images)
        if test_images.shape[-1] not in (1, 3):
            raise InputError(f"model: images of {test_images.shape[-1]} channels cannot be drawn on; give 1 or 3")
        self.models = list(models)
        self._code_shapes = [model.card.architecture.code_shape(model.card.image_shape) for model in models]
        # If a state names no window, `show` chooses one in the model with the largest windows. Small ones show little.
        self._default_model_number = int(np.argmax([math.prod(window_size(model)) for model in models]))
        self._last_pooling_inputs = [LastPoolingInput(model) for model in models]
        # Traces the TensorFlow functions, so that the first user need not wait.
        self.show(State(test_images[0], 0, Tampering()))

    def show(self, state: State) -> Shown:
        """Draws what the page shows for a state. The state's window must exist: see `without_unknown_places`."""
        runs = [run_model(model, number, state.picture, state.tampering) for number, model in enumerate(self.models)]
        if state.window is None:
            number = self._default_model_number
            window = (number, *most_telling_place(self.models[number], runs[number]))
        else:
            number, row, column, channel = state.window
            if channel is None:
                channel = strongest_channel(self.models[number], runs[number], row, column)
            window = (number, row, column, channel)
            state = replace(state, window=window)
        model, run = self.models[number], runs[number]
        features = self._last_pooling_inputs[number](state.picture)
        journey = follow_value(model, run, features, window[1:])
        return Shown(
            state,
            cards(self.models, runs, state.tampering, window),
            journey_html(model, number, run, journey, window in state.tampering.erased),
            unpooling(model, run, window[-1]),
            f"Changed on the way: {html.escape(str(state.tampering))}.",
            window,
        )

    def without_unknown_places(self, state: State) -> tuple[State, dict[str, str]]:
        """Removes values, windows and places that these models do not have.

        A link to a page of other models may name such places.

        Args:
            state: the state.

        Returns:
            The remaining state, and a dictionary of messages. Its keys are those of "erased", "moved" and "window" from
            which something was removed. Each message names one removed value, move or window.
        """
        refused = {}
        erased = frozenset(filter(self.has_place, state.tampering.erased))
        if erased != state.tampering.erased:
            missing = min(state.tampering.erased - erased)
            refused["erased"] = f"erased: no model here has a value at {'-'.join(map(str, missing))}"
            state = replace(state, tampering=replace(state.tampering, erased=erased))
        moved = frozenset(filter(self.has_move, state.tampering.moved))
        if moved != state.tampering.moved:
            move = "-".join(map(str, min(state.tampering.moved - moved)))
            refused["moved"] = f"moved: no model here has such a window and place: {move}"
            state = replace(state, tampering=replace(state.tampering, moved=moved))
        if state.window is not None and not self.has_place(state.window):
            place = "-".join(str(part) for part in state.window if part is not None)
            refused["window"] = f"window: no model here has one at {place}"
            state = replace(state, window=None)
        return state, refused

    def has_place(self, place: Place) -> bool:
        """Whether the model of this place exists, and its code has the place's row, column and channel."""
        number, row, column, channel = place
        return 0 <= number < len(self.models) and is_inside((row, column, channel or 0), self._code_shapes[number])

    def has_move(self, move: Move) -> bool:
        """Whether these models have the switch that a move names, and the switch's window has the move's place."""
        return (
            self.has_place(move[:4])
            and move[3] < self.models[move[0]].card.architecture.filters[-1]
            and move[4] < math.prod(pool_sizes(self.models[move[0]])[-1])
        )
