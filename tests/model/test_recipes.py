"""The optimizers, learning rates and initial weights of the recipes."""

import keras
import numpy as np
import pytest

from deconv_ae.model.architecture import Architecture
from deconv_ae.model.initializers import RowOfBumps
from deconv_ae.model.presets import PRESETS
from deconv_ae.model.recipes import CNTK_BATCH_SIZE, RECIPES, cntk_optimizer, peak_learning_rate, warm_cosine_adam


def cntk_weight(gradients: list[float], batch_size: int) -> float:
    """Computes the value that CNTK's momentum SGD gives a weight that starts at 0.

    CNTK sums gradients over the batch, takes a learning rate per sample, and scales gradients by (1 - momentum).
    """
    momentum = np.exp(-batch_size / 600)
    weight = velocity = 0.0
    for gradient in gradients:
        velocity = momentum * velocity + (1 - momentum) * gradient * batch_size
        weight -= 0.00015 * velocity
    return weight


@pytest.mark.parametrize("batch_size", [1, CNTK_BATCH_SIZE, 1024])
def test_cntk_recipe_updates_weights_as_cntk_did(batch_size: int) -> None:
    gradients = [1.0, -0.5, 2.0, 0.25]
    optimizer = cntk_optimizer(PRESETS["cmap1_pool4"].architecture, batch_size, total_steps=len(gradients))
    weight = keras.Variable(np.zeros((), "float64"), dtype="float64")
    for gradient in gradients:
        optimizer.apply([np.float64(gradient)], [weight])
    assert float(weight) == pytest.approx(cntk_weight(gradients, batch_size), rel=1e-5)


def test_cntk_recipe_starts_deconvolutions_a_thousand_times_smaller() -> None:
    shape = (5, 5, 3, 1)
    glorot = np.sqrt(6 / (25 * 3 + 25))
    initializers = RECIPES["cntk"].initializers(PRESETS["cmap3_pool4"].architecture)
    for initializer, limit in zip(initializers, (glorot, 0.001 * glorot)):
        assert 0.8 * limit < np.abs(initializer(shape)).max() <= limit


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_given_learning_rate_replaces_that_of_the_recipe(recipe) -> None:
    optimizer = recipe.optimizer(PRESETS["two_layer"].architecture, 64, 1000, 0.125)
    rates = []
    for step in range(0, 1000, 50):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    assert max(rates) == pytest.approx(0.125, rel=1e-3)


@pytest.mark.parametrize(
    ("filters", "kernel_size", "peak"),
    [
        ((1,), 5, 0.03),
        ((3,), 5, 0.03),
        ((5, 1), 5, 0.03 * (75 / 125) ** 0.75),
        ((8, 8, 8), 3, 0.03),
        ((16, 8), 5, 0.03 * (75 / 400) ** 0.75),
        ((8, 64, 2), (3, 7), 0.03 * (75 / 1344) ** 0.75),
    ],
    ids=str,
)
def test_default_peak_falls_if_a_kernel_sums_many_values(filters, kernel_size, peak: float) -> None:
    architecture = Architecture(filters, (2,) * len(filters), kernel_size)
    assert peak_learning_rate(architecture) == pytest.approx(peak)
    optimizer = warm_cosine_adam(architecture, 128, 1407)
    optimizer.iterations.assign(100)
    assert float(optimizer.learning_rate) == pytest.approx(peak, rel=1e-3)


def test_short_run_has_a_low_learning_rate() -> None:
    optimizer = warm_cosine_adam(PRESETS["cmap1_pool4"].architecture, 128, 10)
    optimizer.iterations.assign(5)
    assert float(optimizer.learning_rate) == pytest.approx(0.03 * 10 / 200, rel=1e-3)


@pytest.mark.parametrize("total_steps", [1, 7, 200, 1407])
def test_default_learning_rate_falls_to_zero_in_any_run(total_steps: int) -> None:
    optimizer = warm_cosine_adam(PRESETS["cmap1_pool4"].architecture, 128, total_steps)
    rates = []
    for step in np.linspace(0, total_steps, min(total_steps + 1, 200), dtype=int):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    assert max(rates) <= 0.03 + 1e-6
    assert rates[-1] == pytest.approx(0.0, abs=1e-6)


def test_run_of_no_steps_has_a_finite_learning_rate() -> None:
    optimizer = warm_cosine_adam(PRESETS["cmap1_pool4"].architecture, 128, 0)
    assert 0 <= float(optimizer.learning_rate) <= 0.03


@pytest.mark.parametrize(("channels", "filters"), [(1, 1), (1, 3), (5, 1), (3, 4)])
def test_bumps_lie_on_the_diagonal_and_sum_as_specified(channels: int, filters: int) -> None:
    kernel = np.asarray(RowOfBumps(noise=0.0, shift=0.35)((5, 5, channels, filters)))
    assert kernel.shape == (5, 5, channels, filters)
    np.testing.assert_allclose(kernel.sum(axis=(0, 1, 2)), np.full(filters, 1.0 if filters == 1 else 0.0), atol=1e-6)
    transposed = np.asarray(RowOfBumps(noise=0.0, transposed=True)((5, 5, channels, filters)))
    centres = [np.unravel_index(transposed[:, :, 0, number].argmax(), (5, 5)) for number in range(filters)]
    # The row of bumps runs along the diagonal of the kernel, from the upper left to the lower right.
    assert all(row == column for row, column in centres)
    assert centres == sorted(centres)
    assert transposed.min() >= 0
    np.testing.assert_allclose(transposed.sum(axis=(0, 1, 3)), np.full(channels, 0.8), rtol=1e-6)


def test_only_the_noise_depends_on_the_seed() -> None:
    shape = (5, 5, 4, 4)
    first, same, other = (np.asarray(RowOfBumps(noise=0.1, seed=seed)(shape)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    noise = first - np.asarray(RowOfBumps(noise=0.0)(shape))
    assert noise.std() == pytest.approx(0.1 / np.sqrt(25 * 4), rel=0.15)
    assert not np.array_equal(first, other)


def test_kernels_without_seed_differ_between_layers() -> None:
    initializer = RowOfBumps(noise=0.1)
    first, second = (np.asarray(keras.initializers.get(initializer).clone()((5, 5, 1, 1))) for _ in range(2))
    assert not np.array_equal(first, second)
