"""A page's state as the query of a link, and back."""

import base64
import binascii
import math
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import numpy as np

from deconv_ae.playground.tampering import (
    LARGEST_NOISE,
    LARGEST_SCALE,
    MOST_BITS,
    SEEDS,
    SWITCHES,
    Pixel,
    Tampering,
)

MOST_ERASED = 4096


@dataclass(frozen=True, eq=False)
class State:
    """What the page shows: a picture, and what is done to its code.

    Attributes:
        picture: `(height, width, channels)` uint8.
        image: its number among the test images, None if it was drawn or uploaded.
        window: the code's pixel whose window is looked at; None: the strongest of the first model.
    """

    picture: np.ndarray
    image: int | None
    tampering: Tampering
    window: Pixel | None = None

    def query(self) -> str:
        """What `read` restores; defaults are left out."""
        values: dict[str, Any] = {"image": self.image}
        if self.image is None:
            values = {
                "picture": base64.urlsafe_b64encode(zlib.compress(self.picture.tobytes(), 9)).decode().rstrip("=")
            }
        default = Tampering()
        for name in ("scale", "noise", "bits", "dropped", "switches", "seed"):
            value = getattr(self.tampering, name)
            if value != getattr(default, name):
                values[name] = value
        if self.tampering.erased:
            values["erased"] = _written(sorted(self.tampering.erased))
        if self.window is not None:
            values["window"] = _written([self.window])
        return urlencode(values)


def read(query: Mapping[str, str], test_images: np.ndarray) -> tuple[State, list[str]]:
    """The state that a query describes, and the names of what in it could not be used."""
    ignored: list[str] = []

    def value(name: str, parse: Callable[[str], Any], default: Any) -> Any:
        if name not in query:
            return default
        try:
            return parse(query[name])
        except (ValueError, zlib.error, binascii.Error):
            ignored.append(name)
            return default

    tampering = Tampering(
        scale=value("scale", lambda text: number_up_to(text, LARGEST_SCALE), 1.0),
        noise=value("noise", lambda text: number_up_to(text, LARGEST_NOISE), 0.0),
        bits=value("bits", lambda text: whole_up_to(text, MOST_BITS), 0),
        dropped=value("dropped", lambda text: number_up_to(text, 1), 0.0),
        erased=value("erased", lambda text: frozenset(_pixels(text)), frozenset()),
        switches=value("switches", lambda text: SWITCHES[SWITCHES.index(text)], SWITCHES[0]),
        seed=value("seed", lambda text: whole_up_to(text, SEEDS - 1), 0),
    )
    image = value("image", lambda text: whole_up_to(text, len(test_images) - 1), 0)
    window = value("window", lambda text: _pixels(text)[0], None)
    state = State(test_images[image], image, tampering, window)
    picture = value("picture", lambda text: _picture(text, test_images[0]), None)
    return (state if picture is None else replace(state, picture=picture, image=None)), ignored


def number_up_to(text: Any, largest: float) -> float:
    number = float(text)
    if not (math.isfinite(number) and 0 <= number <= largest):
        raise ValueError(text)
    return number


def whole_up_to(text: Any, largest: int) -> int:
    number = int(text)
    if not 0 <= number <= largest:
        raise ValueError(text)
    return number


def _written(pixels: Iterable[Pixel]) -> str:
    return "_".join("-".join(map(str, pixel)) for pixel in pixels)


def _pixels(text: str) -> list[Pixel]:
    pixels = []
    for written in text.split("_")[:MOST_ERASED]:
        number, row, column, channel = (int(part) for part in written.split("-"))
        pixels.append((number, row, column, channel))
    return pixels


def _picture(text: str, like: np.ndarray) -> np.ndarray:
    packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    # A few bytes can unpack to gigabytes: no more than a picture is taken.
    pixels = zlib.decompressobj().decompress(packed, like.size + 1)
    if len(pixels) != like.size:
        raise ValueError("a picture of another size")
    return np.frombuffer(pixels, np.uint8).reshape(like.shape)
