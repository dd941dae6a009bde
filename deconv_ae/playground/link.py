"""Writes the page's state as the query of a link, and reads it back. Requests and the page's address hold the query."""

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
    CodeValue,
    Move,
    Tampering,
)

MOST_CHANGED = 4096
"""The most erased values in a link, and the most moved switches: 20 to 80 times the number of values in a digit's code.
4,096 values take about 40,000 characters, and browsers and servers accept links of that length."""

NAMES = (
    *("image", "upload", "picture", "pixels"),
    *("scale", "noise", "bits", "dropped", "switches", "seed", "erased", "moved"),
    "window",
)

LONGEST_EXACT_UPLOAD = 1500
"""The most characters in which a link holds an upload exactly: enough for a digit. A photograph of 64x64 pixels would
take 15,000 characters, and takes 2,000 as a WebP."""

Place = tuple[int, int, int, int | None]
"""A window: its model's number, and its row, column and channel. None stands for the channel with the largest maximum
there."""


@dataclass(frozen=True, eq=False)
class State:
    """The state of the page: a picture, and the changes to its code.

    Attributes:
        picture: `(height, width, channels)` uint8.
        image: the number of the test image that the picture is, or was before somebody drew on it; None for an upload
            and for a drawing on black.
        tampering: the changes to codes and switches.
        window: the window whose journey the page shows. If it is None, `View.show` chooses a window.
        upload: an uploaded picture, as text for a link.
        background: the picture without the drawing on it: a test image, an upload or black. If it is left out, a test
            image or an upload counts as not drawn on, and any other picture as a drawing on black.
    """

    picture: np.ndarray
    image: int | None
    tampering: Tampering
    window: Place | None = None
    upload: str | None = None
    background: np.ndarray | None = None

    @property
    def is_drawn(self) -> bool:
        """Whether somebody drew the picture, or drew on it.

        Also true for an upload that the link holds as a drawing on black: see `upload_values`.
        """
        if self.image is None and self.upload is None:
            return True
        return self.background is not None and not np.array_equal(self.picture, self.background)

    def query(self) -> str:
        """The state as a query for `read`, without defaults.

        A drawing is in the query as the pixels that differ from the background.
        """
        background = np.zeros_like(self.picture) if self.background is None else self.background
        values: dict[str, Any] = {
            "image": self.image,
            "upload": self.upload,
            "picture": pack_drawing(self.picture, background) if self.is_drawn else None,
        }
        values = {name: value for name, value in values.items() if value is not None} | tampering_values(self.tampering)
        if self.window is not None:
            values["window"] = _join_places([self.window])
        return urlencode(values)


def tampering_values(tampering: Tampering) -> dict[str, Any]:
    """Returns the values of a query that describe these changes, by their names. Defaults are left out."""
    default = Tampering()
    values = {name: getattr(tampering, name) for name in ("scale", "noise", "bits", "dropped", "switches", "seed")}
    values = {name: value for name, value in values.items() if value != getattr(default, name)}
    for name, places in (("erased", tampering.erased), ("moved", tampering.moved)):
        if places:
            values[name] = _join_places(sorted(places))
    return values


def read(query: Mapping[str, str], test_images: np.ndarray) -> tuple[State, dict[str, str]]:
    """Reads the state from a query. Values that cannot be used are left out, and names not in `NAMES` are ignored.

    Args:
        query: values by their names.
        test_images: `(N, height, width, channels)` uint8.

    Returns:
        The state, and a dictionary from the name of each value that was left out to a sentence about the value.
    """
    refused: dict[str, str] = {}

    def parse_value(name: str, parse: Callable[[str], Any], default: Any) -> Any:
        if name not in query:
            return default
        try:
            return parse(query[name])
        except ValueError as error:
            refused[name] = f"{name}: {error}"
            return default

    shape = test_images.shape[1:]
    tampering = Tampering(
        scale=parse_value("scale", lambda text: parse_number(text, LARGEST_SCALE), 1.0),
        noise=parse_value("noise", lambda text: parse_number(text, LARGEST_NOISE), 0.0),
        bits=parse_value("bits", lambda text: parse_whole_number(text, MOST_BITS), 0),
        dropped=parse_value("dropped", lambda text: parse_number(text, 1), 0.0),
        erased=parse_value("erased", lambda text: frozenset(_parse_erased(text)), frozenset()),
        switches=parse_value("switches", lambda text: parse_choice(text, SWITCHES), SWITCHES[0]),
        moved=parse_value("moved", lambda text: frozenset(_parse_moves(text)), frozenset()),
        seed=parse_value("seed", lambda text: parse_whole_number(text, SEEDS - 1), 0),
    )
    window = parse_value("window", _parse_window, None)
    image = parse_value("image", lambda text: parse_whole_number(text, len(test_images) - 1), None)
    uploaded_pixels = parse_value("upload", lambda text: uploaded_picture(text, shape), None)
    black = np.zeros_like(test_images[0])
    # The background is not known yet. The drawing is put on black only to find out whether it can be used.
    drawing_on_black = parse_value("picture", lambda text: unpack_drawing(text, black), None)
    pixels = parse_value("pixels", lambda text: _parse_pixels(text, shape), None)
    if uploaded_pixels is not None:
        image, background = None, uploaded_pixels
    else:
        # Without a picture that can be used, the page shows the first test image.
        image = 0 if image is None and drawing_on_black is None and pixels is None else image
        background = black if image is None else test_images[image]
    if pixels is not None:
        picture = pixels
    else:
        picture = background if drawing_on_black is None else unpack_drawing(query["picture"], background)
    upload = None if uploaded_pixels is None else query["upload"]
    return State(picture, image, tampering, window, upload, background), refused


def parse_number(text: str, largest: float) -> float:
    """Reads a number from 0 to `largest`; -0 is 0. Raises ValueError for any other text.

    >>> parse_number("-0", 3)
    0.0
    """
    try:
        number = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        number = math.nan
    if not 0 <= number <= largest:  # NaN fails both comparisons.
        raise ValueError(f"{quoted(text)} is not a number from 0 to {largest:g}")
    return number + 0.0


def parse_whole_number(text: str, largest: int) -> int:
    """Reads a whole number from 0 to `largest`. Raises ValueError for any other text."""
    number = int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else -1
    if not 0 <= number <= largest:
        raise ValueError(f"{quoted(text)} is not a whole number from 0 to {largest}")
    return number


def parse_choice(text: str, choices: tuple[str, ...]) -> str:
    """Returns the text, or raises ValueError if it is not one of the choices."""
    if text not in choices:
        raise ValueError(f"{quoted(text)} is not one of {', '.join(choices)}")
    return text


def quoted(text: str) -> str:
    """A text in quotes, shortened if it is long, for a message."""
    return ascii(text if len(text) <= 40 else f"{text[:37]}...")


def pack_drawing(picture: np.ndarray, background: np.ndarray) -> str:
    """Writes the pixels that differ from a background as text for a link.

    The text holds one bit for each pixel, which is 1 if the picture differs from the background there, and then the
    values of the differing pixels, one channel after the other.
    """
    differs = (picture != background).any(axis=-1)
    content = np.packbits(differs).tobytes() + picture[differs].T.tobytes()
    return base64.urlsafe_b64encode(zlib.compress(content, 9)).decode().rstrip("=")


def unpack_drawing(text: str, background: np.ndarray) -> np.ndarray:
    """Puts a drawing from `pack_drawing` on a background of the same size. Raises ValueError for any other text."""
    height, width, channels = background.shape
    message = f"{quoted(text)} is not a drawing on {width} x {height} pixels"
    mask_length = -(-height * width // 8)
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        # A few bytes can unpack to gigabytes. Unpacking stops when the content is one byte longer than any drawing.
        content = np.frombuffer(zlib.decompressobj().decompress(packed, mask_length + background.size + 1), np.uint8)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise ValueError(message) from error
    differs = np.unpackbits(content[:mask_length])[: height * width].astype(bool)
    if len(content) != mask_length + channels * np.count_nonzero(differs):
        raise ValueError(message)
    picture = background.copy()
    picture[differs.reshape(height, width)] = content[mask_length:].reshape(channels, -1).T
    return picture


def upload_values(picture: np.ndarray) -> dict[str, str]:
    """Turns an uploaded picture into a value for a query. Returns the value in a dictionary, under its name.

    The value "picture" is a drawing on black, which is exact. If its text is longer than `LONGEST_EXACT_UPLOAD`, the
    value is instead "upload", a WebP, which is shorter but inexact.
    """
    exact_text = pack_drawing(picture, np.zeros_like(picture))
    if len(exact_text) <= LONGEST_EXACT_UPLOAD:
        return {"picture": exact_text}
    file = io.BytesIO()
    Image.fromarray(np.squeeze(picture, -1) if picture.shape[-1] == 1 else picture).save(file, "WEBP", quality=80)
    return {"upload": base64.urlsafe_b64encode(file.getvalue()).decode().rstrip("=")}


def uploaded_picture(text: str, shape: Sequence[int]) -> np.ndarray:
    """Reads the WebP from `upload_values`. Raises ValueError if it is no picture of the shape's height and width."""
    height, width, channels = shape
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        with Image.open(io.BytesIO(content), formats=["WEBP"]) as picture:
            if picture.size != (width, height):
                raise ValueError("another size")
            pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
    except Exception as error:  # Pillow's decoders raise errors of any type.
        raise ValueError(f"{quoted(text)} is not a picture of {width} x {height} pixels") from error
    return pixels.reshape(shape)


def _parse_pixels(text: str, shape: Sequence[int]) -> np.ndarray:
    """Reads the pixels that the page sends in base64 while somebody draws."""
    try:
        pixels = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"{quoted(text)} is not a picture") from error
    size = math.prod(shape)
    if len(pixels) != size:
        raise ValueError(f"{len(pixels)} bytes are not a picture of {size} bytes")
    return np.frombuffer(pixels, np.uint8).reshape(shape)


def _join_places(places: Iterable[Sequence[int | None]]) -> str:
    return "_".join("-".join(str(part) for part in place if part is not None) for place in places)


def _parse_erased(text: str) -> list[CodeValue]:
    texts = text.split("_")
    if len(texts) > MOST_CHANGED:
        raise ValueError(f"{len(texts)} values are too many; give at most {MOST_CHANGED}")
    values = []
    for value in texts:
        if not re.fullmatch(r"[0-9]{1,4}(-[0-9]{1,4}){3}", value):
            raise ValueError(f"{quoted(value)} is not model-row-column-channel")
        number, row, column, channel = map(int, value.split("-"))
        values.append((number, row, column, channel))
    return values


def _parse_moves(text: str) -> list[Move]:
    moves = []
    for move in text.split("_")[: MOST_CHANGED + 1]:
        if not re.fullmatch(r"[0-9]{1,4}(-[0-9]{1,4}){4}", move):
            raise ValueError(f"{quoted(move)} is not model-row-column-channel-place")
        number, row, column, channel, place = map(int, move.split("-"))
        moves.append((number, row, column, channel, place))
    if len(moves) > MOST_CHANGED:
        raise ValueError(f"too many switches; give at most {MOST_CHANGED}")
    return moves


def _parse_window(text: str) -> Place:
    if not re.fullmatch(r"[0-9]{1,4}(-[0-9]{1,4}){2,3}", text):
        raise ValueError(f"{quoted(text)} is not model-row-column or model-row-column-channel")
    number, row, column, *channel = map(int, text.split("-"))
    return number, row, column, channel[0] if channel else None
