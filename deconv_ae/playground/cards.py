"""The page's card of each model, as HTML: switches, code and reconstruction, the RMSE and the bits."""

import html
from collections.abc import Sequence

from deconv_ae.model.presets import ALL_PRESETS
from deconv_ae.pictures.pixels import code_brightness, tile_corner
from deconv_ae.playground import drawings
from deconv_ae.playground.drawings import drawing
from deconv_ae.playground.model_run import ModelRun, maxima, most_telling_place, pool_sizes, window_size
from deconv_ae.playground.tampering import CodeValue, Tampering, is_inside
from deconv_ae.saved_model.serving import ServedAutoencoder

CODE_KEYS = "code-keys"
"""The id of the text that names the keys for a code's pixels."""

SOFT_HYPHEN = "&#173;"
"""Where a narrow screen may divide a word."""

LARGEST_ASPECT_RATIO = 3
"""The largest ratio of a drawing's longer side to its shorter side."""


def cards(
    models: Sequence[ServedAutoencoder], runs: Sequence[ModelRun], tampering: Tampering, followed_window: CodeValue
) -> str:
    """Returns a card for each model.

    If there are several models, a list of links to their cards comes first, for screens that show one card at a time.
    """
    html_of_cards = [
        card(model, number, run, tampering, followed_window) for number, (model, run) in enumerate(zip(models, runs))
    ]
    # After the tiles of the switches come those of the code, the reconstruction and the thumbnail.
    most_tiles = max(len(pool_sizes(model)) for model in models) + 3
    height, width, _ = models[0].card.image_shape
    aspect = min(max(width / height, 1 / LARGEST_ASPECT_RATIO), LARGEST_ASPECT_RATIO)
    style = f"--tiles:{most_tiles};--aspect:{aspect:.3f}"
    kind = "cards single" if len(models) == 1 else "cards"
    return f'{_overview(models, runs)}<div class="{kind}" style="{style}">{"".join(html_of_cards)}</div>'


def legend(models: Sequence[ServedAutoencoder]) -> str:
    """Explains the dots, colours and greys in these models' drawings."""
    architectures = [model.card.architecture for model in models]
    channel_counts = [each for architecture in architectures for each in architecture.filters]
    counts_drawn_as_points = [each for each in channel_counts if each <= drawings.MOST_CHANNELS_AS_POINTS]
    sentences = []
    if counts_drawn_as_points:
        sentences.append(f"{drawings.dot(0)} A window's value goes here.")
    # Only the dots of a model's last stage can be dragged, and show whether the window's value is 0.
    if any(each.filters[-1] <= drawings.MOST_CHANNELS_AS_POINTS for each in architectures):
        sentences[0] = f"{drawings.dot(0)} A window's value goes here; drag the dot."
        sentences.append(f"{drawings.dot(0, 'empty')} The value is 0, so nothing goes here.")
    if counts_drawn_as_points and max(counts_drawn_as_points) > 1:
        sentences.append(
            f"{''.join(drawings.dot(channel) for channel in range(max(counts_drawn_as_points)))} The channels."
        )
    if max(channel_counts) > drawings.MOST_CHANNELS_AS_POINTS:
        sentences.append("A square is a switch, in the colour of its place; a dark square has a value of 0.")
    if any(each.averages for each in architectures):
        sentences.append("The code's last channels are averages: grey is 0, darker is negative.")
    sentences.append("The thumbnail has at most as many numbers as the code, and needs no model.")
    return " ".join(sentences)


def _overview(models: Sequence[ServedAutoencoder], runs: Sequence[ModelRun]) -> str:
    """A list of links to the models' cards, with the RMSE of each model's run; empty for a single model."""
    if len(models) == 1:
        return ""
    links = "".join(
        f'<li><a href="#model-{number}">{html.escape(model.name)} <b>{run.rmse_text(run.rmse)}</b></a></li>'
        for number, (model, run) in enumerate(zip(models, runs))
    )
    return (
        f'<nav class="overview" aria-label="Models"><p>{len(models)} models and their RMSE; swipe</p>'
        f"<ul>{links}</ul></nav>"
    )


def card(model: ServedAutoencoder, number: int, run: ModelRun, tampering: Tampering, followed_window: CodeValue) -> str:
    """Returns a model's card, with a frame around `followed_window` if that is a window of this model."""
    preset = ALL_PRESETS.get(model.card.preset or "")
    subtitle = html.escape(preset.title if preset else model.card.title)
    is_changed = run.picture.any() and run.rmse != run.untouched_rmse
    untouched = f"untouched {run.untouched_rmse:.3f}" if is_changed else ""
    place = followed_window[1:] if followed_window[0] == number else None
    # The page aligns the tiles of all cards at the right. Each column then has tiles of one kind, because models differ
    # only in the number of tiles of switches, which come first.
    tiles = [
        *_switches(model, run, place),
        _code(model, number, run, tampering, place),
        _reconstruction(model, run, place),
        _thumbnail(model, run),
    ]
    return (
        f'<section class="card" id="model-{number}" data-model="{number}" aria-labelledby="name-{number}">'
        f'<header><div><h2 id="name-{number}">{html.escape(model.name)}</h2><p>{subtitle}</p></div>'
        f'<p class="rmse"><span>RMSE</span> <b>{run.rmse_text(run.rmse)}</b> <small>{untouched}</small></p>'
        f'{_bits(model, tampering)}</header><div class="tiles">{"".join(tiles)}</div></section>'
    )


def drawing_name(model: ServedAutoencoder, run: ModelRun, subject: str) -> str:
    """A drawing's name for screen readers: the model, the subject and the RMSE."""
    return f"{model.name}: {subject}, RMSE {run.rmse_text(run.rmse)}"


def _code(
    model: ServedAutoencoder,
    number: int,
    run: ModelRun,
    tampering: Tampering,
    followed_place: tuple[int, int, int] | None,
) -> str:
    """The tile of the code. Arrow keys start at `followed_place`, or if it is None at the `most_telling_place`."""
    code = run.received.code[0]
    height, width, channels = code.shape
    erased = [value[1:] for value in sorted(tampering.erased) if value[0] == number]
    marks = drawings.crosses(_tile_place(place, code.shape) for place in erased if is_inside(place, code.shape))
    row, column = _tile_place(followed_place or most_telling_place(model, run), code.shape)
    marks += drawings.frame(row, column) if followed_place else ""
    brightness = code_brightness(code[None], model.card.architecture.averages)[0]
    hidden_frame = drawings.frame(-9, -9, kind="pointed-at")  # code.js moves it to the value under the pointer.
    content = drawings.channel_tiles(brightness) + marks + hidden_frame
    name = drawing_name(model, run, f"code, {height} by {width} values in {_channels(channels)}")
    attributes = (
        f'role="application" tabindex="0" aria-describedby="{CODE_KEYS}" data-action="code" data-row="{row}" '
        f'data-column="{column}"{_tile_attributes(code.shape)}'
    )
    return _tile("code", drawing(drawings.tiles_size(code.shape), content, name, attributes), "code")


def _tile_place(place: tuple[int, int, int], shape: tuple[int, ...]) -> tuple[int, int]:
    """Returns the row and column of a pixel in a drawing of tiles: the pixel of the value at (row, column, channel)."""
    row, column, channel = place
    top, left = tile_corner(channel, shape)
    return top + row, left + column


def _switches(model: ServedAutoencoder, run: ModelRun, followed_place: tuple[int, int, int] | None) -> list[str]:
    """A tile for each pooling, which shows the switches of a model's run.

    Up to `MOST_CHANNELS_AS_POINTS` channels are drawn as points in the pooling's windows. If there are more, each
    channel is a grid with one square for each window. The square's colour stands for the switch, a place in the window.
    """
    tiles = []
    height, width = run.picture.shape[:2]
    sizes = pool_sizes(model)
    for stage, (switches, pool_size) in enumerate(zip(run.received.switches, sizes), start=1):
        is_last = stage == len(sizes)
        code = maxima(model, run.received) if is_last else None
        rows, columns, channels = switches[0].shape
        label = "switches" if len(sizes) == 1 else f"switches {stage}"
        name = drawing_name(model, run, f"{label}, places of the maxima of {rows} by {columns} windows")
        attributes = 'role="img"'
        if channels <= drawings.MOST_CHANNELS_AS_POINTS:
            size = (height, width)
            content = drawings.image_element(run.picture, "faint") if stage == 1 else ""
            content += drawings.switches_points(switches[0], pool_size, code)
            if followed_place and is_last:
                row, column = followed_place[0] * pool_size[0], followed_place[1] * pool_size[1]
                content += drawings.frame(row, column, *pool_size)
            places = " ".join(map(str, switches[0].ravel()))
            if is_last:  # code.js reads these attributes when somebody clicks on a window or drags a switch.
                attributes += f' data-action="follow" data-unit="{pool_size[0]} {pool_size[1]}"'
                attributes += f' data-columns="{columns}" data-channels="{channels}" data-places="{places}"'
            caption = label
        else:
            size = drawings.tiles_size(switches[0].shape)
            content = drawings.switches_tiles(switches[0], pool_size, code)
            if followed_place and is_last and followed_place[2] < channels:
                content += drawings.frame(*_tile_place(followed_place, switches[0].shape))
            attributes += f' data-action="follow"{_tile_attributes(switches[0].shape)}' if is_last else ""
            caption = f"{label}, by place {drawings.places_key(pool_size)}"
        tiles.append(_tile("switches", drawing(size, content, name, attributes), caption))
        height, width = height // pool_size[0], width // pool_size[1]
    return tiles


def _reconstruction(model: ServedAutoencoder, run: ModelRun, followed_place: tuple[int, int, int] | None) -> str:
    content = drawings.image_element(run.reconstruction) + drawings.image_element(run.picture, "original")
    height, width = window_size(model)
    if followed_place:
        content += drawings.frame(followed_place[0] * height, followed_place[1] * width, height, width)
    picture_height, picture_width = run.picture.shape[:2]
    content += f'<rect class="divider" width="1" height="{picture_height}"/>'
    attributes = f'role="img" data-action="follow" data-unit="{height} {width}" style="--columns:{picture_width}px"'
    name = drawing_name(model, run, "reconstruction")
    svg = drawing(run.picture.shape, content, name, attributes)
    return _tile("reconstruction", svg, f"recon{SOFT_HYPHEN}struction")


def _thumbnail(model: ServedAutoencoder, run: ModelRun) -> str:
    height, width = run.thumbnail.size
    rmse = run.rmse_text(run.thumbnail.rmse)
    name = f"{model.name}: thumbnail of {height} by {width} pixels, enlarged, RMSE {rmse}"
    svg = drawing(run.picture.shape, drawings.image_element(run.thumbnail.enlarged), name)
    caption = f"thumb{SOFT_HYPHEN}nail {height}x{width}: <span class='unit'>RMSE</span> <b>{rmse}</b>"
    return _tile("thumbnail", svg, caption)


def _bits(model: ServedAutoencoder, tampering: Tampering) -> str:
    """A bar and a line of text: the bits of code and switches, and their share of the original picture's bits."""
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


def _tile_attributes(shape: tuple[int, ...]) -> str:
    """The attributes by which code.js finds a pixel in a drawing of channels as tiles."""
    height, width, channels = shape
    return f' data-height="{height}" data-width="{width}" data-channels="{channels}"'


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"


def _tile(kind: str, svg: str, caption: str) -> str:
    return f'<figure class="{kind}">{svg}<figcaption>{caption}</figcaption></figure>'
