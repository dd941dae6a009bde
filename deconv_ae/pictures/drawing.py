"""Draws exported models into a folder."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deconv_ae import paths
from deconv_ae.errors import RunError
from deconv_ae.files import move_tree_together, partial_directory
from deconv_ae.pictures.choices import DRAWINGS, MOST_EXPLAINED
from deconv_ae.pictures.explanation import kernels_figure, switches_figure
from deconv_ae.pictures.visualization import (
    View,
    comparison_figure,
    errors_figure,
    model_figure,
    save_figure,
    view,
    write_pictures,
    write_text,
)
from deconv_ae.saved_model.keras_file import load_keras_model
from deconv_ae.saved_model.serving import ServedAutoencoder

FIGURES: dict[str, Callable[[ServedAutoencoder, View], Figure]] = {
    "autoencoder": lambda model, shown: model_figure(shown),
    "errors": lambda model, shown: errors_figure(shown.first(MOST_EXPLAINED)),
    "switches": lambda model, shown: switches_figure(load_keras_model(model), shown.first(MOST_EXPLAINED)),
    "kernels": lambda model, shown: kernels_figure({shown.title: load_keras_model(model)}),
}
"""The figures of one model, by their names in `choices.DRAWINGS`. Each is the file NAME.png."""
WRITERS: dict[str, Callable[[View, Path], list[Path]]] = {"pictures": write_pictures, "text": write_text}
"""The other drawings of one model. Each is several files."""


def visualize(
    models: Sequence[ServedAutoencoder],
    images: np.ndarray,
    output_dir: str | Path,
    drawings: Collection[str] = tuple(DRAWINGS),
) -> list[Path]:
    """Draws images, their codes and their reconstructions by models, as pictures, text and figures.

    The pictures are those of CNTK's visualizer. Some figures are like those on the web page of CNTK's example, others
    explain a model.

    The files of a single model go into output_dir itself. With several models, output_dir has a folder for each model,
    and comparison.png. If a drawing fails, no file is written.

    Args:
        models: models of the same image shape.
        images: `(N, height, width, channels)` uint8.
        output_dir: the folder, created if it does not exist; files of the same names are replaced.
        drawings: names of `choices.DRAWINGS`. `training_curve` is ignored, since an exported model has no history.

    Returns:
        The files, in the order in which they were drawn.

    Raises:
        InputError: if images do not fit a model, or if a drawing needs a model's Keras file, and the file is missing or
            damaged.
        RunError: if output_dir cannot be written.
    """
    views = [view(model, images) for model in models]
    root = paths.checked_path("output_dir", output_dir)
    names = _distinct_names([model.name for model in models])
    folders = [Path()] if len(views) == 1 else [Path(name) for name in names]
    written: list[Path] = []
    try:
        root.mkdir(parents=True, exist_ok=True)
        with partial_directory(root / "pictures") as partial:
            for folder, model, shown in zip(folders, models, views):
                written += _draw(model, shown, partial / folder, drawings)
            if len(views) > 1 and "comparison" in drawings:
                written.append(save_figure(comparison_figure(views), partial / "comparison.png"))
            move_tree_together(partial, root)
            return [root / file.relative_to(partial) for file in written]
    except OSError as error:
        raise RunError(f"output_dir: {root} cannot be written: {error.strerror or error}") from error


def _draw(model: ServedAutoencoder, shown: View, folder: Path, drawings: Collection[str]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    files = [file for name, write in WRITERS.items() if name in drawings for file in write(shown, folder)]
    for name, make_figure in FIGURES.items():
        if name in drawings:
            files.append(save_figure(make_figure(model, shown), folder / f"{name}.png"))
    return files


def _distinct_names(names: Sequence[str]) -> list[str]:
    numbered = [f"{name}_{index}" for index, name in enumerate(names)]
    distinct = [numbered_name if names.count(name) > 1 else name for numbered_name, name in zip(numbered, names)]
    return distinct if len(set(distinct)) == len(names) else numbered
