"""What the page shows beside its controls, whole: what is done, a card for each model, one window's journey."""

import html
import json
import math
from collections.abc import Iterable, Sequence

import numpy as np

from deconv_ae.errors import InputError
from deconv_ae.playground.cards import cards, pass_through, telling, window_size
from deconv_ae.playground.journey import BeforePooling, journey, strip
from deconv_ae.playground.link import MOST_ERASED, State
from deconv_ae.playground.tampering import Pixel, is_inside
from deconv_ae.saved_model.serving import ServedAutoencoder


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
        self._code_shapes = [model.card.architecture.stage_shapes(model.card.image_shape)[-1] for model in models]
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
            f"{strip(self.models[number], passages[number], followed)}"
        )

    def source(self, state: State) -> str:
        """Where the picture comes from."""
        if state.image is None:
            return '<p class="source" role="status">Your own picture, no test image: the slider brings one.</p>'
        return f'<p class="source" role="status">This is test image {state.image}.</p>'

    def touched(self, picture: np.ndarray, text: str) -> tuple[frozenset[Pixel], Pixel | None]:
        """The pixels that are erased and the window that is looked at, as code.js tells them.

        Raises:
            ValueError: if the text is something else, or means what the models do not have.
        """
        try:
            told = json.loads(text)
            erased = frozenset(self._pixel(picture, *pixel) for pixel in told["erased"][:MOST_ERASED])
            return erased, None if told["window"] is None else self._pixel(picture, *told["window"])
        except (TypeError, KeyError, RecursionError) as error:
            raise ValueError("not what code.js tells") from error

    def has(self, pixel: Pixel) -> bool:
        """Whether the page's models have such a pixel in their codes."""
        number, *place = pixel
        return 0 <= number < len(self.models) and is_inside(place, self._code_shapes[number])

    def _pixel(self, picture: np.ndarray, number: int, row: int, column: int, channel: int | None) -> Pixel:
        pixel = (number, row, column, 0 if channel is None else channel)
        if not (all(type(index) is int for index in pixel) and self.has(pixel)):
            raise ValueError(f"no such pixel: {pixel}")
        if channel is not None:
            return pixel
        strongest = self.models[number].encode(picture[None]).code[0, row, column].argmax()
        return number, row, column, int(strongest)


def as_told(erased: Iterable[Pixel], window: Pixel | None) -> str:
    """What `View.touched` understands, and code.js."""
    return json.dumps({"erased": sorted(erased), "window": window})
