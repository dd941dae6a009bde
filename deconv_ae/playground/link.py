"""The page's state as the query of a link, and back: what the page asks with, and what its address holds."""

import base64
import binascii
import io
import math
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import numpy as np
from PIL import Image

from deconv_ae.playground.tampering import (
    LARGEST_NOISE,
    LARGEST_SCALE,
    MOST_BITS,
    SEEDS,
    SWITCHES,
    Move,
    Pixel,
    Tampering,
)

MOST_ERASED = 4096
"""Several times the values of a page's codes, and a link of 40,000 characters, which browsers and servers let pass."""

NAMES = (
    *("image", "upload", "picture", "pixels"),
    *("scale", "noise", "bits", "dropped", "switches", "seed", "erased", "moved"),
    "window",
)

LONGEST_EXACT_UPLOAD = 1500
"""Letters of a link: a digit's. A photograph of 64 x 64 pixels takes 15,000, and 2,000 as a WebP."""

Place = tuple[int, int, int, int | None]
"""A window: the model's number, row, column and channel; None: the channel whose value is largest there."""


@dataclass(frozen=True, eq=False)
class State:
    """What the page shows: a picture, and what is done to its code.

    Attributes:
        picture: `(height, width, channels)` uint8.
        image: the number of the test image that it is or was before it was drawn on, None if it began black or was
            uploaded.
        window: the one that is followed; None: the strongest of the first model.
        upload: an uploaded picture in the letters of a link.
        begun: what was drawn on; None: of a test image the picture itself, else black.
    """

    picture: np.ndarray
    image: int | None
    tampering: Tampering
    window: Place | None = None
    upload: str | None = None
    begun: np.ndarray | None = None

    @property
    def drawn(self) -> np.ndarray | None:
        """What was drawn, as the bits in which the picture is another than it was; None if nothing was."""
        if self.begun is None:
            return None if self.image is not None else self.picture
        is_drawn = (self.image is None and self.upload is None) or not np.array_equal(self.picture, self.begun)
        return self.picture ^ self.begun if is_drawn else None

    def query(self) -> str:
        """What `read` restores; defaults are left out. Of a picture that was drawn on it holds what was drawn alone."""
        drawn = self.drawn
        values: dict[str, Any] = {
            "image": self.image,
            "upload": self.upload,
            "picture": None if drawn is None else packed(drawn),
        }
        values = {name: value for name, value in values.items() if value is not None} | tampered(self.tampering)
        if self.window is not None:
            values["window"] = _written([self.window])
        return urlencode(values)


def tampered(tampering: Tampering) -> dict[str, Any]:
    """What is done, by name, as a query has it; what is not done is left out."""
    default = Tampering()
    values = {name: getattr(tampering, name) for name in ("scale", "noise", "bits", "dropped", "switches", "seed")}
    values = {name: value for name, value in values.items() if value != getattr(default, name)}
    for name, places in (("erased", tampering.erased), ("moved", tampering.moved)):
        if places:
            values[name] = _written(sorted(places))
    return values


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
        moved=value("moved", lambda text: frozenset(_moves(text)), frozenset()),
        seed=value("seed", lambda text: whole_up_to(text, SEEDS - 1), 0),
    )
    window = value("window", _window, None)
    image = value("image", lambda text: whole_up_to(text, last), None)
    uploaded = value("upload", lambda text: uploaded_picture(text, like), None)
    drawn = value("picture", lambda text: unpacked(text, like), None)
    pixels = value("pixels", lambda text: _pixels_of(text, like), None)
    if uploaded is not None:
        image, begun = None, uploaded
    else:
        # A link that says nothing of a picture, or nothing that can be used, shows the first test image.
        image = 0 if image is None and drawn is None and pixels is None else image
        begun = np.zeros_like(like) if image is None else test_images[image]
    picture = begun if drawn is None else begun ^ drawn
    upload = None if uploaded is None else query["upload"]
    return State(picture if pixels is None else pixels, image, tampering, window, upload, begun), refused


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


def upload_text(picture: np.ndarray) -> dict[str, str]:
    """An uploaded picture as what a query has it as: exactly where that is short, else as a WebP of a tenth of that."""
    exact = packed(picture)
    if len(exact) <= LONGEST_EXACT_UPLOAD:
        return {"picture": exact}
    file = io.BytesIO()
    Image.fromarray(np.squeeze(picture, -1) if picture.shape[-1] == 1 else picture).save(file, "WEBP", quality=80)
    return {"upload": base64.urlsafe_b64encode(file.getvalue()).decode().rstrip("=")}


def uploaded_picture(text: str, like: np.ndarray) -> np.ndarray:
    """The picture that `upload_text` made letters of, of the shape of `like`."""
    height, width, channels = like.shape
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        with Image.open(io.BytesIO(content), formats=["WEBP"]) as picture:
            if picture.size != (width, height):
                raise ValueError("another size")
            pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
    except Exception as error:  # Pillow's decoders raise whatever they stumble over.
        raise ValueError(f"{shown(text)} is no picture of {width} x {height} pixels") from error
    return pixels.reshape(like.shape)


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


def _written(pixels: Iterable[Sequence[int | None]]) -> str:
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


def _moves(text: str) -> list[Move]:
    moves = []
    for move in text.split("_")[: MOST_ERASED + 1]:
        if not re.fullmatch(r"[0-9]{1,4}(-[0-9]{1,4}){4}", move):
            raise ValueError(f"{shown(move)} is no model-row-column-channel-place")
        number, row, column, channel, place = map(int, move.split("-"))
        moves.append((number, row, column, channel, place))
    if len(moves) > MOST_ERASED:
        raise ValueError(f"are more than the {MOST_ERASED} switches that can be moved")
    return moves


def _window(text: str) -> Place:
    if not re.fullmatch(r"[0-9]{1,4}(-[0-9]{1,4}){2,3}", text):
        raise ValueError(f"{shown(text)} is no model-row-column or model-row-column-channel")
    number, row, column, *channel = map(int, text.split("-"))
    return number, row, column, channel[0] if channel else None
