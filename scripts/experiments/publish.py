"""Writes the results of a reproduction: tables, figures, and the pages that show them."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from markdown_page import markdown_table, read_section, replace_section
from matplotlib.figure import Figure

from deconv_ae.errors import RunError
from deconv_ae.files import write_atomically
from deconv_ae.model.presets import PRESETS
from deconv_ae.pictures.explanation import kernels_figure, switches_figure
from deconv_ae.pictures.visualization import WIDEST_INCHES, comparison_figure, model_figure, save_figure, view
from deconv_ae.saved_model.export_directory import ExportDirectory
from deconv_ae.saved_model.keras_file import load_keras_model
from deconv_ae.saved_model.model_card import FILE_NAME, ModelCard
from deconv_ae.saved_model.serving import ServedAutoencoder
from experiments.runs import Outcome
from experiments.summary import as_json, markdown, published_markdown, summarize
from experiments.what_switches_carry import switches_table

PICTURED_IMAGES = 5
PAGE = """\
# Reference models

`python scripts/reproduce.py --dataset=mnist --reference_dir=saved_models/reference --readme=README.md` wrote this page
and the presets' models. `--recipes` and `--seeds` choose the runs. reproduce.py trains the missing runs and reports all
finished runs. `scripts/visualize.py` draws the presets' models by default.

{models}

## Every preset, recipe and seed

The table has the RMSE on full MNIST: the root mean square error of each image, averaged over images, with pixels in
[0, 1). "Published" is the error of the original CNTK example. Median, best and worst are over the seeds of a recipe.
`cntk` is the original's exact recipe. `default` is this project's recipe for the same architectures and epochs, and
`long` is the same recipe with 30 epochs. A run counts as collapsed if it failed or lost a channel of the code.

{results}

![RMSE while training](figures/training_curves.png)

![Originals beside each model's reconstruction](figures/comparison.png)

![Five test digits, their codes and their reconstructions](figures/autoencoder.png)

In version 1.0 of this project, `default` and `long` were chosen by their test RMSE. The learning rate of
`default` was chosen later, on held-out training images. The same seed gives bit-identical weights on the same machine,
with the same versions and number of threads. Another CPU, a GPU or XLA rounds differently. Then the weights differ, and
the last digits of the RMSEs may differ, too.

## What the switches carry

Switches are the positions of the maxima in their windows. The table shows the test RMSE of the same code, decoded with
the image's own switches, with the switches shuffled over all windows ("shuffled"), and with every switch at the middle
of its window ("centred"). For comparison, "black image" is the RMSE of zeros in place of any reconstruction. A factor
divides the size of the image by the size of what is kept. The factor in numbers divides the number of values in the
image by the number of values in the code. For the factors in bits, a value of the image counts as 8 bits, a value of
the code as 32, and a switch as log2 of the number of positions in its window. A factor below 1 means that what is kept
is larger than the image.

{switches}

![The same code decoded with its own switches, shuffled ones, and centred ones](figures/switches.png)

## Learned kernels

![Each layer's kernels, blue negative and orange positive](figures/kernels.png)

## Any architecture

These tables compare the test RMSE of the recipe `default` with that of four plain starts. A plain start is ordinary
random initial weights, trained by Adam. The four combine two initializers, He's and Glorot's, with two peak learning
rates, 0.003 and 0.01. They have seed 0. All runs train for the same number of epochs on the same batches. "`default` /
plain" divides the median of `default` by the RMSE of the best plain start: below 1, `default` is better. "Worst /
median" divides the RMSE of the worst seed of `default` by that median. A failed run (`default` stopped with an error,
or the RMSE of a plain start was NaN) gets the RMSE of the mean training image. A run of `default` counts as stuck if it
is less than 2 % better than that image. `python scripts/compare_starts.py --readme` wrote the tables.

<!-- starts:begin -->{starts}<!-- starts:end -->

## Photographs in colour

photos_128 is a model of the preset `photos`. `python scripts/train.py --dataset=folder:crops --preset=photos
--batch_size=8 --epochs=10` trained it. `python scripts/experiments/crops.py` cut the crops, of 128x128 pixels, from 18
photographs in colour: twelve of nature in Debian's package mate-backgrounds 1.26.0, and six that scikit-image 0.26.0
and scikit-learn 1.9.1 ship. The 3,000 training crops are of Aqua, Dune, FreshFlower, GreenMeadow, LadyBird, Storm,
TwoWings, YellowFlower, astronaut, china, coffee and rocket. The 500 test crops are of Blinds, Garden, RainDrops, Wood,
chelsea and flower. The test RMSE is 0.0138, the PSNR 38.9 dB. For comparison, a thumbnail of 52x52 pixels, enlarged
again, has an RMSE of 0.0158. It has about as many numbers as the code. The model codes each block of 8x8 pixels by
averages and maxima. If reconstructions are enlarged three times, the edges of these blocks show at strong contours.
Reconstructions of grey pictures have a slight colour cast: on 60 test crops that were converted to grey, the three
colour values of a reconstructed pixel differ by 1.3 shades on average, and in one pixel of 1,000 by more than 19. With
40,000 crops of the same photographs, 32,000 of them for training, `--batch_size=8 --epochs=1` took 612 s of processor
time and at most 3.2 GiB of memory, memory-mapped pictures included. The test RMSE was 0.0111, and that of a thumbnail
with about as many numbers was 0.0140. According to the packages, astronaut and rocket are in the public domain, chelsea
and coffee are CC0 by Stefan van der Walt and Rachel Michetti, and china and flower are CC BY 2.0 by the Flickr users
danielbuechele and vultilion. This repository holds none of these photographs.

photos_16_8 has filters 16, 8 and pools 2x2, 2x2. `python scripts/train.py --dataset=folder:photos --filters=16,8
--pool_sizes=2,2 --epochs=20 --batch_size=128` trained it. The folder holds 64x64 crops at random places of the twelve
photographs in Debian's package mate-backgrounds 1.26.0. Before the cutting, the photographs were halved in size
twice. 6,000 crops of ten photographs are for training, and 1,000 crops of the other two, Garden.jpg and TwoWings.jpg,
for testing. So the test RMSE comes from two photographs, and says little about others.

According to the package's copyright file, all twelve photographs are under the GNU General Public License, version 2 or
later. Their authors are Charles Barbin, Lennart Poettering, Andrea Cimitan, Marco Cogoni, Hylke Bons, Jens Ansorg,
Timothy Schellhase, Lapo Calamandrei, blackcombwhistler07, Sergey Nazarov and Jean-François Fortin Tam. This repository
holds only the crops in the figure. These crops are of two photographs by Charles Barbin and Hylke Bons, and stay under
that licence. `python scripts/playground.py --model=saved_models/reference/photos_16_8 --dataset=folder:PATH
--image_size=64` shows your own pictures to the model.

![Crops of photographs, their codes, and what the model makes of them](figures/photographs.png)

## Files

Each model's `compression.json` holds the probabilities that `scripts/compress.py` needs.
`deconv_ae.compression.learn_probabilities` learnt them from up to 4,000 of the model's training pictures. For a newly
trained model, first call `scripts/compress.py --learn`, which calls that function. `python scripts/evaluate.py --rate`
drew the two plots at the end of this page, from the first 1,000 test digits of MNIST and from 200 of photos_16_8's test
crops.

Compressed by a model, a digit takes 22 to 92 bytes. JPEG's smallest files take 215 bytes, mostly headers, and WebP's
130. Pictures in both formats are better than the models' pictures. No model of digits exceeds a PSNR of 21 dB at any
size, and a PNG holds a digit without loss in 274 bytes. In 28 bytes, cmap1_pool2 reaches the SSIM for which a
thumbnail, a small PNG that is enlarged again, needs 200 bytes. Switches are 70 to 79 % of two_layer's files and 15 to
41 % of the other digit models' files.

For photographs, the models are not useful codecs. photos_16_8 needs 3.4 bits a pixel for 27 dB; JPEG needs 0.7, and
WebP less than 0.3. Switches are 82 to 97 % of photos_16_8's files. photos_128 was measured on 40 crops of
scikit-learn's flower and matplotlib's grace_hopper, which are not among its training pictures. With `compress.py
--quality=5`, the best of five qualities, photos_128 needs 1.4 bits a pixel for an RMSE of 0.032. If the model decodes
its codes without quantising them, the RMSE on these crops is 0.020. A JPEG of 1.4 bits a pixel has an RMSE of 0.018,
and a WebP 0.013. Switches are 64 to 97 % of photos_128's files.

![Digits: PSNR and SSIM against bits a pixel](figures/rate_digits.png)

![Photographs: PSNR and SSIM against bits a pixel](figures/rate_photographs.png)
"""

NO_STARTS = "\n<!-- starts-mnist_5k:begin -->\n<!-- starts-mnist_5k:end -->\n"
"""The section `starts` of a new page: a section without tables, which `compare_starts.py --readme` fills."""

RECIPE_COLOURS = {"cntk": "tab:grey", "default": "tab:blue", "long": "tab:green"}


def write_report(outcomes: Sequence[Outcome], images: np.ndarray, output_dir: Path) -> list[Path]:
    """Writes tables and figures of the outcomes.

    The tables are results.md, results.json, published.md and switches.md. The figure training_curves.png shows all
    recipes. The figures autoencoder.png, comparison.png, kernels.png and switches.png show the recipe `default`, or the
    first recipe if there are no outcomes of `default`. If the recipe shown has no exported model, these four figures
    and switches.md are not written. autoencoder.png and comparison.png are like figures on the page of the original
    CNTK example.

    Args:
        outcomes: from `runs.read_outcomes`.
        images: `(N, height, width, channels)` uint8 test images; figures show the first five.
        output_dir: the directory that `runs.reproduce` wrote to.

    Returns:
        The files that were written.
    """
    rows = summarize(outcomes)
    recipes = list(dict.fromkeys(row.recipe for row in rows))
    shown_recipe = "default" if "default" in recipes else recipes[0]
    folders = [output_dir / "models" / f"{row.preset}-{row.recipe}" for row in rows if row.recipe == shown_recipe]
    models = [ServedAutoencoder(folder) for folder in folders if folder.is_dir()]
    texts = {
        "results.md": markdown(rows) + "\n",
        "results.json": as_json(rows),
        "published.md": published_markdown(rows, shown_recipe) + "\n",
    }
    written = [output_dir / name for name in texts]
    for file, text in zip(written, texts.values()):
        write_atomically(file, text)
    written.append(save_figure(curves_figure(outcomes), output_dir / "training_curves.png"))
    if models:
        write_atomically(output_dir / "switches.md", switches_table(models, images) + "\n")
        written.append(output_dir / "switches.md")
        written += _write_figures(models, images[:PICTURED_IMAGES], output_dir)
    return written


def _write_figures(models: Sequence[ServedAutoencoder], images: np.ndarray, output_dir: Path) -> list[Path]:
    # `view` makes the folder's name the title, but these names include the recipe. Figures show the card's title.
    views = [replace(view(model, images), title=model.card.title) for model in models]
    # autoencoder.png and switches.png show the best model.
    best = min(views, key=lambda each: each.test_rmse)
    keras_models = {shown.title: load_keras_model(model) for shown, model in zip(views, models)}
    figures: dict[str, Figure] = {
        "autoencoder": model_figure(best),
        "comparison": comparison_figure(views),
        "kernels": kernels_figure(keras_models),
        "switches": switches_figure(keras_models[best.title], best),
    }
    return [save_figure(figure, output_dir / f"{name}.png") for name, figure in figures.items()]


def curves_figure(outcomes: Sequence[Outcome]) -> Figure:
    """Draws a panel per preset, with a line per run: RMSE of test images over number of training images seen."""
    presets = list(dict.fromkeys(outcome.run.preset for outcome in outcomes))
    figure = Figure(figsize=(min(3.2 * len(presets), WIDEST_INCHES), 3), layout="constrained")
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
    """Publishes the models that the recipe `default` trained with the first seed: they become the reference models.

    Writes the SavedModels reference_dir/PRESET, reference_dir/figures, reference_dir/README.md with the new tables,
    and the section `results` of the project's README. The section `starts` of reference_dir/README.md, which has the
    tables of compare_starts.py, stays as it was.

    Args:
        output_dir: the directory that `write_report` wrote to.
        reference_dir: the directory whose models and figures are replaced.
        readme: a README with the section `results`; with None, no such section is written.

    Raises:
        InputError: if the old reference_dir/README.md has no section `starts`, or `readme` has no section `results`.
        RunError: if output_dir has no model of the recipe `default`, or no switches.md.
    """
    model_dirs = sorted((output_dir / "models").glob("*-default"))
    if not model_dirs or not (output_dir / "switches.md").exists():
        raise RunError(f"output_dir: {output_dir} has no model of the recipe default; train one with --recipes=default")
    for model_dir in model_dirs:
        _copy_model(model_dir, reference_dir / ModelCard.read(model_dir).title)
    figures = reference_dir / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for picture in output_dir.glob("*.png"):
        shutil.copyfile(picture, figures / picture.name)
    results, switches, published = (
        (output_dir / f"{name}.md").read_text(encoding="utf-8").strip() for name in ("results", "switches", "published")
    )
    write_atomically(reference_dir / "README.md", reference_page(reference_dir, results, switches))
    if readme is not None:
        replace_section(readme, "results", published)


def _copy_model(model_dir: Path, export_dir: Path) -> None:
    """Copies an exported model to `export_dir`, and replaces a model there. Raises the errors of `exporting.export`."""
    with ExportDirectory(export_dir, overwrite=True) as directory:
        directory.replace(partial(shutil.copytree, model_dir, dirs_exist_ok=True))


def reference_page(reference_dir: Path, results: str, switches: str) -> str:
    """Makes the README of the reference models: a table of the models, then the tables in `results` and `switches`.

    The section `starts`, with the tables of compare_starts.py, is copied from the README in reference_dir. If that
    file is missing, the new section has no tables.
    """
    header = ("model", "training RMSE", "test RMSE", "parameters", "recipe", "seed", "dataset", "TensorFlow")
    rows = []
    for card_file in sorted(reference_dir.glob(f"*/{FILE_NAME}")):
        card = ModelCard.read(card_file.parent)
        rmses = (f"{value:.4f}" for value in (card.training_rmse, card.test_rmse))
        trained = (card.recipe.name, str(card.seed), card.dataset.name, card.versions["tensorflow"])
        name = card_file.parent.name
        rows.append((f"[{name}]({name})", *rmses, str(card.parameters), *trained))
    page = reference_dir / "README.md"
    starts = read_section(page, "starts")[1] if page.exists() else NO_STARTS
    return PAGE.format(models=markdown_table(header, rows), results=results, switches=switches, starts=starts)
