"""The pooling and unpooling layers, compiled by XLA."""

import numpy as np
import pytest
import tensorflow as tf
from geometries import GEOMETRIES, pool_and_unpool, random_images
from numpy_reference import pool_reference, unpool_reference
from small_autoencoder import losses_of_training, small_autoencoder

from deconv_ae.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D

XLA_GEOMETRIES = [
    "rows and columns are left over",
    "windows overlap",
    "same, windows cut at both ends",
    "same, the stride leaves positions out",
    "a large window",
]


@pytest.mark.parametrize("name", XLA_GEOMETRIES)
def test_xla_gives_the_same_results_and_gradient(name):
    geometry = GEOMETRIES[name]
    run = pool_and_unpool(geometry)
    images = random_images((2, *geometry[0], 2))
    images[0, 0, 0, 0], images[0, -1, -1, 1], images[1, :, :, 1] = np.nan, np.inf, -np.inf
    images = tf.constant(images)
    upstream = tf.reshape(tf.range(tf.size(images, tf.float32)), images.shape)

    def forward_and_backward(images, upstream):
        with tf.GradientTape() as tape:
            tape.watch(images)
            pooled, argmax, restored = run(images)
        return pooled, argmax, restored, tape.gradient(restored, images, upstream)

    # No control flow depends on a tensor, and autograph would double the time to trace.
    compiled = tf.function(forward_and_backward, jit_compile=True, autograph=False)(images, upstream)
    for actual, expected in zip(compiled, forward_and_backward(images, upstream)):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("pool_size, strides", [(2, 2), (3, 2)], ids=["windows side by side", "windows overlap"])
def test_xla_keeps_first_nan_and_first_zero(pool_size, strides):
    values = np.float32([0.0, -0.0, -1.0, np.nan, np.inf, -np.inf])
    images = np.random.default_rng(0).choice(values, (64, 7, 7, 2), p=[0.4, 0.4, 0.05, 0.05, 0.05, 0.05])
    actual = tf.function(MaxPoolingWithArgmax2D(pool_size, strides), jit_compile=True)(tf.constant(images))
    expected = pool_reference(images, (pool_size, pool_size), (strides, strides), "valid")
    np.testing.assert_array_equal(actual[0], expected[0])
    np.testing.assert_array_equal(actual[1], expected[1])
    chosen = images.reshape(64, -1)[np.arange(64)[:, None], actual[1].numpy().reshape(64, -1)].reshape(actual[0].shape)
    np.testing.assert_array_equal(np.signbit(actual[0]), np.signbit(chosen))


@pytest.fixture(scope="module")
def losses_without_xla():
    return losses_of_training(small_autoencoder(jit_compile=False))


def test_training_with_xla_gives_the_same_losses(losses_without_xla):
    compiled = small_autoencoder(jit_compile=True)
    losses = losses_of_training(compiled)
    # Keras sets `jit_compile` to False if it gives up on XLA.
    assert compiled.jit_compile is True
    assert all(layer.supports_jit for layer in compiled.layers)
    np.testing.assert_allclose(losses, losses_without_xla, atol=1e-4)
    assert losses[-1] < losses[0]


def test_training_with_auto_jit_gives_the_same_losses(losses_without_xla):
    np.testing.assert_allclose(losses_of_training(small_autoencoder(jit_compile="auto")), losses_without_xla, atol=1e-4)


def test_xla_is_detected_in_functions_conditions_and_loops():
    run = pool_and_unpool(((6, 6), 2, 2, "valid"))
    images = tf.constant(random_images((2, 6, 6, 2)))
    inner = tf.function(run)
    expected = run(images)[2]

    @tf.function(jit_compile=True)
    def outer(images, condition):
        in_function = inner(images)[2]
        in_condition = tf.cond(condition, lambda: run(images)[2], lambda: images)
        in_loop = tf.while_loop(lambda i, _: i < 2, lambda i, y: (i + 1, run(y)[2]), (0, images))[1]
        return in_function, in_condition, in_loop

    for actual in outer(images, tf.constant(True)):
        np.testing.assert_array_equal(actual, expected)

    # `caller`, which is not compiled, calls a compiled function.
    compiled = tf.function(run, jit_compile=True)

    @tf.function
    def caller(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            restored = compiled(images)[2] + run(images)[2]
        return restored, tape.gradient(restored, images)

    restored, gradient = caller(images)
    np.testing.assert_array_equal(restored, 2 * expected)
    kept_count = unpool_reference(*(t.numpy() for t in run(images)[:2]), (6, 6))[1].sum()
    assert tf.reduce_sum(gradient) == 2 * kept_count


@pytest.mark.parametrize("position", [-1, 16, 2**63 - 1])
@pytest.mark.parametrize("pool_size, strides", [(2, 2), (3, 1)])
def test_xla_drops_values_with_positions_out_of_range(position, pool_size, strides):
    layer = MaxUnpooling2D(pool_size, strides)
    argmax = np.tile(np.array([0, 2, 8, 10]).reshape(1, 2, 2, 1), (2, 1, 1, 1))
    argmax[0, 1, 1], argmax[1, 0, 0] = position, position

    @tf.function(jit_compile=True, autograph=False)
    def unpool(values, argmax):
        with tf.GradientTape() as tape:
            tape.watch(values)
            images = layer(values, argmax, output_size=(4, 4))
        return images, tape.gradient(images, values)

    images, gradient = unpool(tf.ones((2, 2, 2, 1)), tf.constant(argmax))
    expected = np.zeros((2, 16), "float32")
    expected[0, [0, 2, 8]] = expected[1, [2, 8, 10]] = 1
    np.testing.assert_array_equal(tf.reshape(images, (2, 16)), expected)
    np.testing.assert_array_equal(gradient, argmax != position)
