"""Pictures as SVG for the page: pixels as PNG inside of it, lines, points and crosses over them.

Each has a name, which a screen reader says; none is larger than the place that the page gives it.
"""

import base64
import colorsys
import html
import io
import math
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from deconv_ae.pictures.pixels import black_to_white, tile_columns, tile_corner

POINT_COLOURS = ("#e69f00", "#56b4e9", "#f0f0f0")
"""Orange and sky blue of Okabe and Ito's palette, and white: three also to those who see two of the cones' colours."""

FEW_PLACES = ((98, 110, 134), (230, 159, 0), (86, 180, 233), (240, 240, 240))
"""Of windows of up to four places, of the same palette: grey, orange, sky blue, white."""

MOST_CHANNELS_AS_POINTS = len(POINT_COLOURS)
SMALLEST_SATURATION, LARGEST_SATURATION = 0.25, 0.75
FIRST_PLACE = FEW_PLACES[0]
"""The colour of a window's first place, where the maximum of nothing but zeros is, too: an empty picture is plain."""

SILENT_BRIGHTNESS = 0.3
"""Of a switch whose window's value is 0: nothing goes to its place."""


def drawing(size: Sequence[int], content: str, name: str, attributes: str = 'role="img"') -> str:
    """An SVG of `size` (rows, columns) units."""
    return f'<svg viewBox="0 0 {size[1]} {size[0]}" {attributes} aria-label="{html.escape(name)}">{content}</svg>'


def picture(pixels: np.ndarray, kind: str = "") -> str:
    """`(height, width, channels)` floats from 0 to 1 or uint8, a unit for each pixel, to be put into a drawing."""
    pixels = pixels if pixels.dtype == np.uint8 else black_to_white(pixels)
    squeezed = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    png = io.BytesIO()
    Image.fromarray(squeezed).save(png, "PNG", compress_level=1)
    data = base64.b64encode(png.getvalue()).decode()
    height, width = pixels.shape[:2]
    return f'<image class="{kind}" width="{width}" height="{height}" href="data:image/png;base64,{data}"/>'


def tiles_size(shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of a picture of a `(h, w, c)` code's channels as tiles, which are a pixel apart.

    >>> tiles_size((7, 7, 3))
    (15, 15)
    """
    height, width, channels = shape
    bottom, _ = tile_corner(channels - 1, (height, width, channels))
    return bottom + height, tile_columns(channels) * (width + 1) - 1


def tiles(values: np.ndarray) -> str:
    """`(h, w, c)` floats, or `(h, w, c, 3)` colours, a tile for each channel; nothing is drawn between them."""
    values = values if values.dtype == np.uint8 else black_to_white(values[..., None])
    shape = values.shape[:3]
    pixels = np.zeros((*tiles_size(shape), 4), np.uint8)
    for channel in range(shape[2]):
        top, left = tile_corner(channel, shape)
        tile = pixels[top : top + shape[0], left : left + shape[1]]
        tile[..., :3], tile[..., 3] = values[:, :, channel], 255
    return picture(pixels)


def place_colours(pool_size: Sequence[int]) -> np.ndarray:
    """A colour for each place in a window, `(places, 3)` uint8: its hue says in which direction from the middle.

    The first is grey. Of windows of up to four places the colours are told apart by everybody.
    """
    height, width = pool_size
    if height * width <= len(FEW_PLACES):
        return np.array(FEW_PLACES[: height * width], np.uint8)
    row, column = np.mgrid[0:height, 0:width]
    down, right = row.ravel() - (height - 1) / 2, column.ravel() - (width - 1) / 2
    distance = np.hypot(down, right)
    share = distance / (distance.max() or 1)
    saturations = SMALLEST_SATURATION + (LARGEST_SATURATION - SMALLEST_SATURATION) * share
    hues = np.arctan2(down, right) / (2 * math.pi) % 1
    colours = [colorsys.hsv_to_rgb(hue, saturation, 1) for hue, saturation in zip(hues, saturations)]
    return np.array([FIRST_PLACE, *np.round(np.multiply(colours[1:], 255).reshape(-1, 3))], np.uint8)


def switches_tiles(switches: np.ndarray, pool_size: Sequence[int], code: np.ndarray | None) -> str:
    """`(h, w, c)` switches as tiles, each in its place's colour; dark where `code` is 0."""
    colours = place_colours(pool_size)[switches]
    if code is not None:
        colours = np.where(code[..., None] > 0, colours, (colours * SILENT_BRIGHTNESS).astype(np.uint8))
    return tiles(colours)


def places_key(pool_size: Sequence[int]) -> str:
    """What the colours of `switches_tiles` mean: one window."""
    pixels = place_colours(pool_size).reshape(*pool_size, 3)
    return drawing(pool_size, picture(pixels), "key: a window, each place in its colour", 'role="img" class="key"')


def switches_points(switches: np.ndarray, pool_size: Sequence[int], code: np.ndarray | None) -> str:
    """`(h, w, c)` switches, few channels, as window lines and points; faint where `code` is 0."""
    (rows, columns, channels), (pool_height, pool_width) = switches.shape, pool_size
    row, column = np.mgrid[0:rows, 0:columns]
    drawn = [window_lines((rows, columns), pool_size)]
    for channel in range(channels):
        switch = switches[..., channel].astype(int)
        # Channels side by side within a pixel, so that one does not hide another.
        shift = (channel + 0.5) / channels
        y = row * pool_height + switch // pool_width + 0.5
        x = column * pool_width + switch % pool_width + shift
        alive = np.ones((rows, columns), bool) if code is None else code[..., channel] > 0
        for chosen, kind in ((alive, "point"), (~alive, "point empty")):
            dots = "".join(f"M{left:g} {top:g}h0" for left, top in zip(x[chosen], y[chosen]))
            radius = min(0.85, 1.1 / math.sqrt(channels))
            drawn.append(
                f'<path class="{kind}" stroke="{POINT_COLOURS[channel]}" stroke-width="{radius:.2f}" d="{dots}"/>'
            )
    return "".join(drawn)


def dot(channel: int, kind: str = "") -> str:
    """A switch's point, in a line of text."""
    path = f'<path class="point {kind}" stroke="{POINT_COLOURS[channel]}" stroke-width=".8" d="M.5 .5h0"/>'
    return f'<svg viewBox="0 0 1 1" class="dot" aria-hidden="true">{path}</svg>'


def window_lines(windows: tuple[int, int], pool_size: Sequence[int]) -> str:
    """The lines around (rows, columns) windows."""
    (rows, columns), (height, width) = windows, pool_size
    lines = "".join(f"M0 {row * height}h{columns * width}" for row in range(rows + 1))
    lines += "".join(f"M{column * width} 0v{rows * height}" for column in range(columns + 1))
    return f'<path class="lines" d="{lines}"/>'


def crosses(places: Iterable[tuple[int, int]]) -> str:
    """Crosses over single pixels, given as rows and columns."""
    marks = "".join(f"M{column + 0.25} {row + 0.25}l.5 .5m0-.5l-.5 .5" for row, column in places)
    return f'<path class="erased" d="{marks}"/>'


def frame(row: float, column: float, height: int = 1, width: int = 1, kind: str = "looked-at") -> str:
    """A frame around some pixels, dark and bright, so that it is seen on any picture."""
    box = f'x="{column}" y="{row}" width="{width}" height="{height}"'
    return f'<rect class="{kind} under" {box}/><rect class="{kind}" {box}/>'
