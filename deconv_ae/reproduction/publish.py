"""What a reproduction found, written for people: tables, figures, and sections of a README."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure

from deconv_ae.errors import InputError
from deconv_ae.files import write_beside
from deconv_ae.model.presets import PRESETS
from deconv_ae.pictures.explanation import kernels_figure, switches_figure, switches_table
from deconv_ae.pictures.tables import markdown_table
from deconv_ae.pictures.visualization import comparison_figure, model_figure, save_figure, view
from deconv_ae.reproduction.runs import Outcome
from deconv_ae.reproduction.summary import as_json, markdown, summarize
from deconv_ae.saved_model.exporting import KERAS_FILE, replace_directory
from deconv_ae.saved_model.model_card import FILE_NAME, ModelCard
from deconv_ae.saved_model.serving import ServedAutoencoder

PICTURED_IMAGES = 5
RECIPE_COLOURS = {"cntk": "tab:grey", "default": "tab:blue", "long": "tab:green"}


def write_report(outcomes: Sequence[Outcome], images: np.ndarray, output_dir: Path) -> list[Path]:
    """Writes everything that the outcomes show.

    results.md and results.json, switches.md, training_curves.png; and of the recipe `default`, or
    the first where it was not trained, the original page's two figures autoencoder.png and
    comparison.png, kernels.png and switches.png.

    Args:
        outcomes: `reproduction.reproduce`'s.
        images: `(N, height, width, channels)` uint8 test images; figures show the first five.
        output_dir: the one that `reproduce` wrote to.

    Returns:
        The files.
    """
    rows = summarize(outcomes)
    recipes = list(dict.fromkeys(row.recipe for row in rows))
    shown_recipe = "default" if "default" in recipes else recipes[0]
    folders = [output_dir / "models" / f"{row.preset}-{row.recipe}" for row in rows if row.recipe == shown_recipe]
    models = [ServedAutoencoder(folder) for folder in folders if folder.is_dir()]
    written = [output_dir / name for name in ("results.md", "results.json")]
    for file, text in zip(written, (markdown(rows) + "\n", as_json(rows))):
        write_beside(file, text)
    written.append(save_figure(curves_figure(outcomes), output_dir / "training_curves.png"))
    if models:
        write_beside(output_dir / "switches.md", switches_table(models, images) + "\n")
        written.append(output_dir / "switches.md")
        written += _write_figures(models, images[:PICTURED_IMAGES], output_dir)
    return written


def _write_figures(models: Sequence[ServedAutoencoder], images: np.ndarray, output_dir: Path) -> list[Path]:
    views = [view(model, images) for model in models]
    one_stage = next((model for model in models if len(model.card.architecture["filters"]) == 1), None)
    keras_models = {model.card.title: keras.models.load_model(model.path / KERAS_FILE) for model in models}
    figures: dict[str, Figure] = {
        "autoencoder": model_figure(views[0]),
        "comparison": comparison_figure(views),
        "kernels": kernels_figure(keras_models),
    }
    if one_stage is not None:
        figures["switches"] = switches_figure(one_stage, images)
    return [save_figure(figure, output_dir / f"{name}.png") for name, figure in figures.items()]


def curves_figure(outcomes: Sequence[Outcome]) -> Figure:
    """A panel for each preset: RMSE of some test images against images seen, a line for each seed."""
    presets = list(dict.fromkeys(outcome.run.preset for outcome in outcomes))
    figure = Figure(figsize=(3.2 * len(presets), 3), layout="constrained")
    axes = figure.subplots(1, len(presets), squeeze=False)[0]
    for axis, preset in zip(axes, presets):
        labelled: set[str] = set()
        for outcome in outcomes:
            if outcome.run.preset != preset or not outcome.curve:
                continue
            recipe = outcome.run.recipe
            label = None if recipe in labelled else recipe
            labelled.add(recipe)
            seen, rmse = zip(*outcome.curve)
            axis.plot(seen, rmse, color=RECIPE_COLOURS.get(recipe), linewidth=0.8, alpha=0.7, label=label)
        published = PRESETS[preset].published_test_rmse
        if published is not None:
            axis.axhline(published, color="black", linestyle=":", linewidth=1, label="published")
        axis.set(title=preset, xlabel="images seen", xscale="log")
        axis.legend(fontsize="x-small")
    axes[0].set_ylabel("test RMSE")
    return figure


def publish(output_dir: Path, reference_dir: Path, readme: Path | None = None) -> None:
    """Makes the models that `default` trained with the first seed the reference models.

    Writes reference_dir/PRESET, each a SavedModel, reference_dir/figures, reference_dir/README.md
    from the cards, and the sections `results` and `switches` of the project's README.

    Args:
        output_dir: one that `write_report` wrote to.
        reference_dir: its models and figures are replaced.
        readme: a README with these sections; None leaves it alone.

    Raises:
        InputError: if the README lacks a section.
    """
    for model_dir in sorted((output_dir / "models").glob("*-default")):
        replace_directory(model_dir, reference_dir / ModelCard.read(model_dir).title)
    figures = reference_dir / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for picture in output_dir.glob("*.png"):
        shutil.copyfile(picture, figures / picture.name)
    write_beside(reference_dir / "README.md", _reference_readme(reference_dir))
    if readme is not None:
        for name, file in (("results", "results.md"), ("switches", "switches.md")):
            replace_section(readme, name, (output_dir / file).read_text(encoding="utf-8"))


def _reference_readme(reference_dir: Path) -> str:
    header = ("model", "training RMSE", "test RMSE", "parameters", "recipe", "seed", "dataset", "TensorFlow")
    rows = []
    for card_file in sorted(reference_dir.glob(f"*/{FILE_NAME}")):
        card = ModelCard.read(card_file.parent)
        rmses = (f"{value:.4f}" for value in (card.training_rmse, card.test_rmse))
        trained = (card.recipe["name"], str(card.seed), card.dataset["name"], card.versions["tensorflow"])
        rows.append((f"[{card.title}]({card_file.parent.name})", *rmses, str(card.parameters), *trained))
    return (
        "# Reference models\n\n"
        "Made by `scripts/reproduce.py`, this page from the models' cards. "
        "`scripts/visualize.py` draws them when it is given no other.\n\n"
        f"{markdown_table(header, rows)}\n"
    )


def replace_section(file: Path, name: str, text: str) -> None:
    """Replaces what stands between `<!-- NAME:begin -->` and `<!-- NAME:end -->` in a text file.

    Raises:
        InputError: if the file cannot be read or has no such pair.
    """
    before, _, after = read_section(file, name)
    write_beside(file, f"{before}\n{text.strip()}\n{after}")


def read_section(file: Path, name: str) -> tuple[str, str, str]:
    """A text file up to and with `<!-- NAME:begin -->`, what follows, and the rest from `<!-- NAME:end -->` on.

    Raises:
        InputError: if the file cannot be read or has no such pair.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise InputError(f"readme: {file} cannot be read as text; give a text file that exists") from error
    match = re.search(f"({re.escape(begin)})(.*?)({re.escape(end)})", content, re.DOTALL)
    if not match:
        raise InputError(f"readme: {file} has no section {begin} ... {end}; add the two lines where it belongs")
    return content[: match.end(1)], match[2], content[match.start(3) :]
