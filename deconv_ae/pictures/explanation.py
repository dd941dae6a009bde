"""Why it works: the learned kernels and what the switches carry, drawn and measured on trained models."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from deconv_ae.data import scale
from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.model.objective import per_image_rmse
from deconv_ae.pictures.tables import markdown_table
from deconv_ae.pictures.visualization import LETTERS_AN_INCH, View, new_grid, show_picture, view, wrapped
from deconv_ae.saved_model.serving import Encoded, ServedAutoencoder

SHUFFLING_SEED = 0
KERNELS_INCHES = 2.2


@dataclass(frozen=True)
class WithoutSwitches:
    """Test RMSE of one model's decoder when it is not given the switches of the image.

    Attributes:
        name: the model's.
        own: with the image's own switches.
        shuffled: with the same switches in a random order, over all windows of the image.
        centred: with every switch at the middle of its window.
        nothing: of an image of zeros, which needs no model.
    """

    name: str
    own: float
    shuffled: float
    centred: float
    nothing: float


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


def without_switches(model: ServedAutoencoder, images: np.ndarray) -> WithoutSwitches:
    """Mean per-image RMSE over `(N, height, width, channels)` uint8 images, with and without their switches."""
    encoded = model.encode(images)
    originals = scale(images)

    def rmse(reconstruction: np.ndarray) -> float:
        return float(np.mean(per_image_rmse(originals, reconstruction)))

    return WithoutSwitches(
        name=model.card.title,
        own=rmse(model.decode(encoded)),
        shuffled=rmse(model.decode(shuffled(encoded))),
        centred=rmse(model.decode(centred(encoded, model.card.architecture["pool_sizes"]))),
        nothing=rmse(np.zeros_like(originals)),
    )


def switches_table(models: Sequence[ServedAutoencoder], images: np.ndarray) -> str:
    """Markdown: RMSE with and without switches, and what code and switches take in bits."""
    header = (
        *("model", "own switches", "shuffled", "centred", "no model: zeros"),
        *("code bits", "switches bits", "factor in numbers", "factor without switches", "factor with switches"),
    )
    lines = []
    for model in models:
        measured, size = without_switches(model, images), model.card.size_per_image
        rmses = (measured.own, measured.shuffled, measured.centred, measured.nothing)
        lines.append(
            (
                measured.name,
                *(f"{value:.3f}" for value in rmses),
                *(f"{size['code_bits']:,}", f"{size['switches_bits']:,.0f}"),
                *(f"{size[f'factor_{kind}']:.2f}" for kind in ("in_numbers", "without_switches", "with_switches")),
            )
        )
    return markdown_table(header, lines)


def switches_figure(model: ServedAutoencoder, images: np.ndarray) -> Figure:
    """Rows: image; code with its switches as points; reconstruction with them, shuffled, and centred."""
    shown = view(model, images)
    others = {
        "switches shuffled": model.decode(shuffled(shown.encoded)),
        "switches centred": model.decode(centred(shown.encoded, model.card.architecture["pool_sizes"])),
    }
    rows = ["original", "code and switches", "reconstruction", *others]
    figure, axes = new_grid(len(rows), len(images))
    for row, label in zip(axes, rows):
        row[0].set_ylabel(label, fontsize="small")
    for column in range(len(images)):
        show_picture(axes[0][column], shown.originals[column])
        _show_switches(axes[1][column], shown, column, model.card.architecture["pool_sizes"][0])
        show_picture(axes[2][column], shown.reconstruction[column])
        for row, reconstruction in zip(axes[3:], others.values()):
            show_picture(row[column], reconstruction[column])
    figure.suptitle(wrapped(f"{shown.title}: what the switches carry", figure.get_figwidth(), LETTERS_AN_INCH))
    return figure


def _show_switches(axis, shown: View, index: int, pool_size: Sequence[int]) -> None:
    """The first channel of a one-stage code, each value as its window, a point where its maximum was."""
    pool_height, pool_width = pool_size
    code = shown.encoded.code[index, :, :, 0]
    switches = shown.encoded.switches[0][index, :, :, 0]
    show_picture(axis, np.kron(code / max(code.max(), 1e-6), np.ones((pool_height, pool_width)))[..., None])
    rows, columns = np.nonzero(code > 0)
    positions = switches[rows, columns]
    axis.scatter(
        columns * pool_width + positions % pool_width, rows * pool_height + positions // pool_width, s=2, color="red"
    )


def kernels_figure(models: dict[str, Autoencoder]) -> Figure:
    """A row for each model, a column for each layer with weights: its kernels side by side.

    Blue is negative, red positive, white zero; each layer has a scale of its own, its largest
    absolute weight, which stands beneath it.
    """
    layers = {
        name: [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose)]
        for name, model in models.items()
    }
    figure, axes = new_grid(len(layers), max(len(row) for row in layers.values()), column_inches=KERNELS_INCHES)
    for axis in axes.flat:
        axis.axis("off")
    for row, (name, weighted) in zip(axes, layers.items()):
        for axis, layer in zip(row, weighted):
            mosaic = _side_by_side(np.asarray(layer.kernel))
            largest = float(np.nanmax(np.abs(mosaic))) or 1.0
            axis.axis("on")
            axis.imshow(mosaic, cmap="bwr", norm=Normalize(-largest, largest), interpolation="nearest")
            axis.set_title(f"{wrapped(name, KERNELS_INCHES)}: {layer.name}", fontsize="x-small")
            axis.set_xlabel(f"largest {largest:.2f}", fontsize="x-small")
    return figure


def _side_by_side(kernel: np.ndarray) -> np.ndarray:
    """`(height, width, a, b)` as one picture of a x b kernels, a column of NaN between two."""
    height, width, first, second = kernel.shape
    slices = kernel.reshape(height, width, first * second).transpose(2, 0, 1)
    gap = np.full((len(slices), height, 1), np.nan, kernel.dtype)
    return np.concatenate([slices, gap], axis=2).transpose(1, 0, 2).reshape(height, -1)[:, :-1]
