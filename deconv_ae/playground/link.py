"""The page's state as the query of a link, and back: what the page asks with, and what its address holds."""

import base64
import binascii
import math
import re
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
"""Several times the values of a page's codes, and a link of 40,000 characters, which browsers and servers let pass."""

NAMES = ("image", "picture", "pixels", "scale", "noise", "bits", "dropped", "switches", "seed", "erased", "window")

Place = tuple[int, int, int, int | None]
"""A window: the model's number, row, column and channel; None: the channel whose value is largest there."""


@dataclass(frozen=True, eq=False)
class State:
    """What the page shows: a picture, and what is done to its code.

    Attributes:
        picture: `(height, width, channels)` uint8.
        image: its number among the test images, None if it was drawn or uploaded.
        window: the one that is followed; None: the strongest of the first model.
    """

    picture: np.ndarray
    image: int | None
    tampering: Tampering
    window: Place | None = None

    def query(self) -> str:
        """What `read` restores; defaults are left out."""
        values: dict[str, Any] = {"image": self.image}
        if self.image is None:
            values = {"picture": packed(self.picture)}
        values |= tampered(self.tampering)
        if self.window is not None:
            values["window"] = _written([self.window])
        return urlencode(values)


def tampered(tampering: Tampering) -> dict[str, Any]:
    """What is done, by name, as a query has it; what is not done is left out."""
    default = Tampering()
    values = {name: getattr(tampering, name) for name in ("scale", "noise", "bits", "dropped", "switches", "seed")}
    values = {name: value for name, value in values.items() if value != getattr(default, name)}
    return values | ({"erased": _written(sorted(tampering.erased))} if tampering.erased else {})


def read(query: Mapping[str, str], test_images: np.ndarray) -> tuple[State, dict[str, str]]:
    """The state that a query describes, and what in it could not be used: names, and a sentence about each.

    What cannot be used is left out; so is, without a word, what a link has beside the names of a state.
    """
    refused: dict[str, str] = {}

    def value(name: str, parse: Callable[[str], Any], default: Any) -> Any:
        if name not in query:
            return default
        try:
            return parse(query[name])
        except ValueError as error:
            refused[name] = f"{name}: {error}"
            return default

    last, like = len(test_images) - 1, test_images[0]
    tampering = Tampering(
        scale=value("scale", lambda text: number_up_to(text, LARGEST_SCALE), 1.0),
        noise=value("noise", lambda text: number_up_to(text, LARGEST_NOISE), 0.0),
        bits=value("bits", lambda text: whole_up_to(text, MOST_BITS), 0),
        dropped=value("dropped", lambda text: number_up_to(text, 1), 0.0),
        erased=value("erased", lambda text: frozenset(_pixels(text)), frozenset()),
        switches=value("switches", lambda text: one_of(text, SWITCHES), SWITCHES[0]),
        seed=value("seed", lambda text: whole_up_to(text, SEEDS - 1), 0),
    )
    image = value("image", lambda text: whole_up_to(text, last), 0)
    window = value("window", _window, None)
    state = State(test_images[image], image, tampering, window)
    drawn = value("picture", lambda text: unpacked(text, like), None)
    drawn = value("pixels", lambda text: _pixels_of(text, like), drawn)
    return (state if drawn is None else replace(state, picture=drawn, image=None)), refused


def number_up_to(text: str, largest: float) -> float:
    """A number from 0; -0 is 0.

    >>> number_up_to("-0", 3)
    0.0
    """
    sentence = f"{shown(text)} is no number from 0 to {largest:g}"
    try:
        number = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        number = math.nan
    if not 0 <= number <= largest:  # NaN is neither.
        raise ValueError(sentence)
    return number + 0.0


def whole_up_to(text: str, largest: int) -> int:
    """A whole number from 0."""
    number = int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else -1
    if not 0 <= number <= largest:
        raise ValueError(f"{shown(text)} is no whole number from 0 to {largest}")
    return number


def one_of(text: str, choices: tuple[str, ...]) -> str:
    """One of some words."""
    if text not in choices:
        raise ValueError(f"{shown(text)} is none of {', '.join(choices)}")
    return text


def shown(text: str) -> str:
    """What somebody sent, or its beginning, in quotes."""
    return ascii(text if len(text) <= 40 else f"{text[:37]}...")


def packed(picture: np.ndarray) -> str:
    """A picture as letters of a link."""
    return base64.urlsafe_b64encode(zlib.compress(picture.tobytes(), 9)).decode().rstrip("=")


def unpacked(text: str, like: np.ndarray) -> np.ndarray:
    """The picture that `packed` made letters of, of the shape of `like`."""
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        # A few bytes can unpack to gigabytes: no more than a picture is taken.
        pixels = zlib.decompressobj().decompress(content, like.size + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise ValueError(f"{shown(text)} is no picture") from error
    return _of_shape(pixels, like)


def _pixels_of(text: str, like: np.ndarray) -> np.ndarray:
    """A picture as the page tells it while one draws: its bytes in base64."""
    try:
        return _of_shape(base64.b64decode(text, validate=True), like)
    except binascii.Error as error:
        raise ValueError(f"{shown(text)} is no picture") from error


def _of_shape(pixels: bytes, like: np.ndarray) -> np.ndarray:
    if len(pixels) != like.size:
        raise ValueError(f"is a picture of {len(pixels)} bytes and not of {like.size}")
    return np.frombuffer(pixels, np.uint8).reshape(like.shape)


def _written(pixels: Iterable[Place]) -> str:
    return "_".join("-".join(str(part) for part in pixel if part is not None) for pixel in pixels)


def _pixels(text: str) -> list[Pixel]:
    written = text.split("_")
    if len(written) > MOST_ERASED:
        raise ValueError(f"are {len(written)} values, and at most {MOST_ERASED} can be erased")
    pixels = []
    for pixel in written:
        if not re.fullmatch(r"[0-9]{1,4}(-[0-9]{1,4}){3}", pixel):
            raise ValueError(f"{shown(pixel)} is no model-row-column-channel")
        number, row, column, channel = map(int, pixel.split("-"))
        pixels.append((number, row, column, channel))
    return pixels


def _window(text: str) -> Place:
    if not re.fullmatch(r"[0-9]{1,4}(-[0-9]{1,4}){2,3}", text):
        raise ValueError(f"{shown(text)} is no model-row-column or model-row-column-channel")
    number, row, column, *channel = map(int, text.split("-"))
    return number, row, column, channel[0] if channel else None
