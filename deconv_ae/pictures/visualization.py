"""Pictures, text and figures of images, their codes and their reconstructions."""

import io
import math
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from deconv_ae.data import scale
from deconv_ae.files import partial_path
from deconv_ae.model.architecture import switches_names
from deconv_ae.model.objective import per_image_rmse
from deconv_ae.pictures.colours import NO_VALUE, SIGNED
from deconv_ae.pictures.pixels import brightest_to_255, code_brightness, code_picture, tile_columns
from deconv_ae.saved_model.serving import Encoded, SignatureAutoencoder

PICTURE_LENGTH = 224
"""Pixels of a picture's longer side, as in the original visualizer."""

PIXELS_AN_INCH = 150
MOST_PIXELS = 65_000
"""Pixels of a figure's longer side. matplotlib refuses 65,536 and more."""
WIDEST_INCHES = 1600 / PIXELS_AN_INCH
"""The greatest width of a figure: a screen shows 1,600 pixels without scrolling."""
COLUMN_INCHES = 1.25
TILE_INCHES = 0.45
"""The smallest size at which one sees what a code's channel shows."""
GREY = matplotlib.colormaps["gray"].with_extremes(bad=NO_VALUE)
LETTERS_AN_INCH, SMALL_LETTERS_AN_INCH = 9, 13
"""Letters of matplotlib's font at 12 and at 8 points."""
LINE_INCHES, TITLE_LINE_INCHES, MARGIN_INCHES = 0.2, 0.23, 0.1


@dataclass(frozen=True)
class View:
    """A few images, their codes and their reconstructions by one model.

    Attributes:
        title: the model's name.
        images: `(N, height, width, channels)` uint8.
        encoded: the code and the switches.
        reconstruction: float32, of the images' shape.
        test_rmse: over the whole test split, from the model card.
        averages: how many of the code's channels hold averages.
    """

    title: str
    images: np.ndarray
    encoded: Encoded
    reconstruction: np.ndarray
    test_rmse: float
    averages: int = 0

    def first(self, count: int) -> "View":
        """The same view with the first `count` images only."""
        encoded = Encoded(self.encoded.code[:count], tuple(each[:count] for each in self.encoded.switches))
        return replace(self, images=self.images[:count], encoded=encoded, reconstruction=self.reconstruction[:count])

    @property
    def originals(self) -> np.ndarray:
        """The images as float32, scaled to [0, 1)."""
        return scale(self.images)

    @property
    def rmses(self) -> np.ndarray:
        """The RMSE of each image."""
        return per_image_rmse(self.originals, self.reconstruction).numpy()


def view(model: SignatureAutoencoder, images: np.ndarray) -> View:
    """Encodes and decodes images by the model's signatures `encode` and `decode`."""
    encoded = model.encode(images)
    averages = model.card.architecture.averages
    return View(model.name, images, encoded, model.decode(encoded), model.card.test_rmse, averages)


def write_pictures(shown: View, folder: Path) -> list[Path]:
    """Writes `imageAutoEncoder_<i>__input.png`, `__encoding.png` and `__output.png` for every image.

    As in CNTK's visualizer, negative values become 0, the largest value becomes 255, and the longer side becomes 224
    pixels by nearest neighbour, so that the pixels of a code can be seen. A code with averages is drawn by
    `code_brightness`.
    """
    files = []
    code = code_brightness(shown.encoded.code, shown.averages) if shown.averages else shown.encoded.code
    for index in range(len(shown.images)):
        for kind, picture in (
            ("input", shown.originals[index]),
            ("encoding", code_picture(code[index])),
            ("output", shown.reconstruction[index]),
        ):
            enlarged = _enlarged(Image.fromarray(brightest_to_255(picture)))
            files.append(folder / f"imageAutoEncoder_{index}__{kind}.png")
            enlarged.save(files[-1])
    return files


def write_text(shown: View, folder: Path) -> list[Path]:
    """Writes encoder_output.txt, decoder_output.txt and switches_<k>.txt: a line of numbers for each image."""
    switches = dict(zip(switches_names(len(shown.encoded.switches)), shown.encoded.switches))
    texts = {"encoder_output": shown.encoded.code, "decoder_output": shown.reconstruction} | switches
    for name, values in texts.items():
        lines = values.reshape(len(values), -1)
        np.savetxt(folder / f"{name}.txt", lines, fmt="%d" if name in switches else "%.6f")
    return [folder / f"{name}.txt" for name in texts]


def model_figure(shown: View) -> Figure:
    """Draws rows of originals, codes and reconstructions, with a column for each image and its RMSE beneath.

    Codes are drawn by `code_brightness`. Pictures grow with the number of channels, so that each channel can be seen.
    """
    code = code_brightness(shown.encoded.code, shown.averages)
    channels = code.shape[-1]
    rows: dict[str, Sequence[np.ndarray]] = {
        "original": list(shown.originals),
        "code" if channels == 1 else f"code, {channels} channels": [code_picture(each, gap=np.nan) for each in code],
        "reconstruction": list(shown.reconstruction),
    }
    inches = max(COLUMN_INCHES, TILE_INCHES * tile_columns(channels))
    title = f"{shown.title}, test RMSE {shown.test_rmse:.3f}"
    figure, axes = new_grid(list(rows), len(shown.images), inches, title)
    for row, pictures in zip(axes, rows.values()):
        for axis, picture in zip(row, pictures):
            show_picture(axis, picture)
    for axis, rmse in zip(axes[-1], shown.rmses):
        axis.set_xlabel(f"RMSE {rmse:.3f}")
    return figure


def comparison_figure(views: Sequence[View]) -> Figure:
    """Draws a row for each image, a column of the originals, and a column for each model, headed by its test RMSE."""
    headings = [
        "original\ntest RMSE",
        *(f"{wrapped(shown.title, COLUMN_INCHES)}\n{shown.test_rmse:.3f}" for shown in views),
    ]
    lines = max(heading.count("\n") + 1 for heading in headings)
    figure, axes = new_grid([""] * len(views[0].images), len(headings), heading_lines=lines)
    for axis, heading in zip(axes[0], headings):
        axis.set_title(heading, fontsize="small")
    for row, original in zip(axes, views[0].originals):
        show_picture(row[0], original)
    for column, shown in enumerate(views, start=1):
        for row, picture, rmse in zip(axes, shown.reconstruction, shown.rmses):
            show_picture(row[column], picture)
            row[column].set_xlabel(f"{rmse:.3f}", fontsize="small")
    return figure


def errors_figure(shown: View) -> Figure:
    """Draws rows of originals, reconstructions and errors, with a column for each image. All errors have one scale.

    With one channel, an error is vermilion where the reconstruction is too bright, and blue where it is too dark. With
    several channels, an error is the root mean square over the channels.
    """
    errors = shown.reconstruction - shown.originals
    is_signed = errors.shape[-1] == 1
    errors = errors[..., 0] if is_signed else np.sqrt(np.mean(np.square(errors), axis=-1))
    largest = float(np.abs(errors).max()) or 1.0
    meaning = "reconstruction minus original" if is_signed else "root mean square over the channels"
    meaning = wrapped(meaning, COLUMN_INCHES * len(errors))
    bar_bottom = 0.23 + LINE_INCHES * len(meaning.splitlines())
    title = f"{shown.title}: errors by pixel"
    labels = ("original", "reconstruction", "error")
    figure, axes = new_grid(labels, len(errors), title=title, bottom_inches=bar_bottom + 0.17)
    colour_scale = {"cmap": SIGNED, "vmin": -largest} if is_signed else {"cmap": "inferno", "vmin": 0}
    for column, error in enumerate(errors):
        show_picture(axes[0][column], shown.originals[column])
        show_picture(axes[1][column], shown.reconstruction[column])
        image = axes[2][column].imshow(error, vmax=largest, interpolation="nearest", **colour_scale)
        axes[2][column].set_xlabel(f"RMSE {shown.rmses[column]:.3f}")
    height = figure.get_figheight()
    bar = figure.colorbar(
        image, cax=figure.add_axes((0.25, bar_bottom / height, 0.5, 0.08 / height)), location="bottom"
    )
    bar.set_label(meaning, fontsize="small")
    bar.ax.tick_params(labelsize="small")
    return figure


def _enlarged(picture: Image.Image) -> Image.Image:
    factor = PICTURE_LENGTH / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.NEAREST)


class ShownFigure(Figure):
    """A figure that a notebook shows by itself, without pyplot."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        _take_literally(self)
        self.savefig(file, format="png", dpi=_pixels_an_inch(self))
        return file.getvalue()


def new_grid(
    labels: Sequence[str],
    columns: int,
    inches: float = COLUMN_INCHES,
    title: str = "",
    heading_lines: int = 0,
    bottom_inches: float = 0.0,
) -> tuple[Figure, np.ndarray]:
    """Makes a figure with a grid of axes without ticks, and room for the text around them.

    A figure is never wider than `WIDEST_INCHES`. Columns that do not fit side by side are divided into bands, one below
    the other. Each band has all rows and their labels.

    The layout uses the lengths in this file, because matplotlib's constrained layout measures everything several
    times, which takes as long as the drawing.

    Args:
        labels: the label of each row of axes; "" for a row without one.
        columns: the number of columns of axes.
        inches: the width and the height of each of the axes. Below each of them is room for a line of text.
        title: the figure's title, wrapped to its width.
        heading_lines: lines in the headings of columns, in small letters.
        bottom_inches: inches left free at the bottom.

    Returns:
        The figure, and its axes as a `(rows, columns)` array, regardless of the bands.
    """
    label_lines = max(len(label.splitlines()) for label in labels)
    left = left_inches(label_lines)
    inches = min(inches, WIDEST_INCHES - left - MARGIN_INCHES)
    bands = math.ceil(columns / columns_that_fit(inches, left))
    side_by_side = math.ceil(columns / bands)
    width = left + side_by_side * (inches + MARGIN_INCHES)
    title = wrapped(title, width, LETTERS_AN_INCH)
    top_inches = TITLE_LINE_INCHES * len(title.splitlines()) + MARGIN_INCHES
    band_inches = LINE_INCHES * heading_lines + len(labels) * (inches + LINE_INCHES)
    height = top_inches + bands * (band_inches + MARGIN_INCHES) + bottom_inches
    # The code avoids pyplot, which keeps figures in a global list, and opens windows on a machine with a screen.
    figure = ShownFigure(figsize=(width, height))
    figure.suptitle(title, y=1 - MARGIN_INCHES / 2 / height, verticalalignment="top")
    axes = np.empty((len(labels), columns), object)
    for row, column in np.ndindex(axes.shape):
        band, column_in_band = divmod(column, side_by_side)
        x = left + column_in_band * (inches + MARGIN_INCHES)
        band_top = top_inches + band * (band_inches + MARGIN_INCHES)
        y = band_top + LINE_INCHES * heading_lines + row * (inches + LINE_INCHES)
        box = (x / width, 1 - (y + inches) / height, inches / width, inches / height)
        axes[row, column] = axis = figure.add_axes(box, xticks=[], yticks=[])
        if column_in_band == 0:
            axis.set_ylabel(labels[row], fontsize="small" if label_lines > 1 else "medium")
    return figure, axes


def columns_that_fit(inches: float, left: float) -> int:
    """The number of columns, each `inches` wide, that fit to the right of `left` inches of labels; at least 1."""
    return max(1, int((WIDEST_INCHES - left + 1e-9) / (inches + MARGIN_INCHES)))


def left_inches(label_lines: int) -> float:
    """The inches that `new_grid` leaves for the labels of rows."""
    return LINE_INCHES * label_lines + MARGIN_INCHES


def show_picture(axis: Axes, picture: np.ndarray) -> None:
    """Draws 0 as black, 1 as white, and NaN in the colour of gaps.

    The channels of a picture with 2 channels or more than 3 become tiles.
    """
    if picture.shape[-1] not in (1, 3):
        picture = code_picture(picture)
    axis.imshow(np.clip(picture, 0, 1), cmap=GREY, vmin=0, vmax=1, interpolation="nearest")


def wrapped(text: str, inches: float, letters_an_inch: float = SMALL_LETTERS_AN_INCH) -> str:
    """Breaks text into lines that are at most `inches` wide. A word that is longer than that stays whole.

    >>> print(wrapped("filters 16, 8; pools 2x2, 2x2", 1.25))
    filters 16, 8;
    pools 2x2, 2x2
    """
    return textwrap.fill(text, max(1, int(inches * letters_an_inch)), break_long_words=False)


def save_figure(figure: Figure, file: Path) -> Path:
    """Writes a PNG under a partial name, renames it to `file`, and returns `file`. Texts are not read as formulas."""
    _take_literally(figure)
    with partial_path(file) as partial, warnings.catch_warnings():
        # For each letter that the font lacks, matplotlib draws a box and warns.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(partial, dpi=_pixels_an_inch(figure), format="png")
        partial.replace(file)
    return file


def _pixels_an_inch(figure: Figure) -> float:
    return min(PIXELS_AN_INCH, MOST_PIXELS / max(figure.get_size_inches()))


def _take_literally(figure: Figure) -> None:
    """Turns mathtext off in all text but the numbers at the axes.

    A "$" in the name of a model or a data set would begin a formula, and matplotlib raises an error for a malformed
    formula. matplotlib itself writes the powers at an axis as formulas.
    """
    numbers = {
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for label in axis.get_ticklabels(which="both")
    }
    for text in figure.findobj(Text):
        if text not in numbers:
            text.set_parse_math(False)
