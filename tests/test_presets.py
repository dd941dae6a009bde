"""Recipes in Keras's terms."""

import keras
import numpy as np
import pytest

from deconv_ae.presets import CNTK_BATCH_SIZE, RECIPES, cntk_optimizer


def cntk_updates(gradients: list[float], batch_size: int) -> float:
    """CNTK's own momentum SGD, in its own terms: summed gradients, a rate per sample, unit gain."""
    momentum = np.exp(-batch_size / 600)
    weight = velocity = 0.0
    for gradient in gradients:
        velocity = momentum * velocity + (1 - momentum) * gradient * batch_size
        weight -= 0.00015 * velocity
    return weight


@pytest.mark.parametrize("batch_size", [1, CNTK_BATCH_SIZE, 1024])
def test_the_cntk_recipe_updates_weights_as_cntk_did(batch_size: int) -> None:
    gradients = [1.0, -0.5, 2.0, 0.25]
    optimizer = cntk_optimizer(batch_size, total_steps=len(gradients))
    weight = keras.Variable(np.zeros((), "float64"), dtype="float64")
    for gradient in gradients:
        optimizer.apply([np.float64(gradient)], [weight])
    assert float(weight) == pytest.approx(cntk_updates(gradients, batch_size), rel=1e-5)


def test_the_cntk_recipe_starts_deconvolutions_a_thousand_times_smaller() -> None:
    shape = (5, 5, 3, 1)
    glorot = np.sqrt(6 / (25 * 3 + 25))
    for initializer, limit in (
        (RECIPES["cntk"].convolution_initializer(), glorot),
        (RECIPES["cntk"].deconvolution_initializer(), 0.001 * glorot),
    ):
        values = np.stack([np.asarray(initializer.clone()(shape)) for _ in range(1)])
        assert 0.8 * limit < np.abs(values).max() <= limit


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_a_learning_rate_of_ones_own_replaces_the_recipes(recipe) -> None:
    optimizer = recipe.optimizer(64, 10, 0.125)
    assert float(optimizer.learning_rate) == 0.125
