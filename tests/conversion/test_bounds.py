"""The bounds on a model's results: one result for clear maxima, several for near ties."""

import keras
import numpy as np
import pytest

from deconv_ae import Architecture, Autoencoder
from deconv_ae.conversion.bounds import Bounds

TWO_STAGES = Architecture((3, 2), ((2, 3), 2), kernel_size=(4, 3), deconvolution_bias=True)


@pytest.fixture(scope="module")
def model() -> Autoencoder:
    keras.utils.set_random_seed(0)
    model = Autoencoder(TWO_STAGES, (13, 17, 2))
    model.set_weights([weights + 0.01 for weights in model.get_weights()])
    return model


def encode(model: Autoencoder, images: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    code, *switches = map(np.asarray, model.encoder(images))
    return code, switches


def name_switches(switches: list[np.ndarray]) -> dict[str, np.ndarray]:
    return dict(zip(TWO_STAGES.switches_names, switches))


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(1).random((count, 13, 17, 2)).astype("float32")


@pytest.mark.parametrize("count", [1, 17])
def test_clear_maxima_allow_one_choice_and_one_reconstruction(model: Autoencoder, count: int) -> None:
    images = noise(count)
    bounds, (_, switches) = Bounds.of(model, images), encode(model, images)
    reconstruction = np.asarray(model(images))
    assert bounds.count_wrong(name_switches(switches)) == 0
    assert bounds.difference(reconstruction, reconstruction) < 1e-5
    for choices in bounds.choices.values():
        # In a few windows, two values agree to 1e-5 by chance.
        assert np.mean(choices.sum(-1) == 1) > 0.99
    np.testing.assert_allclose(bounds.middle[bounds.radius == 0], reconstruction[bounds.radius == 0], rtol=0, atol=1e-5)
    clear_image = np.argmax(np.sum(bounds.radius, (1, 2, 3)) == 0)
    changed = reconstruction.copy()
    changed[clear_image, 3, 4, 1] += 0.01
    assert bounds.difference(changed, reconstruction) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("stage", [0, 1])
def test_flat_picture_allows_every_choice_and_its_reconstruction(stage: int) -> None:
    keras.utils.set_random_seed(1)
    model = Autoencoder(TWO_STAGES, (13, 17, 2))
    # With positive weights, a flat window's values are positive and may differ by rounding: any may be the maximum. The
    # ReLU would turn negative values into zeros, which are exactly equal, so that only the first could be the maximum.
    model.set_weights([np.abs(weights) for weights in model.get_weights()])
    images = np.full((2, 13, 17, 2), 0.5, "float32")
    images[1] = noise(1)
    bounds, (code, switches) = Bounds.of(model, images), encode(model, images)
    # This window is so far from the edges that its values differ at most by rounding.
    row, column = (2, 2) if stage == 0 else (1, 1)
    positions = bounds.choices[f"switches_{stage + 1}"].shape[-1]
    for position in range(positions):
        moved_switches = [each.copy() for each in switches]
        moved_switches[stage][0, row, column] = position
        assert bounds.count_wrong(name_switches(moved_switches)) == 0
        reconstruction = np.asarray(model.decoder([code, *moved_switches]))
        assert bounds.difference(reconstruction, np.asarray(model(images))) < 1e-5
    moved_switches[stage][1, row, column] = (switches[stage][1, row, column] + 1) % positions
    filters = switches[stage].shape[-1]
    assert bounds.count_wrong(name_switches(moved_switches)) == filters
    assert bounds.difference(np.asarray(model.decoder([code, *moved_switches])), np.asarray(model(images))) > 1e-3
    moved_switches[stage][1, row, column] = positions
    assert bounds.count_wrong(name_switches(moved_switches)) == filters


def test_black_picture_allows_only_the_first_position(model: Autoencoder) -> None:
    choices = Bounds.of(model, np.zeros((1, 13, 17, 2), "float32")).choices["switches_1"]
    assert choices[..., 0].all()
    assert not choices[..., 1:].any()


def test_nan_in_a_result_gives_a_difference_of_nan(model: Autoencoder) -> None:
    images = np.full((1, 13, 17, 2), 0.5, "float32")
    bounds, expected = Bounds.of(model, images), np.asarray(model(images))
    for place in ((0, 0, 0, 0), (0, 6, 8, 0)):
        spoilt = expected.copy()
        spoilt[place] = np.nan
        assert np.isnan(bounds.difference(spoilt, expected))
