"""The warning about images unlike a model's training images."""

from pathlib import Path

import numpy as np
import pytest

from deconv_ae.data import ImageDataset
from deconv_ae.saved_model.domain import domain_warning
from deconv_ae.saved_model.serving import ServedAutoencoder

REFERENCE = Path(__file__).parents[2] / "saved_models" / "reference"
RANDOM = np.random.default_rng(0)


def warning_about(model_dir: Path, images: np.ndarray) -> str | None:
    model = ServedAutoencoder(model_dir)
    return domain_warning(model, images, model.rmse(images))


def slopes(darkest: int, brightest: int, size: int, channels: int) -> np.ndarray:
    """Makes four pictures whose brightness rises evenly from one corner to the opposite corner."""
    slope = np.add.outer(np.arange(size), np.arange(size)) / (2 * size - 2)
    rotated = np.stack([np.rot90(slope, turns) for turns in range(4)])
    return np.repeat((darkest + rotated * (brightest - darkest)).astype(np.uint8)[..., None], channels, axis=-1)


PICTURES = {
    "bright slopes": slopes(90, 250, 28, 1),
    # Their RMSE is close to that of digits, or far below it.
    "dark slopes": slopes(10, 40, 28, 1),
    "noise": RANDOM.integers(0, 256, (5, 28, 28, 1), np.uint8),
}


@pytest.mark.parametrize("name", ["cmap1_pool2", "cmap1_pool4", "cmap3_pool4", "two_layer"])
@pytest.mark.parametrize("kind", PICTURES)
def test_model_of_digits_warns_about_other_pictures(name: str, kind: str) -> None:
    sentence = warning_about(REFERENCE / name, PICTURES[kind])
    assert sentence is not None
    assert sentence.startswith(f"these images look unlike the training images of {name} (mnist): their RMSE is 0.")


@pytest.mark.parametrize("name", ["cmap1_pool2", "cmap1_pool4", "cmap3_pool4", "two_layer"])
def test_digits_and_black_images_give_no_warning(name: str, digits: ImageDataset) -> None:
    for start in range(0, 100, 5):
        assert warning_about(REFERENCE / name, digits.test[start : start + 5]) is None
    assert warning_about(REFERENCE / name, np.zeros((2, 28, 28, 1), np.uint8)) is None


def test_slopes_give_no_warning_with_a_model_of_photographs() -> None:
    for darkest, brightest in ((90, 250), (10, 40)):
        assert warning_about(REFERENCE / "photos_128", slopes(darkest, brightest, 128, 3)) is None


def test_own_images_of_a_weak_model_give_no_warning(exported_in_colour: Path, colour_images: ImageDataset) -> None:
    assert warning_about(exported_in_colour, colour_images.test) is None
