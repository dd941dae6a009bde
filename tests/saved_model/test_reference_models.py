"""The models of saved_models/reference: whole, small, and as good as their cards say."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from deconv_ae.data import Source, load_split
from deconv_ae.model.presets import PRESETS
from deconv_ae.saved_model.serving import ServedAutoencoder
from deconv_ae.saved_model.signatures import SIGNATURES

REFERENCE = Path(__file__).parents[2] / "saved_models" / "reference"
MOST_BYTES = 2_000_000

# TFDS looks in the same place, and in TFDS_DATA_DIR.
MNIST_IS_PREPARED = tfds.builder("mnist").is_prepared()


def test_there_is_one_for_every_preset() -> None:
    assert {card.parent.name for card in REFERENCE.glob("*/model_card.json")} == set(PRESETS)


@pytest.mark.parametrize("preset", PRESETS)
def test_each_has_the_three_signatures_and_halves_that_agree(preset: str) -> None:
    model = ServedAutoencoder(REFERENCE / preset)
    assert set(SIGNATURES) == {"serving_default", "encode", "decode"}
    assert model.card.preset == preset
    images = load_split(Source("mnist_5k"), "test")[:50]
    encoded = model.encode(images)
    assert encoded.code.shape[1:] == PRESETS[preset].architecture.stage_shapes((28, 28, 1))[-1]
    error = np.sqrt(np.mean((model.decode(encoded) - images / 256) ** 2, axis=(1, 2, 3))).mean()
    assert error == pytest.approx(model.rmse(images), rel=1e-5)
    assert error == pytest.approx(model.card.test_rmse, rel=0.1)


@pytest.mark.parametrize("preset", PRESETS)
def test_each_was_trained_on_full_mnist_with_the_default_recipe(preset: str) -> None:
    card = ServedAutoencoder(REFERENCE / preset).card
    assert card.recipe["name"] == "default"
    assert card.dataset == {"name": "mnist", "training_images": 60000, "test_images": 10000}


@pytest.mark.skipif(not MNIST_IS_PREPARED, reason="full MNIST is not prepared here; set TFDS_DATA_DIR to where it is")
@pytest.mark.parametrize("preset", PRESETS)
def test_each_cards_rmse_is_what_evaluation_finds(preset: str) -> None:
    model = ServedAutoencoder(REFERENCE / preset)
    assert model.rmse(load_split(Source("mnist"), "test")) == pytest.approx(model.card.test_rmse, abs=1e-4)


def test_together_they_are_small() -> None:
    models = [card.parent for card in REFERENCE.glob("*/model_card.json")]
    assert sum(file.stat().st_size for model in models for file in model.rglob("*") if file.is_file()) < MOST_BYTES
