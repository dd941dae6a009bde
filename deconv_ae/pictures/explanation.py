"""Why it works: the learned kernels and what the switches carry, drawn from trained models."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.pictures.pixels import tile_columns
from deconv_ae.pictures.visualization import COLUMN_INCHES, LETTERS_AN_INCH, View, new_grid, show_picture, wrapped
from deconv_ae.saved_model.serving import Encoded

SHUFFLING_SEED = 0
CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.Conv2DTranspose)
MOST_KERNELS = 32
"""Of a layer's rows, and of its columns: more would be too small to see."""
KERNELS_INCHES, LARGEST_WEIGHT_INCHES, LABELS_INCHES = 12.0, 0.15, 1.2
WINDOW_INCHES = 0.036
"""Of a pixel, so that one sees where in a window of four a point lies."""
POINTS_AN_INCH = 72
GROUND = 0.85
"""Between kernels: of a white that is also a weight of zero, one does not see where they end."""


def shuffled(encoded: Encoded, seed: int = SHUFFLING_SEED) -> Encoded:
    """The same code; each image's switches in a random order, each pooling by itself, the same for the same seed."""
    random = np.random.default_rng(seed)
    return Encoded(
        encoded.code,
        tuple(
            random.permuted(switches.reshape(len(switches), -1), axis=1).reshape(switches.shape)
            for switches in encoded.switches
        ),
    )


def centred(encoded: Encoded, pool_sizes: Sequence[Sequence[int]]) -> Encoded:
    """The same code; every switch at the middle of its window, above and left of it where there is none."""
    return Encoded(
        encoded.code,
        tuple(
            np.full_like(switches, (height - 1) // 2 * width + (width - 1) // 2)
            for switches, (height, width) in zip(encoded.switches, pool_sizes)
        ),
    )


def switches_figure(model: Autoencoder, shown: View) -> Figure:
    """Rows: image; each stage's maxima and switches; reconstruction with the switches, shuffled, and centred.

    A stage is drawn as windows, as bright as their maximum, with a point where it lay; of several channels, the one
    that is brightest in these images.
    """
    pool_sizes = model.architecture.pool_sizes
    rows: dict[str, Sequence[np.ndarray]] = {"original": list(shown.originals)}
    points: dict[str, np.ndarray] = {}
    values = keras.ops.convert_to_tensor(shown.originals)
    values = values - model.smooth(values)
    for number, window in enumerate(pool_sizes, start=1):
        size = tuple(values.shape[1:3])
        values, argmax = model.get_layer(f"pool{number}")(model.get_layer(f"conv{number}")(values))
        in_place = np.asarray(model.get_layer(f"unpool{number}")(values, argmax, output_size=size))
        channel, channels = int(in_place.sum(axis=(0, 1, 2)).argmax()), in_place.shape[-1]
        label = "code and switches" if number == len(pool_sizes) else f"stage {number}: switches"
        label += f"\nchannel {channel + 1} of {channels}" if channels > 1 else ""
        maxima = np.asarray(values)[..., channel] / max(float(in_place[..., channel].max()), 1e-6)
        rows[label] = [np.kron(each, np.ones(window))[..., None] for each in maxima]
        points[label] = in_place[..., channel] > 0
    rows["reconstruction"] = list(shown.reconstruction)
    for label, spoilt in (
        ("switches shuffled", shuffled(shown.encoded)),
        ("switches centred", centred(shown.encoded, pool_sizes)),
    ):
        decoded = model.decoder([keras.ops.convert_to_tensor(each) for each in spoilt.named().values()])
        rows[label] = list(np.asarray(decoded))
    inches = max(COLUMN_INCHES, WINDOW_INCHES * max(shown.images.shape[1:3]))
    title = f"{shown.title}: what the switches carry"
    figure, axes = new_grid(len(rows), len(shown.images), inches, title=title, label_lines=2)
    for row, (label, pictures) in zip(axes, rows.items()):
        row[0].set_ylabel(label, fontsize="small")
        for index, (axis, picture) in enumerate(zip(row, pictures)):
            show_picture(axis, picture)
            if label in points:
                _show_points(axis, points[label][index], inches)
    return figure


def _show_points(axis: Axes, places: np.ndarray, inches: float) -> None:
    """A point on every place that is true, half as wide as a place."""
    rows, columns = np.nonzero(places)
    axis.scatter(columns, rows, s=(POINTS_AN_INCH * inches / max(places.shape) / 2) ** 2, color="red", linewidths=0)


def kernels_figure(models: dict[str, Autoencoder]) -> Figure:
    """A band for each model: the kernels of each of its layers with weights.

    Blue is negative, red positive, white zero; kernels that read or draw colours are in these, and zero is grey. Each
    layer has a scale of its own, its largest absolute weight, which stands beneath it. Rows are the channels towards
    the image, columns the filters; where there is one of either, kernels are tiles. Of over 32 the first are shown.
    """
    bands = {
        name: [_kernels(layer, model.image_shape[-1]) for layer in model.layers if isinstance(layer, CONVOLUTIONS)]
        for name, model in models.items()
    }
    widths = [sum(layer.picture.shape[1] for layer in band) for band in bands.values()]
    inches = min(LARGEST_WEIGHT_INCHES, KERNELS_INCHES / max(widths))
    heights = [max(layer.picture.shape[0] for layer in band) * inches + LABELS_INCHES for band in bands.values()]
    layers = max(map(len, bands.values()))
    figure = Figure(figsize=(max(widths) * inches + 0.3 * layers, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(bands), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, (name, band) in zip(parts, bands.items()):
        part.suptitle(wrapped(name, figure.get_figwidth(), LETTERS_AN_INCH), fontsize="medium")
        # As wide as in the widest band, so that a weight is as large in each.
        blank = max(widths) - sum(layer.picture.shape[1] for layer in band)
        ratios = [layer.picture.shape[1] for layer in band] + [blank] * (blank > 0)
        axes = part.subplots(1, len(ratios), squeeze=False, width_ratios=ratios)[0]
        for axis in axes[len(band) :]:
            axis.axis("off")
        for axis, layer in zip(axes, band):
            axis.set(xticks=[], yticks=[], frame_on=False)
            axis.imshow(layer.picture, interpolation="nearest")
            axis.set_title(layer.name, fontsize="x-small")
            axis.set_xlabel(f"largest {layer.largest:.2f}", fontsize="x-small")
    return figure


@dataclass(frozen=True)
class _Kernels:
    """A layer's kernels as one picture, `(height, width, 3)`, and its largest weight."""

    name: str
    picture: np.ndarray
    largest: float


def _kernels(layer: keras.layers.Layer, image_channels: int) -> _Kernels:
    # (height, width, channels towards the image, filters), of convolutions as of transposed ones.
    kernels = np.asarray(layer.kernel)[:, :, :MOST_KERNELS, :MOST_KERNELS]
    largest = float(np.abs(kernels).max()) or 1.0
    if layer.name in ("averages", "enlarge", "conv1", "deconv1") and image_channels == 3:
        tiles = [0.5 + kernels[..., number] / (2 * largest) for number in range(kernels.shape[3])]
        columns = tile_columns(len(tiles))
    else:
        scaled = Normalize(-largest, largest)
        each = kernels.transpose(2, 3, 0, 1).reshape(-1, *kernels.shape[:2])
        tiles = [colormaps["bwr"](scaled(kernel))[..., :3] for kernel in each]
        columns = tile_columns(len(tiles)) if 1 in kernels.shape[2:] else kernels.shape[3]
    return _Kernels(layer.name, _tiled(tiles, columns), largest)


def _tiled(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Pictures in rows, a pixel apart, on a light ground."""
    height, width, channels = tiles[0].shape
    rows = -(-len(tiles) // columns)
    picture = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, channels), GROUND)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top, left = row * (height + 1) + 1, column * (width + 1) + 1
        picture[top : top + height, left : left + width] = tile
    return picture
