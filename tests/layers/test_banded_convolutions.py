"""Convolutions by rows against Keras's own: results, gradients, and when they are used."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deconv_ae.layers import BandedConv2D, BandedConv2DTranspose
from deconv_ae.ops import banded_convolution
from deconv_ae.ops.banded_convolution import LARGEST_WIDTH, MOST_CHANNELS, is_banded, is_phased

PAIRS = [(BandedConv2D, keras.layers.Conv2D), (BandedConv2DTranspose, keras.layers.Conv2DTranspose)]

# (height, width, channels, filters, kernel_size): odd, even and oblong kernels, kernels wider than the images, widths
# that four, two or one pixels divide, and more channels than filters.
GEOMETRIES = [
    (28, 28, 1, 1, 5),
    (28, 28, 1, 5, 5),
    (14, 14, 5, 1, 5),
    (13, 14, 3, 1, 5),
    (7, 9, 1, 3, (4, 3)),
    (6, 6, 3, 1, (3, 4)),
    (5, 3, 1, 2, (2, 6)),
    (1, 1, 1, 1, 3),
]


def layers(pair, filters, kernel_size, images):
    """A layer of ours and Keras's with the same weights, a bias that matters among them."""
    ours, keras_own = (
        layer(filters, kernel_size, padding="same", activation="relu", bias_initializer="random_normal")
        for layer in pair
    )
    ours(images), keras_own(images)
    keras_own.set_weights(ours.get_weights())
    return ours, keras_own


def result_and_gradients(layer, images):
    with tf.GradientTape() as tape:
        tape.watch(images)
        result = layer(images)
        loss = tf.reduce_sum(tf.sin(3.0 * result))
    return [result, *tape.gradient(loss, [images, *layer.trainable_weights])]


@pytest.mark.parametrize("pair", PAIRS, ids=["convolution", "transposed"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_results_and_gradients_are_those_of_keras(pair, geometry) -> None:
    height, width, channels, filters, kernel_size = geometry
    images = tf.constant(np.random.default_rng(0).standard_normal((3, height, width, channels), "float32"))
    ours, keras_own = layers(pair, filters, kernel_size, images)
    assert is_banded(width, channels, filters, "float32")
    for actual, expected in zip(result_and_gradients(ours, images), result_and_gradients(keras_own, images)):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("geometry", [(6, 12, 16, 3, 5), (5, 34, 1, 1, 3), (3, 6, 20, 8, (3, 5))], ids=str)
def test_a_transposed_convolution_to_few_channels_is_that_of_keras(geometry) -> None:
    height, width, channels, filters, kernel_size = geometry
    images = tf.constant(np.random.default_rng(0).standard_normal((3, height, width, channels), "float32"))
    ours, keras_own = layers(PAIRS[1], filters, kernel_size, images)
    assert not is_banded(width, channels, filters, "float32")
    assert is_phased(width, filters, ours.kernel_size, "float32")
    for actual, expected in zip(result_and_gradients(ours, images), result_and_gradients(keras_own, images)):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("geometry", [(7, 3, (5, 5)), (64, 9, (5, 5)), (64, 3, (4, 5)), (None, 3, (5, 5))], ids=str)
def test_pixels_are_not_computed_together_where_that_gains_nothing_or_moves_the_image(geometry) -> None:
    assert not is_phased(*geometry, "float32")


@pytest.mark.parametrize("convolve", [banded_convolution.convolve, banded_convolution.convolve_transposed])
def test_gradients_are_finite_differences_and_have_gradients(convolve) -> None:
    images, kernel = tf.random.normal((2, 4, 4, 1), seed=1), tf.random.normal((3, 3, 1, 1), seed=2)
    # Asked once or twice for every number: in a graph.
    theoretical, numerical = tf.test.compute_gradient(tf.function(convolve, autograph=False), [images, kernel])
    for actual, expected in zip(theoretical, numerical):
        np.testing.assert_allclose(actual, expected, atol=1e-2)

    @tf.function(autograph=False)
    def first_gradient(images, kernel):
        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = tf.reduce_sum(convolve(images, kernel) ** 2)
        return tape.gradient(loss, images)

    theoretical, numerical = tf.test.compute_gradient(first_gradient, [images, kernel])
    for actual, expected in zip(theoretical, numerical):
        np.testing.assert_allclose(actual, expected, atol=5e-2)
    # And outside of one, of all numbers' sum.
    with tf.GradientTape() as tape:
        tape.watch([images, kernel])
        total = tf.reduce_sum(first_gradient.python_function(images, kernel))
    for actual, expected in zip(tape.gradient(total, [images, kernel]), theoretical):
        np.testing.assert_allclose(tf.reshape(actual, (-1,)), expected.sum(axis=0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("width", "channels", "filters", "dtype", "banded"),
    [
        (28, 1, 1, "float32", True),
        (LARGEST_WIDTH, MOST_CHANNELS, 1, "float32", True),
        (LARGEST_WIDTH + 1, 1, 1, "float32", False),
        (28, 1, MOST_CHANNELS + 1, "float32", False),
        (28, 3, 2, "float32", False),
        (28, 1, 1, "bfloat16", False),
        (None, 1, 1, "float32", False),
    ],
)
def test_rows_are_for_narrow_images_of_few_channels_in_float32(width, channels, filters, dtype, banded) -> None:
    assert is_banded(width, channels, filters, dtype) is banded


def test_xla_gets_the_plain_convolution() -> None:
    images = tf.random.normal((2, 8, 8, 1))
    ours, keras_own = layers(PAIRS[0], 3, 5, images)
    compiled = tf.function(ours, jit_compile=True)
    np.testing.assert_allclose(compiled(images), keras_own(images), atol=1e-5)


def test_sizes_that_are_known_only_at_run_time() -> None:
    layer = BandedConv2D(2, 5)
    layer(tf.zeros((1, 8, 8, 1)))
    signature = [tf.TensorSpec((None, None, 8, 1), tf.float32)]
    of_any_size = tf.function(layer, input_signature=signature)
    for shape in ((1, 3, 8, 1), (4, 8, 8, 1)):
        images = tf.random.normal(shape)
        np.testing.assert_allclose(of_any_size(images), layer(images), atol=1e-6)


@pytest.mark.parametrize("layer", [BandedConv2D, BandedConv2DTranspose])
@pytest.mark.parametrize(
    "options", [{"strides": 2}, {"dilation_rate": 2}, {"padding": "valid"}], ids=lambda options: next(iter(options))
)
def test_options_that_rows_cannot_have_are_refused(layer, options) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` has to be"):
        layer(1, 3, **options)


@pytest.mark.parametrize("layer", [BandedConv2D, BandedConv2DTranspose])
def test_configuration_round_trip(layer) -> None:
    config = keras.saving.serialize_keras_object(layer(3, (5, 3), activation="relu", use_bias=False))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is layer
    assert (again.filters, again.kernel_size, again.use_bias) == (3, (5, 3), False)
