"""What the page shows of each model, as HTML: pictures as PNG inside of it, points and crosses as SVG."""

import base64
import html
import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from deconv_ae.data import scale
from deconv_ae.model.objective import per_image_rmse
from deconv_ae.model.presets import PRESETS
from deconv_ae.pictures.pixels import black_to_white, code_picture, tile_corner
from deconv_ae.playground.tampering import Tampering
from deconv_ae.saved_model.serving import Encoded, ServedAutoencoder

POINT_COLOURS = ("#ff7a1a", "#2ea8ff", "#34c26b", "#e055c8", "#e8c21a", "#8f7bff")


@dataclass(frozen=True, eq=False)
class Passage:
    """One picture through one model.

    Attributes:
        picture: `(height, width, channels)` uint8.
        received: what reached the decoder.
        reconstruction: what it made of that, `(height, width, channels)` float32.
        rmse, untouched_rmse: of the reconstruction, and of the one from what the encoder sent.
    """

    picture: np.ndarray
    received: Encoded
    reconstruction: np.ndarray
    rmse: float
    untouched_rmse: float


def pass_through(model: ServedAutoencoder, number: int, picture: np.ndarray, tampering: Tampering) -> Passage:
    """Encodes a picture, tampers with what comes out, and decodes that."""
    images = picture[None]
    sent = model.encode(images)
    received = tampering.apply(sent, number, model.card.architecture["pool_sizes"])
    both = Encoded(
        np.concatenate([received.code, sent.code]),
        tuple(np.concatenate(pair) for pair in zip(received.switches, sent.switches)),
    )
    reconstructions = model.decode(both)
    rmse, untouched = per_image_rmse(scale(images), reconstructions).numpy()
    return Passage(picture, received, reconstructions[0], float(rmse), float(untouched))


def cards(models: list[ServedAutoencoder], picture: np.ndarray, tampering: Tampering) -> str:
    """A card for each model."""
    made = [
        card(model, number, pass_through(model, number, picture, tampering), tampering)
        for number, model in enumerate(models)
    ]
    return f'<div class="cards">{"".join(made)}</div>'


def card(model: ServedAutoencoder, number: int, passage: Passage, tampering: Tampering) -> str:
    """The picture, the code, the switches, the reconstruction, the RMSE and the bits."""
    title = html.escape(model.name)
    preset = PRESETS.get(model.card.preset or "")
    subtitle = html.escape(preset.title if preset else model.card.title)
    untouched = "" if passage.rmse == passage.untouched_rmse else f" untouched {passage.untouched_rmse:.3f}"
    tiles = [
        _tile("picture", _svg(passage.picture.shape[:2], _image(passage.picture, passage.picture.shape[:2]))),
        _tile("code", _code(passage.received.code[0], number, tampering)),
        *_switches(model, passage),
        _tile("reconstruction", _svg(passage.picture.shape[:2], _reconstruction(passage))),
    ]
    return (
        f'<section class="card" data-model="{number}">'
        f"<header><div><h3>{title}</h3><p>{subtitle}</p></div>"
        f'<p class="rmse"><span>RMSE</span> <b>{passage.rmse:.3f}</b><small>{untouched}</small></p></header>'
        f'<div class="tiles">{"".join(tiles)}</div>{_bits(model, tampering)}</section>'
    )


def _code(code: np.ndarray, number: int, tampering: Tampering) -> str:
    height, width, channels = code.shape
    shown = code_picture(code / (float(code.max()) or 1.0))
    crosses = []
    for erased_in, row, column, channel in sorted(tampering.erased):
        if erased_in == number and row < height and column < width and channel < channels:
            top, left = tile_corner(channel, code.shape)
            crosses.append(f"M{left + column + 0.25} {top + row + 0.25}l.5 .5m0-.5l-.5 .5")
    marks = f'<path class="erased" d="{"".join(crosses)}"/>'
    size = shown.shape[:2]
    return _svg(size, _image(black_to_white(shown), size) + marks, f'data-rows="{size[0]}" data-columns="{size[1]}"')


def _switches(model: ServedAutoencoder, passage: Passage) -> list[str]:
    """A tile for each pooling: its windows over the picture, and in each a point where its value goes."""
    tiles = []
    height, width = passage.picture.shape[:2]
    pool_sizes = model.card.architecture["pool_sizes"]
    for stage, (switches, pool_size) in enumerate(zip(passage.received.switches, pool_sizes), start=1):
        is_last = stage == len(pool_sizes)
        drawn = _points(switches[0], tuple(pool_size), passage.received.code[0] if is_last else None)
        faint = _image(passage.picture, (height, width), "faint") if stage == 1 else ""
        label = "switches" if len(pool_sizes) == 1 else f"switches {stage}"
        tiles.append(_tile(label, _svg((height, width), faint + drawn, 'class="windows"')))
        height, width = height // pool_size[0], width // pool_size[1]
    return tiles


def _points(switches: np.ndarray, pool_size: tuple[int, int], code: np.ndarray | None) -> str:
    """Window lines and points; faint where the value that goes there is 0, as far as that is known."""
    (rows, columns, channels), (pool_height, pool_width) = switches.shape, pool_size
    lines = "".join(f"M0 {row * pool_height}h{columns * pool_width}" for row in range(rows + 1))
    lines += "".join(f"M{column * pool_width} 0v{rows * pool_height}" for column in range(columns + 1))
    row, column = np.mgrid[0:rows, 0:columns]
    drawn = [f'<path class="lines" d="{lines}"/>']
    for channel in range(channels):
        switch = switches[..., channel].astype(int)
        # Channels side by side within a pixel, so that one does not hide another.
        shift = (channel + 0.5) / channels
        y = row * pool_height + switch // pool_width + 0.5
        x = column * pool_width + switch % pool_width + shift
        alive = np.ones((rows, columns), bool) if code is None else code[..., channel] > 0
        for chosen, kind in ((alive, "point"), (~alive, "point empty")):
            dots = "".join(f"M{left:g} {top:g}h0" for left, top in zip(x[chosen], y[chosen]))
            colour = POINT_COLOURS[channel % len(POINT_COLOURS)]
            radius = min(0.85, 1.1 / math.sqrt(channels))
            drawn.append(f'<path class="{kind}" stroke="{colour}" stroke-width="{radius:.2f}" d="{dots}"/>')
    return "".join(drawn)


def _reconstruction(passage: Passage) -> str:
    return _image(black_to_white(passage.reconstruction), passage.picture.shape[:2])


def _bits(model: ServedAutoencoder, tampering: Tampering) -> str:
    """The code's and the switches' bits as shares of the original's."""
    size = model.card.size_per_image
    original = size["original_bits"]
    code = size["code_bits"] * (tampering.bits / 32 if tampering.bits else 1)
    switches = size["switches_bits"]
    bars = "".join(
        f'<i class="{kind}" style="width:{min(bits / original, 1) * 100:.2f}%"></i>'
        for kind, bits in (("code-bits", code), ("switch-bits", switches))
    )
    return (
        f'<footer><div class="bar">{bars}</div><p><b class="code-bits">code {code:,.0f}</b> + '
        f'<b class="switch-bits">switches {switches:,.0f}</b> bits, {(code + switches) / original:.0%} of the '
        f"original's {original:,}</p></footer>"
    )


def _tile(label: str, picture: str) -> str:
    return f'<figure class="{label.split()[0]}">{picture}<figcaption>{label}</figcaption></figure>'


def _svg(size: tuple[int, ...], content: str, attributes: str = "") -> str:
    return f'<svg viewBox="0 0 {size[1]} {size[0]}" {attributes}>{content}</svg>'


def _image(pixels: np.ndarray, size: tuple[int, ...], kind: str = "") -> str:
    png = io.BytesIO()
    squeezed = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    Image.fromarray(squeezed).save(png, "PNG", compress_level=1)
    data = base64.b64encode(png.getvalue()).decode()
    return f'<image class="{kind}" width="{size[1]}" height="{size[0]}" href="data:image/png;base64,{data}"/>'
