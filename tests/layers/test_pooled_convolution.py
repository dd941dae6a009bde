"""A convolution and its pooling as one, in a graph, against the two one after the other, eagerly."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from deconv_ae.layers import (
    ArgmaxToSwitches2D,
    BandedConv2D,
    BandedConv2DTranspose,
    MaxPoolingWithArgmax2D,
    MaxUnpooling2D,
)
from deconv_ae.ops.provenance import SWITCHES, attached

# (height, width, channels, filters, kernel_size, pool_size): windows that are compared and windows that are looked up,
# convolved by windows and by rows, with odd, even and oblong kernels.
GEOMETRIES = [
    (8, 8, 1, 1, 5, 4),
    (8, 12, 1, 3, 5, 4),
    (8, 6, 1, 5, 5, 2),
    (8, 6, 1, 2, 5, 2),
    (6, 8, 5, 1, 3, 2),
    (8, 8, 3, 1, 5, (4, 2)),
    (6, 8, 1, 8, (4, 3), (3, 2)),
    (4, 4, 1, 8, 3, (1, 2)),
    (5, 5, 1, 2, 3, 1),
]
OPTIONS = {"ReLU and bias": {}, "no ReLU": {"activation": None}, "no bias": {"use_bias": False}}


def random_images(*shape: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).standard_normal(shape), tf.float32)


def layers(filters, kernel_size, pool_size, **options):
    options = {"activation": "relu", "bias_initializer": keras.initializers.Constant(-0.3), **options}
    convolution = BandedConv2D(filters, kernel_size, kernel_initializer=keras.initializers.HeNormal(seed=1), **options)
    return convolution, MaxPoolingWithArgmax2D(pool_size)


def traced(function):
    # What autograph would rewrite has no control flow by tensors: tracing would only take longer.
    return tf.function(function, autograph=False)


def results_and_gradients(convolution, pool, images):
    with tf.GradientTape() as tape:
        tape.watch(images)
        pooled, argmax = pool(convolution(images))
        loss = tf.reduce_sum(tf.sin(3.0 * pooled))
    is_one = attached(argmax, SWITCHES) is not None
    return is_one, (pooled, argmax, *tape.gradient(loss, [images, *convolution.trainable_weights]))


@functools.cache
def as_one(geometry, options="ReLU and bias"):
    """Both layers, and a function of images in a graph, traced once for all tests: results, gradients and switches."""
    height, width, channels, filters, kernel_size, pool_size = geometry
    convolution, pool = layers(filters, kernel_size, pool_size, **OPTIONS[options])
    convolution.build((None, height, width, channels))
    to_switches = ArgmaxToSwitches2D(pool_size, input_size=(height, width))

    @traced
    def function(images):
        is_one, results = results_and_gradients(convolution, pool, images)
        assert is_one
        return results, to_switches(results[1])

    return convolution, pool, function


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_as_one_it_gives_what_the_two_give_and_their_gradients(geometry, options) -> None:
    convolution, pool, function = as_one(geometry, options)
    images = random_images(3, *geometry[:3])
    is_one, expected = results_and_gradients(convolution, pool, images)
    assert not is_one
    for actual, wanted in zip(function(images)[0], expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_switches_are_those_of_the_argmax(geometry) -> None:
    convolution, pool, function = as_one(geometry)
    images = random_images(3, *geometry[:3])
    to_switches = ArgmaxToSwitches2D(geometry[-1], input_size=geometry[:2])
    np.testing.assert_array_equal(function(images)[1], to_switches(pool(convolution(images))[1]))


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_a_dead_window_and_one_of_nans_have_their_first_position_and_other_images_are_as_ever(geometry) -> None:
    convolution, pool, function = as_one(geometry)
    height, width, channels, filters, *_ = geometry
    images = random_images(3, height, width, channels)
    with_nans = tf.concat([images[:2], tf.fill((1, height, width, channels), np.nan)], 0)
    _, first = pool(tf.zeros((1, height, width, filters)))
    bias = tf.identity(convolution.bias)
    convolution.bias.assign(tf.fill(bias.shape, -99.0))
    results = [function(batch)[0] for batch in (images, with_nans)]
    convolution.bias.assign(bias)
    for pooled, argmax, *_ in results:
        np.testing.assert_array_equal(argmax, tf.repeat(first, 3, axis=0))
        np.testing.assert_array_equal(pooled[:2], tf.zeros_like(pooled[:2]))


@pytest.mark.parametrize(
    ("pool", "size"),
    [
        (MaxPoolingWithArgmax2D(3, strides=2), (9, 9)),
        (MaxPoolingWithArgmax2D(2), (9, 8)),
        (MaxPoolingWithArgmax2D(2, padding="same"), (9, 9)),
        (MaxPoolingWithArgmax2D((17, 16)), (17, 16)),
    ],
    ids=["overlapping", "rows left over", "padded", "more positions than uint8 has"],
)
def test_other_windows_are_pooled_after_the_convolution(pool, size) -> None:
    convolution, _ = layers(2, 3, 2)
    images = random_images(2, *size, 1)
    expected = pool(convolution(images))

    @traced
    def function(images):
        is_one, results = results_and_gradients(convolution, pool, images)
        assert not is_one
        return results

    for actual, wanted in zip(function(images), expected):
        np.testing.assert_allclose(actual, wanted, atol=1e-5)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_gradients_come_through_unpooling_and_a_transposed_convolution(geometry) -> None:
    height, width, channels, filters, kernel_size, pool_size = geometry
    convolution, pool = layers(filters, kernel_size, pool_size)
    unpool, deconvolution = MaxUnpooling2D(pool_size), BandedConv2DTranspose(channels, kernel_size)
    images = random_images(3, height, width, channels)

    def results_and_gradients(images):
        with tf.GradientTape() as tape:
            pooled, argmax = pool(convolution(images))
            restored = deconvolution(unpool(2.0 * pooled, argmax))
            loss = tf.reduce_sum(tf.sin(3.0 * restored))
        weights = [*convolution.trainable_weights, *deconvolution.trainable_weights]
        return restored, *tape.gradient(loss, weights)

    expected = results_and_gradients(images)
    for actual, wanted in zip(traced(results_and_gradients)(images), expected):
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-4)


def test_gradients_have_gradients() -> None:
    convolution, pool = layers(2, 3, 2, activation=None)
    convolution(tf.zeros((1, 4, 4, 1)))

    @traced
    def first_gradient(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = tf.reduce_sum(pool(convolution(images))[0] ** 3)
        return tape.gradient(loss, images)

    theoretical, numerical = tf.test.compute_gradient(first_gradient, [random_images(1, 4, 4, 1)], delta=1e-2)
    np.testing.assert_allclose(theoretical, numerical, atol=5e-2)
