"""What the page shows of each model, as HTML: code, switches and reconstruction, the RMSE and the bits."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deconv_ae.data import scale
from deconv_ae.model.objective import per_image_rmse
from deconv_ae.model.presets import ALL_PRESETS
from deconv_ae.pictures.pixels import code_brightness, tile_corner
from deconv_ae.playground import drawings
from deconv_ae.playground.drawings import drawing
from deconv_ae.playground.tampering import Pixel, Tampering, is_inside
from deconv_ae.saved_model.serving import Encoded, ServedAutoencoder

CODE_KEYS = "code-keys"
"""The id of what says by which keys a code's pixels are reached."""

MOST_OBLONG = 3
"""Pictures that are longer still get a place of this aspect ratio."""


@dataclass(frozen=True, eq=False)
class Passage:
    """One picture through one model.

    Attributes:
        picture: `(height, width, channels)` uint8.
        sent: what the encoder made of it.
        received: what reached the decoder.
        reconstruction: what it made of that, `(height, width, channels)` float32.
        rmse, untouched_rmse: of the reconstruction, and of the one from what the encoder sent.
    """

    picture: np.ndarray
    sent: Encoded
    received: Encoded
    reconstruction: np.ndarray
    rmse: float
    untouched_rmse: float

    @property
    def error(self) -> str:
        """The RMSE as one reads it; an empty picture has nothing to be wrong about."""
        return f"{self.rmse:.3f}" if self.picture.any() else "-"


def pass_through(model: ServedAutoencoder, number: int, picture: np.ndarray, tampering: Tampering) -> Passage:
    """Encodes a picture, tampers with what comes out, and decodes that."""
    images = picture[None]
    sent = model.encode(images)
    received = tampering.apply(sent, number, pool_sizes(model))
    both = Encoded(
        np.concatenate([received.code, sent.code]),
        tuple(np.concatenate(pair) for pair in zip(received.switches, sent.switches)),
    )
    reconstructions = model.decode(both)
    rmse, untouched = per_image_rmse(scale(images), reconstructions).numpy()
    return Passage(picture, sent, received, reconstructions[0], float(rmse), float(untouched))


def cards(
    models: Sequence[ServedAutoencoder], passages: Sequence[Passage], tampering: Tampering, looked_at: Pixel
) -> str:
    """A card for each model; before them, where the screen shows one at a time, the list of all."""
    made = [
        card(model, number, passage, tampering, looked_at)
        for number, (model, passage) in enumerate(zip(models, passages))
    ]
    most_tiles = max(len(pool_sizes(model)) for model in models) + 2
    height, width, _ = models[0].card.image_shape
    aspect = min(max(width / height, 1 / MOST_OBLONG), MOST_OBLONG)
    style = f"--tiles:{most_tiles};--aspect:{aspect:.3f}"
    kind = "cards single" if len(models) == 1 else "cards"
    return f'{_overview(models, passages)}<div class="{kind}" style="{style}">{"".join(made)}</div>'


def legend(models: Sequence[ServedAutoencoder]) -> str:
    """What the dots and colours of the switches mean, as far as these models have them."""
    last = [(model.card.architecture.filters[-1], pool_sizes(model)[-1]) for model in models]
    most = max((filters for filters, _ in last if filters <= drawings.MOST_CHANNELS_AS_POINTS), default=0)
    said = []
    if most:
        said.append(f"{drawings.dot(0)} where a window's value is put; drag it.")
        said.append(f"{drawings.dot(0, 'empty')} nothing is put there: the value is 0.")
    if most > 1:
        said.append(f"{''.join(drawings.dot(channel) for channel in range(most))} the channels.")
    if any(
        filters > drawings.MOST_CHANNELS_AS_POINTS for model in models for filters in model.card.architecture.filters
    ):
        said.append("Of many channels each switch is a square, in the colour of its place; dark: the value is 0.")
    return " ".join(said)


def _overview(models: Sequence[ServedAutoencoder], passages: Sequence[Passage]) -> str:
    if len(models) == 1:
        return ""
    links = "".join(
        f'<li><a href="#model-{number}">{html.escape(model.name)} <b>{passage.error}</b></a></li>'
        for number, (model, passage) in enumerate(zip(models, passages))
    )
    said = f"{len(models)} models and their RMSE; swipe"
    return f'<nav class="overview" aria-label="Models"><p>{said}</p><ul>{links}</ul></nav>'


def card(model: ServedAutoencoder, number: int, passage: Passage, tampering: Tampering, looked_at: Pixel | None) -> str:
    """The switches, the code, the reconstruction, the RMSE and the bits; a frame around the window looked at."""
    preset = ALL_PRESETS.get(model.card.preset or "")
    subtitle = html.escape(preset.title if preset else model.card.title)
    is_touched = passage.picture.any() and passage.rmse != passage.untouched_rmse
    untouched = f"untouched {passage.untouched_rmse:.3f}" if is_touched else ""
    place = looked_at[1:] if looked_at is not None and looked_at[0] == number else None
    # The tiles of all models end below each other: the code is the last but one.
    tiles = [
        *_switches(model, passage, place),
        _code(model, number, passage, tampering, place),
        _reconstruction(model, passage, place),
    ]
    return (
        f'<section class="card" id="model-{number}" data-model="{number}" aria-labelledby="name-{number}">'
        f'<header><div><h2 id="name-{number}">{html.escape(model.name)}</h2><p>{subtitle}</p></div>'
        f'<p class="rmse"><span>RMSE</span> <b>{passage.error}</b> <small>{untouched}</small></p>'
        f'{_bits(model, tampering)}</header><div class="tiles">{"".join(tiles)}</div></section>'
    )


def pool_sizes(model: ServedAutoencoder) -> list[tuple[int, int]]:
    """(height, width) of the windows of each pooling."""
    return [(height, width) for height, width in model.card.architecture.pool_sizes]


def telling(model: ServedAutoencoder, passage: Passage) -> tuple[int, int, int]:
    """Row, column and channel of the code's largest maximum, times the spread of the pixels in its window."""
    code = maxima(model, passage.sent)
    rows, columns, _ = code.shape
    height, width = window_size(model)
    pixels = passage.picture[: rows * height, : columns * width].reshape(rows, height, columns, width, -1)
    row, column, channel = np.unravel_index(np.argmax(code * pixels.std(axis=(1, 3)).mean(-1)[..., None]), code.shape)
    return int(row), int(column), int(channel)


def strongest(model: ServedAutoencoder, passage: Passage, row: int, column: int) -> int:
    """The channel that has the largest maximum in a window."""
    return int(maxima(model, passage.sent)[row, column].argmax())


def maxima(model: ServedAutoencoder, encoded: Encoded) -> np.ndarray:
    """What a code has of the last pooling, `(h, w, filters)`: all but averages."""
    return encoded.code[0, ..., : model.card.architecture.filters[-1]]


def window_size(model: ServedAutoencoder) -> tuple[int, int]:
    """Height and width, in the picture, of the window that a value of the code stands for."""
    height, width = np.prod(pool_sizes(model), axis=0)
    return int(height), int(width)


def name(model: ServedAutoencoder, passage: Passage, what: str) -> str:
    """What a screen reader says of a picture: the model, what it shows, and how good all of it is."""
    return f"{model.name}: {what}, RMSE {passage.error}"


def _code(
    model: ServedAutoencoder,
    number: int,
    passage: Passage,
    tampering: Tampering,
    looked_at: tuple[int, int, int] | None,
) -> str:
    """The code; where the keys begin is the pixel that is looked at, or the strongest."""
    code = passage.received.code[0]
    height, width, channels = code.shape
    erased = [pixel[1:] for pixel in sorted(tampering.erased) if pixel[0] == number]
    marks = drawings.crosses(_tile_place(place, code.shape) for place in erased if is_inside(place, code.shape))
    row, column = _tile_place(looked_at or telling(model, passage), code.shape)
    marks += drawings.frame(row, column) if looked_at else ""
    # Averages may be below 0, and a hundred times as large as maxima.
    shown = code_brightness(code[None])[0] if model.card.architecture.averages else code / (float(code.max()) or 1.0)
    drawn = drawings.tiles(shown) + marks + drawings.frame(-9, -9, kind="pointed-at")
    named = name(model, passage, f"code, {height} by {width} values in {_channels(channels)}")
    attributes = (
        f'role="application" tabindex="0" aria-describedby="{CODE_KEYS}" data-action="code" data-row="{row}" '
        f'data-column="{column}"{_tiled(code.shape)}'
    )
    return _tile("code", drawing(drawings.tiles_size(code.shape), drawn, named, attributes), "code")


def _tile_place(place: tuple[int, int, int], shape: tuple[int, ...]) -> tuple[int, int]:
    """Row and column in the picture of a code at which its value of a row, column and channel is."""
    row, column, channel = place
    top, left = tile_corner(channel, shape)
    return top + row, left + column


def _switches(model: ServedAutoencoder, passage: Passage, looked_at: tuple[int, int, int] | None) -> list[str]:
    """A tile for each pooling: a point in each window where its value goes or, of many channels, its place's colour."""
    drawn = []
    height, width = passage.picture.shape[:2]
    sizes = pool_sizes(model)
    for stage, (switches, pool_size) in enumerate(zip(passage.received.switches, sizes), start=1):
        is_last = stage == len(sizes)
        code = maxima(model, passage.received) if is_last else None
        rows, columns, channels = switches[0].shape
        label = "switches" if len(sizes) == 1 else f"switches {stage}"
        named = name(model, passage, f"{label}, places of the maxima of {rows} by {columns} windows")
        attributes = 'role="img"'
        if channels <= drawings.MOST_CHANNELS_AS_POINTS:
            size = (height, width)
            content = drawings.picture(passage.picture, "faint") if stage == 1 else ""
            content += drawings.switches_points(switches[0], pool_size, code)
            if looked_at and is_last:
                row, column = looked_at[0] * pool_size[0], looked_at[1] * pool_size[1]
                content += drawings.frame(row, column, *pool_size)
            places = " ".join(map(str, switches[0].ravel()))
            draggable = f' data-action="look" data-unit="{pool_size[0]} {pool_size[1]}" data-columns="{columns}" '
            draggable += f'data-channels="{channels}" data-places="{places}"'
            attributes += draggable if is_last else ""
            caption = label
        else:
            size = drawings.tiles_size(switches[0].shape)
            content = drawings.switches_tiles(switches[0], pool_size, code)
            if looked_at and is_last and looked_at[2] < channels:
                content += drawings.frame(*_tile_place(looked_at, switches[0].shape))
            attributes += f' data-action="look"{_tiled(switches[0].shape)}' if is_last else ""
            caption = f"{label}, by place {drawings.places_key(pool_size)}"
        drawn.append(_tile("switches", drawing(size, content, named, attributes), caption))
        height, width = height // pool_size[0], width // pool_size[1]
    return drawn


def _reconstruction(model: ServedAutoencoder, passage: Passage, looked_at: tuple[int, int, int] | None) -> str:
    content = drawings.picture(passage.reconstruction) + drawings.picture(passage.picture, "original")
    height, width = window_size(model)
    if looked_at:
        content += drawings.frame(looked_at[0] * height, looked_at[1] * width, height, width)
    named = name(model, passage, "reconstruction")
    whole = passage.picture.shape
    content += f'<rect class="divider" width="1" height="{whole[0]}"/>'
    attributes = f'role="img" data-action="look" data-unit="{height} {width}" style="--columns:{whole[1]}px"'
    return _tile("reconstruction", drawing(passage.picture.shape, content, named, attributes), "reconstruction")


def _bits(model: ServedAutoencoder, tampering: Tampering) -> str:
    """The code's and the switches' bits as shares of the original's."""
    size = model.card.size_per_image
    original = size.original_bits
    code = size.code_bits * (tampering.bits / 32 if tampering.bits else 1)
    switches = size.switches_bits
    bars = "".join(
        f'<i class="{kind}" style="width:{min(bits / original, 1) * 100:.2f}%"></i>'
        for kind, bits in (("code-bits", code), ("switch-bits", switches))
    )
    return (
        f'<div class="bits"><div class="bar">{bars}</div><p><b class="code-bits">code {code:,.0f}</b> + '
        f'<b class="switch-bits">switches {switches:,.0f}</b> bits: {(code + switches) / original:.0%} of '
        f"{original:,}</p></div>"
    )


def _tiled(shape: tuple[int, ...]) -> str:
    """What code.js finds a pixel by, in a drawing of a code's channels as tiles."""
    height, width, channels = shape
    return f' data-height="{height}" data-width="{width}" data-channels="{channels}"'


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"


def _tile(kind: str, drawn: str, caption: str) -> str:
    return f'<figure class="{kind}">{drawn}<figcaption>{caption}</figcaption></figure>'
