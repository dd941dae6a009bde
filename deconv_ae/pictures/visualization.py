"""Pictures and text from an exported model alone."""

import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from deconv_ae import paths
from deconv_ae.data import scale
from deconv_ae.errors import RunError
from deconv_ae.files import move_tree_together
from deconv_ae.model.architecture import switches_names
from deconv_ae.model.objective import per_image_rmse
from deconv_ae.pictures.pixels import brightest_to_255, code_picture, tile_columns
from deconv_ae.saved_model.serving import Encoded, ServedAutoencoder

PICTURE_LENGTH = 224
"""Pixels of a picture's longer side, as in the original visualizer."""

COLUMN_INCHES = 1.25
TILE_INCHES = 0.45
"""Of one channel of a code: below that, one does not see what it shows."""
# Of matplotlib's own sizes, its font at 12 and at 8 points.
LETTERS_AN_INCH, SMALL_LETTERS_AN_INCH = 9, 13


@dataclass(frozen=True)
class View:
    """A few images as one model sees them.

    Attributes:
        title: the model's name.
        images: `(N, height, width, channels)` uint8.
        encoded: the code and the switches.
        reconstruction: the shape of images, float32.
        test_rmse: over the whole test split, from the model card.
    """

    title: str
    images: np.ndarray
    encoded: Encoded
    reconstruction: np.ndarray
    test_rmse: float

    @property
    def originals(self) -> np.ndarray:
        return scale(self.images)

    @property
    def rmses(self) -> np.ndarray:
        """The RMSE of each image."""
        return per_image_rmse(self.originals, self.reconstruction).numpy()


def view(model: ServedAutoencoder, images: np.ndarray) -> View:
    """Encodes and decodes images, through the signatures `encode` and `decode`."""
    encoded = model.encode(images)
    return View(model.card.title, images, encoded, model.decode(encoded), model.card.test_rmse)


def visualize(models: Sequence[ServedAutoencoder], images: np.ndarray, output_dir: str | Path) -> list[Path]:
    """Everything that the original's visualizer wrote, and the figures of its page.

    For one model into output_dir itself, for several into a folder each: the PNGs of
    `write_pictures`, the text of `write_text` and `model_figure` as autoencoder.png. For several
    also `comparison_figure` as comparison.png. All of it or, where that fails, nothing.

    Args:
        models: of the same image shape.
        images: `(N, height, width, channels)` uint8.
        output_dir: made if need be; files of the same names are replaced.

    Returns:
        The figures' files.

    Raises:
        InputError: if images do not fit a model.
        RunError: if output_dir cannot be written.
    """
    views = [view(model, images) for model in models]
    root = paths.given("output_dir", output_dir)
    names = _distinct([model.name for model in models])
    folders = [Path()] if len(views) == 1 else [Path(name) for name in names]
    figures = []
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".partial-") as partial:
            for folder, shown in zip(folders, views):
                drawn = Path(partial) / folder
                drawn.mkdir(exist_ok=True)
                write_pictures(shown, drawn)
                write_text(shown, drawn)
                save_figure(model_figure(shown), drawn / "autoencoder.png")
                figures.append(root / folder / "autoencoder.png")
            if len(views) > 1:
                save_figure(comparison_figure(views), Path(partial) / "comparison.png")
                figures.append(root / "comparison.png")
            move_tree_together(Path(partial), root)
    except OSError as error:
        raise RunError(f"output_dir: {root} cannot be written: {error.strerror or error}") from error
    return figures


def write_pictures(shown: View, folder: Path) -> None:
    """`imageAutoEncoder_<i>__input.png`, `__encoding.png` and `__output.png` for every image.

    As in the original each is clipped at 0 and scaled so that its maximum is 255; the longer side
    becomes 224 pixels, by nearest neighbour, so that a code shows its pixels.
    """
    for index in range(len(shown.images)):
        for kind, picture in (
            ("input", shown.originals[index]),
            ("encoding", code_picture(shown.encoded.code[index])),
            ("output", shown.reconstruction[index]),
        ):
            enlarged = _enlarged(Image.fromarray(brightest_to_255(picture)))
            enlarged.save(folder / f"imageAutoEncoder_{index}__{kind}.png")


def write_text(shown: View, folder: Path) -> None:
    """encoder_output.txt, decoder_output.txt and switches_<k>.txt: an image a line, values by spaces."""
    count = len(shown.images)
    np.savetxt(folder / "encoder_output.txt", shown.encoded.code.reshape(count, -1), fmt="%.6f")
    np.savetxt(folder / "decoder_output.txt", shown.reconstruction.reshape(count, -1), fmt="%.6f")
    for name, switches in zip(switches_names(len(shown.encoded.switches)), shown.encoded.switches):
        np.savetxt(folder / f"{name}.txt", switches.reshape(count, -1), fmt="%d")


def model_figure(shown: View) -> Figure:
    """Rows original, code and reconstruction, a column for each image, its RMSE beneath.

    Of a code, each channel is as bright as can be: they have no scale of their own, and a faint one may carry much.
    The more channels, the larger the pictures, so that each can be read.
    """
    brightest = shown.encoded.code.max(axis=(0, 1, 2))
    code = shown.encoded.code / np.where(brightest > 0, brightest, 1)  # A silent channel is all zeros.
    channels = code.shape[-1]
    rows: dict[str, Sequence[np.ndarray]] = {
        "original": list(shown.originals),
        "code" if channels == 1 else f"code, {channels} channels": [code_picture(each) for each in code],
        "reconstruction": list(shown.reconstruction),
    }
    inches = max(COLUMN_INCHES, TILE_INCHES * tile_columns(channels))
    figure, axes = new_grid(len(rows), len(shown.images), inches, inches)
    for row, (label, pictures) in zip(axes, rows.items()):
        row[0].set_ylabel(label)
        for axis, picture in zip(row, pictures):
            show_picture(axis, picture)
    for axis, rmse in zip(axes[-1], shown.rmses):
        axis.set_xlabel(f"RMSE {rmse:.3f}")
    figure.suptitle(wrapped(f"{shown.title}, test RMSE {shown.test_rmse:.3f}", figure.get_figwidth(), LETTERS_AN_INCH))
    return figure


def comparison_figure(views: Sequence[View]) -> Figure:
    """A row for each image: the original, then each model's reconstruction, titled with its test RMSE."""
    figure, axes = new_grid(len(views[0].images), len(views) + 1)
    axes[0][0].set_title("original\ntest RMSE", fontsize="small")
    for row, original in zip(axes, views[0].originals):
        show_picture(row[0], original)
    for column, shown in enumerate(views, start=1):
        axes[0][column].set_title(f"{wrapped(shown.title, COLUMN_INCHES)}\n{shown.test_rmse:.3f}", fontsize="small")
        for row, picture, rmse in zip(axes, shown.reconstruction, shown.rmses):
            show_picture(row[column], picture)
            row[column].set_xlabel(f"{rmse:.3f}", fontsize="small")
    return figure


def _enlarged(picture: Image.Image) -> Image.Image:
    factor = PICTURE_LENGTH / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.NEAREST)


def new_grid(
    rows: int, columns: int, column_inches: float = COLUMN_INCHES, row_inches: float = COLUMN_INCHES
) -> tuple[Figure, np.ndarray]:
    """A figure and its `(rows, columns)` axes, without ticks."""
    # Figure itself, not pyplot: nothing global, and no window on a machine with a screen.
    figure = Figure(figsize=(column_inches * columns + 0.5, (row_inches + 0.25) * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    return figure, axes


def show_picture(axis: "matplotlib.axes.Axes", picture: np.ndarray) -> None:
    """Black at 0 and white at 1."""
    if picture.shape[-1] not in (1, 3):
        picture = code_picture(picture)
    axis.imshow(np.clip(picture, 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def wrapped(text: str, inches: float, letters_an_inch: float = SMALL_LETTERS_AN_INCH) -> str:
    """A title in lines that fit above a picture so wide.

    >>> print(wrapped("filters 16, 8; pools 2x2, 2x2", 1.25))
    filters 16, 8;
    pools 2x2, 2x2
    """
    return textwrap.fill(text, max(1, int(inches * letters_an_inch)), break_long_words=False)


def save_figure(figure: Figure, file: Path) -> Path:
    """Writes a PNG beside and renames it; returns its file."""
    partial = file.with_name(f".partial-{file.name}")
    figure.savefig(partial, dpi=150, format="png")
    partial.replace(file)
    return file


def _distinct(names: Sequence[str]) -> list[str]:
    return [f"{name}_{index}" if names.count(name) > 1 else name for index, name in enumerate(names)]
