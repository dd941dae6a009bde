"""Training on blocks has the same losses as training on the layers. A model knows whether XLA makes training faster."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

import deconv_ae
from deconv_ae import Architecture, Autoencoder
from deconv_ae.data import ImageDataset, scale
from deconv_ae.model.fast import blocks_are_faster
from deconv_ae.model.objective import PerImageRMSELoss
from deconv_ae.model.presets import PRESETS

STEPS, BATCH_SIZE = 100, 16
DIGIT_SHAPE, MNIST_IMAGES = (28, 28, 1), 60_000


def losses(model: keras.Model, weights: list[np.ndarray], batches: np.ndarray, jit_compile: bool) -> list[float]:
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss=PerImageRMSELoss(), jit_compile=jit_compile)
    model.set_weights(weights)
    results = []
    for batch in batches:
        model.reset_metrics()
        results.append(float(model.train_on_batch(batch, batch)))
    return results


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("preset", ["cmap1_pool4", "cmap3_pool4", "cmap1_pool2", "two_layer"])
def test_hundred_losses_equal_those_of_the_layers(digits: ImageDataset, preset: str, jit_compile: bool) -> None:
    keras.utils.set_random_seed(0)
    model = Autoencoder(PRESETS[preset].architecture, DIGIT_SHAPE)
    uses_blocks = [
        blocks_are_faster(stage.input_shape[-1], stage.output_shape[-1], stage.pool_size, jit_compile)
        for stage in model._stages
    ]
    assert all(uses_blocks) == (jit_compile or preset != "two_layer")
    weights = model.get_weights()
    # In digits, the largest values of a window nearly tie, and rounding decides which one wins. Noise avoids such ties.
    noise = np.random.default_rng(0).random((STEPS, BATCH_SIZE, *DIGIT_SHAPE), np.float32)
    batches = 0.7 * scale(np.resize(digits.train, noise.shape)) + 0.3 * noise
    by_layers = losses(keras.Model(model.inputs, model.outputs), weights, batches, jit_compile=False)
    np.testing.assert_allclose(losses(model, weights, batches, jit_compile), by_layers, rtol=0, atol=1e-5)
    # If the weights had not moved, equal losses would say nothing about the gradients.
    assert np.abs(model.get_weights()[0] - weights[0]).max() > 0.01


@pytest.mark.parametrize(
    ("architecture", "image_shape", "image_count", "dtype", "is_faster"),
    [
        (Architecture((1,), (4,)), DIGIT_SHAPE, MNIST_IMAGES, "float32", True),
        (Architecture((5, 1), (2, 2)), DIGIT_SHAPE, MNIST_IMAGES, "float32", True),
        (Architecture((1,), (4,)), DIGIT_SHAPE, 4_000, "float32", False),
        (Architecture((1,), (4,)), DIGIT_SHAPE, MNIST_IMAGES, "mixed_bfloat16", False),
        (Architecture((16,), (2,)), DIGIT_SHAPE, MNIST_IMAGES, "float32", True),
        (Architecture((16,), (3,)), DIGIT_SHAPE, MNIST_IMAGES, "float32", False),
        (Architecture((16, 2), (2, 2)), DIGIT_SHAPE, MNIST_IMAGES, "float32", False),
        (Architecture((16, 8), (2, 2)), (64, 64, 3), MNIST_IMAGES, "float32", False),
    ],
)
def test_xla_is_faster_only_with_fast_blocks_and_many_pixels(
    architecture, image_shape, image_count, dtype, is_faster
) -> None:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        model = Autoencoder(architecture, image_shape)
    finally:
        keras.config.set_dtype_policy(policy)
    assert model.is_faster_compiled(image_count) == is_faster


def test_only_the_stage_imports_the_fast_path() -> None:
    model_folder = Path(deconv_ae.__file__).parent / "model"
    others = [file for file in model_folder.parent.rglob("*.py") if file.parent != model_folder / "fast"]
    imports = re.compile(r"model(\.| import )fast")
    assert [file for file in others if imports.search(file.read_text(encoding="utf-8"))] == [model_folder / "stage.py"]
