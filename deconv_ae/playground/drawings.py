"""The page's drawings as SVG: pixels as a PNG inside, with lines, points and crosses over them.

Each drawing has a name for screen readers.
"""

import base64
import colorsys
import html
import io
import math
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageColor

from deconv_ae.pictures.colours import ORANGE, SKY_BLUE
from deconv_ae.pictures.pixels import tile_columns, tile_corner, to_uint8

NEARLY_WHITE, SLATE = "#f0f0f0", "#626e86"
POINT_COLOURS = (ORANGE, SKY_BLUE, NEARLY_WHITE)
"""The colours of channels. People with red-green colour-blindness tell them apart."""

COLOURS_OF_FEW_PLACES = tuple(ImageColor.getrgb(colour) for colour in (SLATE, ORANGE, SKY_BLUE, NEARLY_WHITE))
"""The colours of places in windows of up to four places. People with red-green colour-blindness tell them apart."""

MOST_CHANNELS_AS_POINTS = len(POINT_COLOURS)
SMALLEST_SATURATION, LARGEST_SATURATION = 0.25, 0.75
FIRST_PLACE_COLOUR = COLOURS_OF_FEW_PLACES[0]
"""The colour of a window's first place, where the maximum lies if all values of the window are equal."""

ZERO_VALUE_BRIGHTNESS = 0.3
"""The factor that darkens a switch's square if the window's value is 0."""


def drawing(size: Sequence[int], content: str, name: str, attributes: str = 'role="img"') -> str:
    """Puts SVG elements into an SVG.

    Args:
        size: (rows, columns) of the view box.
        content: the SVG elements inside.
        name: the SVG's name for screen readers.
        attributes: further attributes.

    Returns:
        The SVG.
    """
    return f'<svg viewBox="0 0 {size[1]} {size[0]}" {attributes} aria-label="{html.escape(name)}">{content}</svg>'


def image_element(pixels: np.ndarray, kind: str = "") -> str:
    """Turns pixels into an SVG image in which each pixel is one unit wide and high.

    Args:
        pixels: `(height, width, channels)`, floats from 0 to 1 or uint8.
        kind: a CSS class.

    Returns:
        The SVG element.
    """
    pixels = pixels if pixels.dtype == np.uint8 else to_uint8(pixels)
    pillow_pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    png = io.BytesIO()
    Image.fromarray(pillow_pixels).save(png, "PNG", compress_level=1)
    data = base64.b64encode(png.getvalue()).decode()
    height, width = pixels.shape[:2]
    return f'<image class="{kind}" width="{width}" height="{height}" href="data:image/png;base64,{data}"/>'


def tiles_size(shape: Sequence[int]) -> tuple[int, int]:
    """Returns how many rows and columns of pixels `channel_tiles` draws for an array of this shape, `(h, w, c)`.

    Each channel is a tile of `h` x `w` pixels. Between two tiles is a gap of one pixel.

    >>> tiles_size((7, 7, 3))
    (15, 15)
    """
    height, width, channels = shape
    bottom, _ = tile_corner(channels - 1, (height, width, channels))
    return bottom + height, tile_columns(channels) * (width + 1) - 1


def channel_tiles(values: np.ndarray) -> str:
    """Draws each channel of `(h, w, c)` floats or `(h, w, c, 3)` uint8 colours as a tile, with transparent gaps."""
    values = values if values.dtype == np.uint8 else to_uint8(values[..., None])
    shape = values.shape[:3]
    pixels = np.zeros((*tiles_size(shape), 4), np.uint8)
    for channel in range(shape[2]):
        top, left = tile_corner(channel, shape)
        tile = pixels[top : top + shape[0], left : left + shape[1]]
        tile[..., :3], tile[..., 3] = values[:, :, channel], 255
    return image_element(pixels)


def place_colours(pool_size: Sequence[int]) -> np.ndarray:
    """A colour for each place in a window, `(places, 3)` uint8.

    The first place is grey. In windows of more than four places, the hues of the other places show their directions
    from the window's middle. Windows of up to four places have colours that people with red-green colour-blindness tell
    apart.
    """
    height, width = pool_size
    if height * width <= len(COLOURS_OF_FEW_PLACES):
        return np.array(COLOURS_OF_FEW_PLACES[: height * width], np.uint8)
    row, column = np.mgrid[0:height, 0:width]
    y, x = row.ravel() - (height - 1) / 2, column.ravel() - (width - 1) / 2
    distance = np.hypot(y, x)
    share = distance / (distance.max() or 1)
    saturations = SMALLEST_SATURATION + (LARGEST_SATURATION - SMALLEST_SATURATION) * share
    hues = np.arctan2(y, x) / (2 * math.pi) % 1
    colours = [colorsys.hsv_to_rgb(hue, saturation, 1) for hue, saturation in zip(hues, saturations)]
    return np.array([FIRST_PLACE_COLOUR, *np.round(np.multiply(colours[1:], 255).reshape(-1, 3))], np.uint8)


def switches_tiles(switches: np.ndarray, pool_size: Sequence[int], code: np.ndarray | None) -> str:
    """Draws `(h, w, c)` switches as squares in the colours of their places, with a tile for each channel.

    If a `code` is given, squares are dark where the code is 0.
    """
    colours = place_colours(pool_size)[switches]
    if code is not None:
        colours = np.where(code[..., None] > 0, colours, (colours * ZERO_VALUE_BRIGHTNESS).astype(np.uint8))
    return channel_tiles(colours)


def places_key(pool_size: Sequence[int]) -> str:
    """Draws a window with each place in its colour, as the key to `switches_tiles`."""
    pixels = place_colours(pool_size).reshape(*pool_size, 3)
    return drawing(
        pool_size, image_element(pixels), "key: a window, each place in its colour", 'role="img" class="key"'
    )


def switches_points(switches: np.ndarray, pool_size: Sequence[int], code: np.ndarray | None) -> str:
    """Draws `(h, w, c)` switches of few channels as points in windows.

    If a `code` is given, points are faint where the code is 0.
    """
    (rows, columns, channels), (pool_height, pool_width) = switches.shape, pool_size
    row, column = np.mgrid[0:rows, 0:columns]
    elements = [window_lines((rows, columns), pool_size)]
    for channel in range(channels):
        switch = switches[..., channel].astype(int)
        # Channels stand side by side within a pixel, so that none hides another.
        shift = (channel + 0.5) / channels
        y = row * pool_height + switch // pool_width + 0.5
        x = column * pool_width + switch % pool_width + shift
        is_positive = np.ones((rows, columns), bool) if code is None else code[..., channel] > 0
        for mask, kind in ((is_positive, "point"), (~is_positive, "point empty")):
            dots = "".join(f"M{left:g} {top:g}h0" for left, top in zip(x[mask], y[mask]))
            diameter = min(0.85, 1.1 / math.sqrt(channels))
            elements.append(
                f'<path class="{kind}" stroke="{POINT_COLOURS[channel]}" stroke-width="{diameter:.2f}" d="{dots}"/>'
            )
    return "".join(elements)


def dot(channel: int, kind: str = "") -> str:
    """Draws the point of a switch as a small SVG that fits into a line of text."""
    path = f'<path class="point {kind}" stroke="{POINT_COLOURS[channel]}" stroke-width=".8" d="M.5 .5h0"/>'
    return f'<svg viewBox="0 0 1 1" class="dot" aria-hidden="true">{path}</svg>'


def window_lines(grid_size: tuple[int, int], pool_size: Sequence[int]) -> str:
    """Draws the lines around the windows of a grid. `grid_size` is how many rows and columns of windows it has."""
    (rows, columns), (height, width) = grid_size, pool_size
    lines = "".join(f"M0 {row * height}h{columns * width}" for row in range(rows + 1))
    lines += "".join(f"M{column * width} 0v{rows * height}" for column in range(columns + 1))
    return f'<path class="lines" d="{lines}"/>'


def crosses(places: Iterable[tuple[int, int]]) -> str:
    """Draws a cross over each of some pixels. A place is a pixel's row and column."""
    marks = "".join(f"M{column + 0.25} {row + 0.25}l.5 .5m0-.5l-.5 .5" for row, column in places)
    return f'<path class="erased" d="{marks}"/>'


def frame(row: float, column: float, height: int = 1, width: int = 1, kind: str = "followed") -> str:
    """Draws a frame around some pixels: a bright line over a wider dark line, visible on any picture."""
    box = f'x="{column}" y="{row}" width="{width}" height="{height}"'
    return f'<rect class="{kind} under" {box}/><rect class="{kind}" {box}/>'
