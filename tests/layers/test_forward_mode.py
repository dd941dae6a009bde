"""Forward mode, `tf.autodiff.ForwardAccumulator`, through the layers on TensorFlow."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import deconv_ae

LAYERS = {
    1: (deconv_ae.MaxPoolingWithArgmax1D, deconv_ae.MaxUnpooling1D),
    2: (deconv_ae.MaxPoolingWithArgmax2D, deconv_ae.MaxUnpooling2D),
    3: (deconv_ae.MaxPoolingWithArgmax3D, deconv_ae.MaxUnpooling3D),
}
# Both of TensorFlow's ways of pooling: few channels are looked up.
SHAPES = {1: (2, 7, 17), 2: (2, 5, 6, 2), 3: (1, 3, 5, 4, 2)}


def jvp(function, images, tangents):
    with tf.autodiff.ForwardAccumulator(images, tangents) as accumulator:
        result = function(images)
    return accumulator.jvp(result)


def traced(function, **options):
    # What autograph would rewrite has no control flow by tensors: tracing would only take longer.
    return tf.function(function, autograph=False, **options)


def within_portable(function, images, tangents):
    with deconv_ae.portable():
        return jvp(function, images, tangents)


WAYS = {
    "eager": jvp,
    "around a function": lambda function, *both: jvp(traced(function), *both),
    "around a function of any size": lambda function, images, tangents: jvp(
        traced(function, input_signature=[tf.TensorSpec([None] * images.shape.rank, images.dtype)]),
        images,
        tangents,
    ),
    "inside of a function": lambda function, *both: traced(lambda *both: jvp(function, *both))(*both),
    "around XLA": lambda function, *both: jvp(traced(function, jit_compile=True), *both),
    "portable": within_portable,
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def pool_and_unpool(dimensions, data_format="channels_last", known=True):
    """sin of the maxima of overlapping windows, unpooled; by positions of known origin or not."""
    pooling, unpooling = (layer(3, 2, "same", data_format=data_format, dtype="float64") for layer in LAYERS[dimensions])

    def run(images):
        pooled, argmax = pooling(images)
        return unpooling(tf.sin(pooled), argmax if known else tf.identity(argmax), like=images)

    return run


def images_and_tangents(shape):
    rng = np.random.default_rng(0)
    # No two values are within the step of each other: every maximum stays where it is.
    return tf.constant(rng.permutation(np.prod(shape)).reshape(shape) / 10), tf.constant(rng.standard_normal(shape))


@functools.cache
def case(dimensions, data_format, shape, known=True):
    """A function, images and tangents, and what its tangents are by finite differences."""
    run, (images, tangents) = pool_and_unpool(dimensions, data_format, known), images_and_tangents(shape)
    return run, images, tangents, (run(images + 1e-5 * tangents) - run(images - 1e-5 * tangents)) / 2e-5


@ways
@pytest.mark.parametrize("dimensions, data_format", [(1, "channels_first"), (2, "channels_last"), (3, "channels_last")])
def test_tangents_are_finite_differences(way, dimensions, data_format):
    *arguments, expected = case(dimensions, data_format, SHAPES[dimensions])
    actual = way(*arguments)
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    assert np.count_nonzero(actual) > 10


@ways
def test_through_many_channels_and_positions_of_unknown_origin(way):
    *arguments, expected = case(2, "channels_last", (2, 5, 6, 17), known=False)
    np.testing.assert_allclose(way(*arguments), expected, atol=1e-6)


def test_second_order_in_every_order():
    run, (images, tangents) = pool_and_unpool(2), images_and_tangents((2, 5, 6, 2))

    def loss(images):
        return tf.reduce_sum(run(images) ** 2)

    def gradient(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            value = loss(images)
        return tape.gradient(value, images)

    with tf.GradientTape() as tape:
        tape.watch(images)
        slope = tf.reduce_sum(gradient(images) * tangents)
    expected = tape.gradient(slope, images)
    assert np.count_nonzero(expected) > 10
    np.testing.assert_allclose(jvp(gradient, images, tangents), expected)
    twice = jvp(lambda images: jvp(loss, images, tangents), images, tangents)
    np.testing.assert_allclose(twice, tf.reduce_sum(expected * tangents))
    with tf.GradientTape() as tape:
        tape.watch(images)
        slope = jvp(loss, images, tangents)
    np.testing.assert_allclose(tape.gradient(slope, images), expected)


def test_through_an_autoencoder_and_its_convolutions():
    keras.utils.set_random_seed(0)
    model = deconv_ae.Autoencoder(deconv_ae.Architecture((3, 1), (2, 2)), (8, 9, 1))
    images, tangents = tf.random.stateless_normal((2, 2, 8, 9, 1), (1, 2))
    # The product with a vector is the gradient of the other product, by the vector of that.
    with tf.GradientTape() as outer:
        upstream = tf.zeros_like(images)
        outer.watch(upstream)
        with tf.GradientTape() as inner:
            inner.watch(images)
            restored = model(images)
        gradient = inner.gradient(restored, images, upstream)
    expected = outer.gradient(gradient, upstream, tangents)
    assert np.count_nonzero(expected) > 10
    for way in ("around a function", "inside of a function"):
        np.testing.assert_allclose(WAYS[way](model, images, tangents), expected, atol=1e-6)
