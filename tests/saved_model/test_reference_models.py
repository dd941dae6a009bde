"""The models of saved_models/reference: complete, small, and as good as their cards say."""

import functools
from pathlib import Path

import matplotlib.cbook
import numpy as np
import pytest
import tensorflow_datasets as tfds
from faults.programs import run_program
from PIL import Image

from deconv_ae.data import Source, load_split
from deconv_ae.model.presets import ALL_PRESETS, PRESETS
from deconv_ae.saved_model.model_card import DatasetUsed
from deconv_ae.saved_model.serving import ServedAutoencoder
from deconv_ae.saved_model.signatures import SIGNATURES
from deconv_ae.training.evaluation import thumbnail_rmse

REFERENCE = Path(__file__).parents[2] / "saved_models" / "reference"
PHOTOGRAPHS_MODEL = "photos_16_8"
AVERAGES_MODEL = "photos_128"
"""The model whose code also holds weighted averages of each block of pixels, besides the maxima."""

MOST_BYTES = 3_000_000

# TFDS looks where programs without --data_dir look: in TFDS_DATA_DIR, or in ~/tensorflow_datasets if that is unset.
MNIST_IS_PREPARED = tfds.builder("mnist").is_prepared()


@functools.cache
def reference(name: str) -> ServedAutoencoder:
    """Loads a model once for all tests, because loading takes longer than the tests."""
    return ServedAutoencoder(REFERENCE / name)


def test_every_preset_has_a_model_and_photographs_have_two() -> None:
    assert {card.parent.name for card in REFERENCE.glob("*/model_card.json")} == {
        *PRESETS,
        PHOTOGRAPHS_MODEL,
        AVERAGES_MODEL,
    }


def test_visualize_takes_the_presets_models_by_default(tmp_path: Path) -> None:
    listed = run_program("visualize.py", ["--list_layers"], tmp_path)
    titles = [line.split(":")[0] for line in listed.stdout.splitlines() if not line.startswith(" ")]
    assert titles == sorted(PRESETS)


@pytest.mark.parametrize("preset", PRESETS)
def test_encode_and_decode_agree_with_serving_default(preset: str) -> None:
    model = reference(preset)
    assert set(SIGNATURES) == {"serving_default", "encode", "decode"}
    assert model.card.preset == preset
    images = load_split(Source("mnist_5k"), "test")[:50]
    encoded = model.encode(images)
    assert encoded.code.shape[1:] == PRESETS[preset].architecture.stage_shapes((28, 28, 1))[-1]
    error = np.sqrt(np.mean((model.decode(encoded) - images / 256) ** 2, axis=(1, 2, 3))).mean()
    assert error == pytest.approx(model.rmse(images), rel=1e-5)
    assert error == pytest.approx(model.card.test_rmse, rel=0.1)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_were_trained_on_mnist_with_the_default_recipe(preset: str) -> None:
    card = reference(preset).card
    assert card.recipe.name == "default"
    assert card.dataset == DatasetUsed("mnist", 60_000, 10_000)


@pytest.mark.skipif(not MNIST_IS_PREPARED, reason="full MNIST is not prepared here; set TFDS_DATA_DIR to where it is")
@pytest.mark.parametrize("preset", PRESETS)
def test_cards_rmse_is_what_evaluation_finds(preset: str) -> None:
    model = reference(preset)
    assert model.rmse(load_split(Source("mnist"), "test")) == pytest.approx(model.card.test_rmse, abs=1e-4)


def test_photographs_model_reconstructs_unknown_colours() -> None:
    model = reference(PHOTOGRAPHS_MODEL)
    assert model.card.architecture.filters == (16, 8)
    assert model.card.dataset == DatasetUsed("folder:photos", 6_000, 1_000)
    # The repository does not hold the photographs. Images with soft edges in random colours replace them.
    rows, columns = np.mgrid[0:64, 0:64] / 64
    frequencies = np.random.default_rng(0).normal(size=(20, 3, 3))
    waves = np.tanh(
        4 * np.sin(4 * (frequencies[..., 0, None, None] * rows + frequencies[..., 1, None, None] * columns))
    )
    images = (127.5 + 100 * np.moveaxis(waves, 1, -1)).astype(np.uint8)
    encoded = model.encode(images)
    assert encoded.code.shape[1:] == (16, 16, 8)
    error = np.sqrt(np.mean((model.decode(encoded) - images / 256) ** 2, axis=(1, 2, 3))).mean()
    assert error == pytest.approx(model.rmse(images), rel=1e-5)
    assert error < 0.3 * np.sqrt(np.mean((images / 256 - (images / 256).mean(axis=0)) ** 2, axis=(1, 2, 3))).mean()


def test_model_with_averages_beats_its_thumbnail() -> None:
    card = reference(AVERAGES_MODEL).card
    assert card.preset == "photos"
    assert card.architecture == ALL_PRESETS["photos"].architecture
    assert card.image_shape == (128, 128, 3)
    assert card.test_rmse < 0.9 * card.baselines.thumbnail_rmse


def test_model_with_averages_beats_a_thumbnail_of_matplotlibs_photograph() -> None:
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        picture = np.asarray(Image.open(file).convert("RGB").resize((128, 128), Image.Resampling.BOX))[None]
    model = reference(AVERAGES_MODEL)
    assert model.rmse(picture) < 0.9 * thumbnail_rmse(picture, model.card.size_per_image.code_values)


@pytest.mark.parametrize(
    ("names", "most_bytes"), [({*PRESETS, PHOTOGRAPHS_MODEL}, MOST_BYTES), ({AVERAGES_MODEL}, 600_000)]
)
def test_models_are_small(names: set[str], most_bytes: int) -> None:
    models = [REFERENCE / name for name in names]
    assert sum(file.stat().st_size for model in models for file in model.rglob("*") if file.is_file()) < most_bytes
