"""Figures that explain a trained model: what its switches carry, and what its kernels look like."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.pictures.colours import POINTS, SIGNED
from deconv_ae.pictures.visualization import (
    COLUMN_INCHES,
    LINE_INCHES,
    MARGIN_INCHES,
    PIXELS_AN_INCH,
    SMALL_LETTERS_AN_INCH,
    TITLE_LINE_INCHES,
    WIDEST_INCHES,
    ShownFigure,
    View,
    columns_that_fit,
    left_inches,
    new_grid,
    show_picture,
    wrapped,
)
from deconv_ae.saved_model.serving import Encoded

SHUFFLING_SEED = 0
PIXEL_INCHES = 4 / PIXELS_AN_INCH
"""The least width of an image's pixel in `switches_figure`, unless one image would then be wider than the figure. With
narrower pixels, nobody sees on which pixel a point lies."""
POINT_SHARE_OF_PLACE, POINT_SHARE_OF_WINDOW = 0.6, 0.2
"""The width of a point, as a share of a place's width and of its window's shorter side; the larger width counts. So
neighbours in small windows do not touch, and points in large windows can be seen."""
POINTS_AN_INCH = 72
LABEL_LINES = 2

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.Conv2DTranspose)
MOST_KERNELS = 32
"""The most rows of a layer's kernels, and the most columns: about as many as fit into `WIDEST_INCHES`."""
SMALLEST_KERNEL_PIXELS, LARGEST_KERNEL_PIXELS = 40, 100
"""The limits of a kernel's longer side in the figure. A weight is a whole number of pixels wide."""
LAYER_PIXELS = 900
"""The longer side of a layer, unless its kernels would be too small or too large."""
GAP_PIXELS = 4
GREY_BETWEEN_KERNELS = 0.75
"""White would look like weights of 0."""
COLOURS = ("red", "green", "blue")
NARROWEST_INCHES, COLOUR_LABELS_INCHES, BAR_INCHES = 5.0, 0.5, 0.75


def shuffle_switches(encoded: Encoded, seed: int = SHUFFLING_SEED) -> Encoded:
    """The same code, with the switches of each image and each pooling in a random order.

    The same seed gives the same order.
    """
    random = np.random.default_rng(seed)
    return Encoded(
        encoded.code,
        tuple(
            random.permuted(switches.reshape(len(switches), -1), axis=1).reshape(switches.shape)
            for switches in encoded.switches
        ),
    )


def centre_switches(encoded: Encoded, pool_sizes: Sequence[Sequence[int]]) -> Encoded:
    """The same code, with every switch at the middle of its window; `centre_name` says where that is."""
    return Encoded(
        encoded.code,
        tuple(
            np.full_like(switches, (height - 1) // 2 * width + (width - 1) // 2)
            for switches, (height, width) in zip(encoded.switches, pool_sizes)
        ),
    )


def centre_name(pool_sizes: Sequence[Sequence[int]]) -> str:
    """Says in words where `centre_switches` puts the switches. A window with an even side has no place in its middle.

    >>> [centre_name([size]) for size in ((3, 3), (2, 2), (4, 4), (4, 3), (3, 4))]
    ['in the middle', 'at the upper left', 'up and left of the middle', 'up of the middle', 'left of the middle']
    >>> centre_name([(3, 3), (2, 2)]), centre_name([(2, 2), (4, 3)])
    ('in the middle, or up or left of it', 'up or left of the middle')
    """
    names = {_centre_name(height, width) for height, width in pool_sizes}
    if len(names) == 1:
        return names.pop()
    return "in the middle, or up or left of it" if "in the middle" in names else "up or left of the middle"


def _centre_name(height: int, width: int) -> str:
    if (height, width) == (2, 2):
        return "at the upper left"
    directions = [name for name, side in (("up", height), ("left", width)) if side % 2 == 0]
    return f"{' and '.join(directions)} of the middle" if directions else "in the middle"


def switches_figure(model: Autoencoder, shown: View) -> Figure:
    """Draws what the switches carry: the places of the maxima, and reconstructions with other places.

    The rows are the originals, each stage's maxima and switches, and the reconstructions with the switches as they are,
    shuffled and centred. A stage is drawn as its windows, each as bright as its maximum, with a point where a maximum
    above 0 lay. Of a stage's channels, the figure shows the one that is brightest in these images. Images that do not
    fit into `WIDEST_INCHES` are left out, and the title says so.
    """
    inches, count = _fit_columns(shown)
    title = f"{shown.title}: what the switches carry"
    if count < len(shown.images):
        title += f" (images 1 to {count} of {len(shown.images)})" if count > 1 else " (the first image)"
    shown = shown.first(count)
    pool_sizes = model.architecture.pool_sizes
    rows: dict[str, Sequence[np.ndarray]] = {"original": list(shown.originals)}
    points: dict[str, np.ndarray] = {}
    widths: dict[str, float] = {}
    for pool_size, (label, maxima, places) in zip(pool_sizes, _stage_rows(model, shown.originals)):
        rows[label], points[label] = maxima, places
        place_width = POINTS_AN_INCH * inches / max(places.shape[1:])
        widths[label] = place_width * max(POINT_SHARE_OF_PLACE, POINT_SHARE_OF_WINDOW * min(pool_size))
    rows["reconstruction"] = list(shown.reconstruction)
    for label, encoded in (
        ("switches shuffled", shuffle_switches(shown.encoded)),
        (f"all switches\n{centre_name(pool_sizes)}", centre_switches(shown.encoded, pool_sizes)),
    ):
        decoded = model.decoder([keras.ops.convert_to_tensor(each) for each in encoded.named().values()])
        rows[label] = list(np.asarray(decoded))
    figure, axes = new_grid(list(rows), count, inches, title)
    for row, (label, pictures) in zip(axes, rows.items()):
        for index, (axis, picture) in enumerate(zip(row, pictures)):
            show_picture(axis, picture)
            if label in points:
                _show_points(axis, points[label][index], widths[label])
    return figure


def _fit_columns(shown: View) -> tuple[float, int]:
    """Returns the width of a column in inches, and the number of images that fit."""
    left = left_inches(LABEL_LINES)
    widest_column = WIDEST_INCHES - left - MARGIN_INCHES
    inches = min(max(COLUMN_INCHES, PIXEL_INCHES * max(shown.images.shape[1:3])), widest_column)
    return inches, min(len(shown.images), columns_that_fit(inches, left))


def _stage_rows(model: Autoencoder, originals: np.ndarray) -> list[tuple[str, list[np.ndarray], np.ndarray]]:
    """Runs the encoder stage by stage, and describes each stage's row of `switches_figure`.

    Of a stage's channels, the row shows the one that is brightest in these images.

    Returns:
        For each stage: the row's label; a picture of the channel's maxima for each image, in which every window is
        filled with its maximum; and `(N, height, width)` booleans, with the height and width of the stage's input, true
        at the places of the channel's maxima above 0.
    """
    stages = []
    pool_sizes = model.architecture.pool_sizes
    values = keras.ops.convert_to_tensor(originals)
    values = values - model.smooth(values)
    for number, pool_size in enumerate(pool_sizes, start=1):
        size = tuple(values.shape[1:3])
        values, argmax = model.get_layer(f"pool{number}")(model.get_layer(f"conv{number}")(values))
        unpooled = np.asarray(model.get_layer(f"unpool{number}")(values, argmax, output_size=size))
        channel, channels = int(unpooled.sum(axis=(0, 1, 2)).argmax()), unpooled.shape[-1]
        label = "code and switches" if number == len(pool_sizes) else f"stage {number}: switches"
        label += f"\nfilter {channel + 1} of {channels}" if channels > 1 else ""
        maxima = np.asarray(values)[..., channel] / max(float(unpooled[..., channel].max()), 1e-6)
        stages.append(
            (label, [np.kron(each, np.ones(pool_size))[..., None] for each in maxima], unpooled[..., channel] > 0)
        )
    return stages


def _show_points(axis: Axes, places: np.ndarray, width: float) -> None:
    """Draws a dot, `width` points wide, wherever `places` is true. A point is 1/72 inch."""
    rows, columns = np.nonzero(places)
    axis.scatter(columns, rows, s=width**2, color=POINTS, linewidths=0)


@dataclass(frozen=True)
class _Layer:
    """A layer's kernels.

    Attributes:
        caption: the layer's name and its scale.
        relative_weights: `(rows, columns, height, width)`, weights divided by the largest absolute one, -1 to 1.
        row_labels: the names of the image's colours if the rows are colours; otherwise empty.
    """

    caption: str
    relative_weights: np.ndarray
    row_labels: tuple[str, ...]

    @property
    def pixels_per_weight(self) -> int:
        """The side of the square that shows a weight, in pixels."""
        rows, columns, *size = self.relative_weights.shape
        kernel_pixels = LAYER_PIXELS // max(rows, columns) - GAP_PIXELS
        kernel_pixels = min(max(kernel_pixels, SMALLEST_KERNEL_PIXELS), LARGEST_KERNEL_PIXELS)
        return max(kernel_pixels // max(size), _least_pixels_per_weight(size))

    @property
    def inches(self) -> tuple[float, float]:
        """(height, width) of all kernels, without the text around them."""
        rows, columns, height, width = self.relative_weights.shape
        return (
            rows * (height * self.pixels_per_weight + GAP_PIXELS) / PIXELS_AN_INCH,
            columns * (width * self.pixels_per_weight + GAP_PIXELS) / PIXELS_AN_INCH,
        )

    def draw(self) -> np.ndarray:
        """Draws the kernels in colours as a `(height, width, 3)` picture, whose pixels become pixels of the figure."""
        rows, columns, height, width = self.relative_weights.shape
        side = self.pixels_per_weight
        margin = GAP_PIXELS // 2
        cells = np.full((rows, columns, height * side + 2 * margin, width * side + 2 * margin, 3), GREY_BETWEEN_KERNELS)
        enlarged = self.relative_weights.repeat(side, axis=2).repeat(side, axis=3)
        cells[:, :, margin:-margin, margin:-margin] = SIGNED((enlarged + 1) / 2)[..., :3]
        return cells.transpose(0, 2, 1, 3, 4).reshape(rows * cells.shape[2], columns * cells.shape[3], 3)


def kernels_figure(models: dict[str, Autoencoder]) -> Figure:
    """Draws the kernels of every convolution of several models. The keys of `models` are the models' names.

    Each column is a filter. Each row is a channel on the image's side of the layer: an input channel of a convolution,
    or an output channel of a transposed convolution. If a layer has only one channel or one filter, all its kernels
    stand in one row, unless the channels are the image's colours. Blue is negative, white is 0, vermilion is positive.
    Each layer has its own scale: its caption names the largest absolute weight drawn. If a layer has more than 32 rows
    or columns, or more columns than fit, only the first are drawn, and the caption says so.
    """
    layers = [
        _layer(name, layer, model.image_shape[-1])
        for name, model in models.items()
        for layer in model.layers
        if isinstance(layer, CONVOLUTIONS)
    ]
    left = MARGIN_INCHES + (COLOUR_LABELS_INCHES if any(layer.row_labels for layer in layers) else 0)
    width = max(NARROWEST_INCHES, left + max(layer.inches[1] for layer in layers) + MARGIN_INCHES)
    captions = [wrapped(layer.caption, width - left, SMALL_LETTERS_AN_INCH) for layer in layers]
    title = wrapped(f"{', '.join(models)}: kernels", width, SMALL_LETTERS_AN_INCH)
    top = MARGIN_INCHES + TITLE_LINE_INCHES * len(title.splitlines())
    height = top + BAR_INCHES
    height += sum(_caption_inches(each) + layer.inches[0] + MARGIN_INCHES for each, layer in zip(captions, layers))
    figure = ShownFigure(figsize=(width, height))
    figure.text(0.5, 1 - MARGIN_INCHES / height, title, ha="center", va="top", fontsize="medium")
    for layer, caption in zip(layers, captions):
        figure.text(left / width, 1 - top / height, caption, va="top", fontsize="small")
        top += _caption_inches(caption)
        layer_height, layer_width = layer.inches
        box = (left / width, 1 - (top + layer_height) / height, layer_width / width, layer_height / height)
        _show_kernels(figure.add_axes(box), layer)
        top += layer_height + MARGIN_INCHES
    _add_bar(figure, width, height)
    return figure


def _layer(model_name: str, layer: keras.layers.Layer, image_channels: int) -> _Layer:
    # Kernels of Conv2D have the shape (height, width, inputs, outputs), and those of Conv2DTranspose (height, width,
    # outputs, inputs). So the third axis has the channels on the image's side of the layer, the fourth the filters.
    kernels = np.asarray(layer.kernel).transpose(2, 3, 0, 1)
    reads_or_draws_the_image = layer.name in ("averages", "enlarge", "conv1", "deconv1")
    row_labels = COLOURS if reads_or_draws_the_image and image_channels == len(COLOURS) else ()
    if 1 in kernels.shape[:2] and not row_labels:
        kernels = kernels.reshape(1, -1, *kernels.shape[2:])
    rows, columns, *size = kernels.shape
    pixels = (WIDEST_INCHES - COLOUR_LABELS_INCHES - 2 * MARGIN_INCHES) * PIXELS_AN_INCH
    most_columns = min(MOST_KERNELS, max(1, int(pixels / (size[1] * _least_pixels_per_weight(size) + GAP_PIXELS))))
    kernels = kernels[:MOST_KERNELS, :most_columns]
    largest = float(np.abs(kernels).max())
    caption = f"{model_name}, {layer.name}: largest weight {largest:.2f}"
    if columns > most_columns:
        caption += f"; {most_columns} of {columns} columns"
    if rows > MOST_KERNELS:
        caption += f"; {MOST_KERNELS} of {rows} rows"
    return _Layer(caption, kernels / (largest or 1.0), row_labels)


def _least_pixels_per_weight(kernel_size: Sequence[int]) -> int:
    return -(-SMALLEST_KERNEL_PIXELS // max(kernel_size))


def _caption_inches(caption: str) -> float:
    return LINE_INCHES * len(caption.splitlines())


def _show_kernels(axis: Axes, layer: _Layer) -> None:
    axis.imshow(layer.draw(), interpolation="nearest", aspect="auto")
    axis.set(xticks=[], yticks=[], frame_on=False)
    if layer.row_labels:
        rows, _, height, _ = layer.relative_weights.shape
        pitch = height * layer.pixels_per_weight + GAP_PIXELS
        axis.set_yticks([(row + 0.5) * pitch for row in range(rows)], layer.row_labels[:rows], fontsize="small")
        axis.tick_params(length=0)


def _add_bar(figure: Figure, width: float, height: float) -> None:
    """Adds one colour bar for all layers, at the bottom."""
    axis = figure.add_axes((0.5 - 2 / width, 0.45 / height, 4 / width, 0.1 / height))
    bar = figure.colorbar(ScalarMappable(Normalize(-1, 1), SIGNED), cax=axis, orientation="horizontal")
    bar.set_ticks([-1, 0, 1], labels=["negative", "0", "positive"], fontsize="small")
    bar.set_label("share of the layer's largest weight, -1 to 1", fontsize="small")
