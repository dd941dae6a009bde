"""What the page shows beside its controls, whole: what is done, a card for each model, one window's journey."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from deconv_ae.errors import InputError
from deconv_ae.playground.cards import cards, pass_through, pool_sizes, strongest, telling, window_size
from deconv_ae.playground.journey import BeforePooling, journey, strip
from deconv_ae.playground.link import Place, State
from deconv_ae.playground.tampering import Move, Pixel, is_inside
from deconv_ae.saved_model.serving import ServedAutoencoder


@dataclass(frozen=True)
class Shown:
    """What is shown of a state, as HTML.

    Attributes:
        state: with the channel of the window that is followed, if one was asked for.
        models, journey: a card for each model, and the window's way through one of them.
        done: what is done to codes and switches.
        window: the one that is followed, asked for or not.
    """

    state: State
    models: str
    journey: str
    done: str
    window: Pixel


class View:
    """The models, and how a picture passes through them.

    Args:
        models: of one image shape, in grey or in colour.
        test_images: `(N, height, width, channels)` uint8.

    Raises:
        InputError: if a model was made for images of another shape, or of neither 1 nor 3 channels, or is damaged.
    """

    def __init__(self, models: Sequence[ServedAutoencoder], test_images: np.ndarray) -> None:
        for model in models:
            model.check(test_images)
        if test_images.shape[-1] not in (1, 3):
            raise InputError(f"model: images of {test_images.shape[-1]} channels cannot be drawn on; give 1 or 3")
        self.models = list(models)
        self._code_shapes = [model.card.architecture.code_shape(model.card.image_shape) for model in models]
        # Of small windows there is little to see.
        self._first_looked_at = int(np.argmax([math.prod(window_size(model)) for model in models]))
        self._before_pooling = [BeforePooling(model) for model in models]

    def show(self, state: State) -> Shown:
        """All of it, for a state of the page whose windows the models have."""
        passages = [
            pass_through(model, number, state.picture, state.tampering) for number, model in enumerate(self.models)
        ]
        if state.window is None:
            window = (
                self._first_looked_at,
                *telling(self.models[self._first_looked_at], passages[self._first_looked_at]),
            )
        else:
            number, row, column, channel = state.window
            if channel is None:
                channel = strongest(self.models[number], passages[number], row, column)
            window = (number, row, column, channel)
            state = replace(state, window=window)
        number = window[0]
        features = self._before_pooling[number](state.picture)
        followed = journey(self.models[number], passages[number], features, window[1:])
        return Shown(
            state,
            cards(self.models, passages, state.tampering, window),
            strip(self.models[number], number, passages[number], followed, window in state.tampering.erased),
            f"Done on the way: {html.escape(str(state.tampering))}.",
            window,
        )

    def fitting(self, state: State) -> tuple[State, dict[str, str]]:
        """The state without what these models do not have, as of a link to other models' page; a sentence on each."""
        refused = {}
        erased = frozenset(filter(self.has, state.tampering.erased))
        if erased != state.tampering.erased:
            other = min(state.tampering.erased - erased)
            refused["erased"] = f"erased: no model here has a value at {'-'.join(map(str, other))}"
            state = replace(state, tampering=replace(state.tampering, erased=erased))
        moved = frozenset(filter(self.has_place, state.tampering.moved))
        if moved != state.tampering.moved:
            move = "-".join(map(str, min(state.tampering.moved - moved)))
            refused["moved"] = f"moved: no model here has such a window and place: {move}"
            state = replace(state, tampering=replace(state.tampering, moved=moved))
        if state.window is not None and not self.has(state.window):
            asked = "-".join(str(part) for part in state.window if part is not None)
            refused["window"] = f"window: no model here has one at {asked}"
            state = replace(state, window=None)
        return state, refused

    def has(self, place: Place) -> bool:
        """Whether the page's models have such a value in their codes."""
        number, row, column, channel = place
        return 0 <= number < len(self.models) and is_inside((row, column, channel or 0), self._code_shapes[number])

    def has_place(self, move: Move) -> bool:
        """Whether the page's models have such a window with a switch, and it such a place."""
        return (
            self.has(move[:4])
            and move[3] < self.models[move[0]].card.architecture.filters[-1]
            and move[4] < math.prod(pool_sizes(self.models[move[0]])[-1])
        )
