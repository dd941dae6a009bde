"""What the page shows beside its controls, whole: what is done, a card for each model, one window's journey."""

import html
import math
from collections.abc import Sequence

import numpy as np

from deconv_ae.errors import InputError
from deconv_ae.model.architecture import Architecture
from deconv_ae.playground.cards import CODE_KEYS, cards, pass_through, telling, window_size
from deconv_ae.playground.journey import BeforePooling, journey, strip
from deconv_ae.playground.link import State
from deconv_ae.playground.tampering import Pixel, is_inside
from deconv_ae.saved_model.serving import ServedAutoencoder

KEYS = "Arrow keys go from pixel to pixel of a code, Enter erases one or puts it back."


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
        # Of small windows there is little to see.
        self._first_looked_at = int(np.argmax([math.prod(window_size(model)) for model in models]))
        self._before_pooling = [BeforePooling(model) for model in models]

    def html(self, state: State) -> str:
        """All of it, for a state of the page."""
        passages = [
            pass_through(model, number, state.picture, state.tampering) for number, model in enumerate(self.models)
        ]
        if state.window is not None and self.has(state.window):
            window = state.window
        else:
            first = self._first_looked_at
            window = (first, *telling(self.models[first], passages[first]))
        number = window[0]
        features = self._before_pooling[number](state.picture)
        followed = journey(self.models[number], passages[number], features, window[1:])
        return (
            f'<p class="done" role="status">Done on the way: {html.escape(str(state.tampering))}.</p>'
            f"{cards(self.models, passages, state.tampering, window)}"
            f'<p class="keys" id="{CODE_KEYS}">{KEYS}</p>{strip(self.models[number], passages[number], followed)}'
        )

    def source(self, state: State) -> str:
        """Where the picture comes from."""
        if state.image is None:
            return '<p class="source" role="status">Your own picture, no test image: the slider brings one.</p>'
        return f'<p class="source" role="status">This is test image {state.image}.</p>'

    def pixel(self, picture: np.ndarray, number: int, row: int, column: int, channel: int | None) -> Pixel:
        """A code's pixel; of a channel of None, the strongest one's.

        Raises:
            ValueError: if there is none.
        """
        pixel = (number, row, column, channel or 0)
        if not (all(isinstance(index, int) for index in pixel) and self.has(pixel)):
            raise ValueError(f"no such pixel: {pixel}")
        if channel is not None:
            return pixel
        return number, row, column, int(self.models[number].encode(picture[None]).code[0, row, column].argmax())

    def has(self, pixel: Pixel) -> bool:
        """Whether the page's models have such a pixel in their codes."""
        number, *place = pixel
        return 0 <= number < len(self.models) and is_inside(place, self._code_shape(number))

    def _code_shape(self, number: int) -> tuple[int, int, int]:
        card = self.models[number].card
        return Architecture(**card.architecture).stage_shapes(card.image_shape)[-1]
