"""Initial weights: the chosen encoder, the decoder fitted by least squares, and averages from principal components."""

import keras
import numpy as np
import pytest

from deconv_ae import Architecture, Autoencoder, per_image_rmse
from deconv_ae.data import ImageDataset, scale
from deconv_ae.model.presets import PRESETS
from deconv_ae.model.recipes import row_of_bumps
from deconv_ae.training.start import set_initial_weights

RANDOM = np.random.default_rng(0)


def untrained(architecture: Architecture, image_shape: tuple[int, int, int]) -> Autoencoder:
    keras.utils.set_random_seed(0)
    return Autoencoder(architecture, image_shape, "he_normal", "he_normal")


def rmse(model: Autoencoder, images: np.ndarray) -> float:
    return float(np.mean(per_image_rmse(scale(images), model(scale(images)))))


@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("kernel_size", [3, 2, (4, 3), (1, 5)], ids=str)
def test_decoder_is_the_least_squares_solution(kernel_size, bias: bool) -> None:
    images = RANDOM.integers(0, 256, (12, 9, 8, 2), np.uint8)
    model = untrained(Architecture((3,), (2,), kernel_size, deconvolution_bias=bias), (9, 8, 2))
    set_initial_weights(model, images)
    deconvolution = model.get_layer("deconv1")
    reconstruction = model(scale(images)).numpy()
    # The reference does not depend on the kernel's layout: it measures the effect of every weight.
    weights = deconvolution.get_weights()
    pooled, argmax = model.get_layer("pool1")(model.get_layer("conv1")(scale(images)))
    unpooled = model.get_layer("unpool1")(pooled, argmax, output_size=(9, 8))
    effects = []
    for index, weight in enumerate(weights):
        for position in np.ndindex(weight.shape):
            unit = [np.zeros_like(each) for each in weights]
            unit[index][position] = 1
            deconvolution.set_weights(unit)
            effects.append(deconvolution(unpooled).numpy().ravel())
    matrix = np.stack(effects, axis=1).astype(np.float64)
    best = matrix @ np.linalg.lstsq(matrix, scale(images).ravel().astype(np.float64), rcond=None)[0]
    error, least_error = (np.mean(np.square(x.ravel() - scale(images).ravel())) for x in (reconstruction, best))
    # Ridge regularization raises the error slightly, most for images of noise.
    assert least_error <= error * (1 + 1e-9)
    assert error <= 1.02 * least_error


@pytest.mark.parametrize(
    ("filters", "pool_sizes"), [((8,), (2,)), ((8, 4), (2, 2)), ((16, 16, 16), (2, 2, 2)), ((1, 1), (3, 2))]
)
def test_initial_weights_are_better_than_the_mean_image(filters, pool_sizes, colour_images: ImageDataset) -> None:
    images = colour_images.train
    model = untrained(Architecture(filters, pool_sizes), images.shape[1:])
    mean_image_rmse = np.mean(per_image_rmse(scale(images), np.broadcast_to(scale(images).mean(axis=0), images.shape)))
    set_initial_weights(model, images)
    assert rmse(model, images) < mean_image_rmse


def test_averages_start_as_principal_components() -> None:
    pixels = RANDOM.integers(0, 256, (40, 8, 12, 3), np.uint8)
    images = scale(pixels)
    model = untrained(Architecture((2,), (4,), averages=6), images.shape[1:])
    set_initial_weights(model, pixels)
    count, height, width, channels = images.shape
    blocks = images.reshape(count, height // 4, 4, width // 4, 4, channels).swapaxes(2, 3).reshape(-1, 16 * channels)
    centred = (blocks - blocks.mean(axis=0)).astype(np.float64)
    least_error = np.sum(np.linalg.svd(centred, compute_uv=False)[6:] ** 2) / centred.size
    rest = keras.Model(model.inputs[0], model.get_layer("rest").output)(images).numpy()
    assert least_error * 0.999 < np.mean(np.square(rest)) < 1.05 * least_error
    assert rmse(model, pixels) < np.mean(np.sqrt(np.mean(np.square(rest), axis=(1, 2, 3))))


@pytest.mark.parametrize(
    ("averages", "pool_sizes", "shape"),
    [(7, (4,), (9, 10, 1)), (12, (2,), (5, 7, 3)), (3, (2, 2), (8, 8, 1)), (48, (4,), (4, 4, 3))],
    ids=str,
)
def test_model_with_averages_starts_better_than_mid_grey(averages: int, pool_sizes, shape) -> None:
    images = RANDOM.integers(0, 256, (5, *shape), np.uint8)
    model = untrained(Architecture((3,) * len(pool_sizes), pool_sizes, 3, averages=averages), shape)
    set_initial_weights(model, images)
    assert rmse(model, images) < np.mean(per_image_rmse(scale(images), np.full(images.shape, 0.5, np.float32)))


def test_first_kernel_for_digits_is_a_central_bump(digits: ImageDataset) -> None:
    architecture = PRESETS["cmap1_pool4"].architecture
    model = untrained(architecture, digits.image_shape)
    set_initial_weights(model, digits.train, row_of_bumps(architecture, channels=1))
    kernel = model.get_layer("conv1").kernel.numpy()
    assert np.sum(kernel) == pytest.approx(1, abs=0.2)
    assert np.unravel_index(kernel.argmax(), kernel.shape)[:2] == (2, 2)


@pytest.mark.parametrize(("filters", "pool_sizes"), [((1,), (2,)), ((3,), (4,)), ((4, 2), (2, 2))], ids=str)
@pytest.mark.parametrize("brightness", ["light", "dark"])
def test_filter_outputs_have_positive_mean_and_inputs_rms_as_deviation(brightness: str, filters, pool_sizes) -> None:
    spots = RANDOM.integers(0, 100, (6, 12, 12, 3), np.uint8)
    images = 255 - spots if brightness == "light" else spots
    model = untrained(Architecture(filters, pool_sizes), (12, 12, 3))
    for seed in range(5):
        for layer in model.layers:
            if hasattr(layer, "kernel"):
                layer.kernel.assign(keras.initializers.HeNormal(seed)(layer.kernel.shape))
        set_initial_weights(model, images, seed=seed)
        values = scale(images)
        for number in range(1, len(filters) + 1):
            convolution = model.get_layer(f"conv{number}")
            outputs = keras.ops.conv(values, convolution.kernel, padding="same", data_format="channels_last").numpy()
            assert outputs.mean(axis=(0, 1, 2)).min() > 0
            rms = np.sqrt(np.mean(np.square(values)))
            np.testing.assert_allclose(outputs.std(axis=(0, 1, 2)), np.full(outputs.shape[-1], rms), rtol=1e-3)
            values = model.get_layer(f"pool{number}")(convolution(values))[0].numpy()


def test_same_seed_gives_same_initial_weights(colour_images: ImageDataset) -> None:
    architecture = Architecture((4, 2), (2, 2))
    initial_weights = []
    for _ in range(2):
        model = untrained(architecture, colour_images.image_shape)
        set_initial_weights(model, colour_images.train, seed=3)
        initial_weights.append(model.get_weights())
    for first, second in zip(*initial_weights):
        np.testing.assert_array_equal(first, second)


def test_black_pictures_give_finite_weights() -> None:
    images = np.zeros((3, 8, 8, 1), np.uint8)
    model = untrained(Architecture((2, 2), (2, 2)), (8, 8, 1))
    set_initial_weights(model, images)
    assert rmse(model, images) == pytest.approx(0, abs=1e-6)
    assert all(np.isfinite(weights).all() for weights in model.get_weights())


def test_very_large_kernel_starts_as_the_encoders_transpose() -> None:
    images = RANDOM.integers(0, 256, (2, 12, 12, 1), np.uint8)
    model = untrained(Architecture((40,), (2,), kernel_size=11), (12, 12, 1))
    set_initial_weights(model, images)
    convolution, deconvolution = (model.get_layer(name).kernel.numpy() for name in ("conv1", "deconv1"))
    gain = np.sum(convolution * deconvolution) / np.sum(np.square(convolution))
    np.testing.assert_allclose(deconvolution, gain * convolution, rtol=1e-4, atol=1e-7)
