"""The layers with random windows, compared with an independent reference: plain loops over windows in NumPy."""

import functools
import math

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from numpy_reference import pool_reference, scatter_add_reference, take_reference, unpool_reference

from deconv_ae import layers
from deconv_ae.ops import environment
from deconv_ae.ops.origin import Origin, with_origin
from deconv_ae.ops.windows import Windows

# ------------------------------------------------------------------------------------------------- Strategies


@st.composite
def poolings(draw):
    """Draws the arguments of a pooling layer, and a shape of images that it can pool."""
    pool_size = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    # With strides of 1, there can be as many windows as pixels, an unusual case for TensorFlow's pooling kernels.
    strides = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)) | st.just((1, 1)))
    padding = draw(st.sampled_from(["valid", "same"]))
    smallest_size = pool_size if padding == "valid" else (1, 1)
    height, width = (draw(st.integers(n, n + 7)) for n in smallest_size)
    batch = draw(st.integers(1, 3))
    # On the CPU, the implementation for fewer than 16 channels differs from the one for 16 or more.
    channels = draw(st.sampled_from([1, 2, 3, 17]) if height * width < 40 else st.integers(1, 3))
    return pool_size, strides, padding, (batch, height, width, channels)


@st.composite
def image_values(draw, shape, dtype=np.float32):
    """Draws images of few different values, so that windows have ties. Some examples also have NaN and infinities."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images = rng.integers(-2, 4, shape).astype(dtype)
    special_share = draw(st.sampled_from([0, 0, 0.02, 0.5]))
    is_special = rng.random(shape) < special_share
    images[is_special] = rng.choice([np.nan, np.inf, -np.inf], is_special.sum())
    return images


def examples(count):
    return lambda test: hypothesis.settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )(test)


@functools.cache
def upstream_gradient(shape):
    """Returns an upstream gradient with up to 1,999 different numbers, so that a wrong position changes a result."""
    return (np.arange(1, math.prod(shape) + 1) % 1999).reshape(shape).astype(np.float32)


@pytest.fixture(params=["kernels", "composed", "composed for a GPU"], scope="module")
def implementation(request):
    """Makes the layers run TensorFlow's pooling kernels, or the operations that replace the kernels under XLA.

    XLA does not compile those operations here, because that would take long for many shapes.
    """
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "kernels":
            patch.setattr(environment, "runtime", lambda _: environment.XLA)
            patch.setattr(environment, "has_gpu", lambda: request.param == "composed for a GPU")
        yield request.param


on_every_implementation = pytest.mark.usefixtures("implementation")

# ------------------------------------------------------------------------------------------------- Properties


@on_every_implementation
@examples(55)
@hypothesis.given(data=st.data(), pooling=poolings())
def test_pooling_equals_the_reference(data, pooling):
    pool_size, strides, padding, shape = pooling
    dtype = data.draw(st.sampled_from([np.float32, np.float32, np.float64, np.float16]))
    images = data.draw(image_values(shape, dtype))
    layer = layers.MaxPoolingWithArgmax2D(pool_size, strides, padding, dtype=np.dtype(dtype).name)
    with tf.GradientTape() as tape:
        tensor = tf.constant(images)
        tape.watch(tensor)
        pooled, argmax = layer(tensor)
    expected_pooled, expected_argmax, _ = pool_reference(images, pool_size, strides, padding)
    np.testing.assert_array_equal(pooled, expected_pooled)
    np.testing.assert_array_equal(argmax, expected_argmax)
    assert layer.compute_output_shape(shape) == (pooled.shape, argmax.shape)
    # The numbers are small, because their sums must be exact in float16.
    upstream = upstream_gradient(tuple(pooled.shape)).astype(dtype) % 7
    gradient = tape.gradient(pooled, tensor, tf.constant(upstream))
    np.testing.assert_array_equal(gradient, scatter_add_reference(upstream, expected_argmax, shape))


@on_every_implementation
@examples(10)
@hypothesis.given(data=st.data(), pooling=poolings())
def test_graph_for_any_batch_size_equals_the_reference(data, pooling):
    # In a graph, unlike in eager mode, TensorFlow's kernels may overwrite a tensor that no other operation reads. `fit`
    # and the signatures of a SavedModel run such graphs.
    pool_size, strides, padding, shape = pooling
    images = data.draw(image_values(shape))
    pool, unpool = (
        make(pool_size, strides, padding) for make in (layers.MaxPoolingWithArgmax2D, layers.MaxUnpooling2D)
    )

    @tf.function(input_signature=[tf.TensorSpec((None, *shape[1:]))], autograph=False)
    def round_trip(images):
        pooled, argmax = pool(images)
        return pooled, argmax, unpool(pooled, argmax)

    pooled, argmax, _ = pool_reference(images, pool_size, strides, padding)
    restored, _ = unpool_reference(pooled, argmax, shape[1:3])
    for actual, expected in zip(round_trip(tf.constant(images)), (pooled, argmax, restored)):
        np.testing.assert_array_equal(actual, expected)


@on_every_implementation
@examples(55)
@hypothesis.given(data=st.data(), pooling=poolings())
def test_unpooling_of_pooled_positions_equals_the_reference(data, pooling):
    pool_size, strides, padding, shape = pooling
    pooled, argmax, _ = pool_reference(data.draw(image_values(shape)), pool_size, strides, padding)
    # A decoder unpools other values than those that were pooled.
    pooled = data.draw(image_values(pooled.shape))
    layer = layers.MaxUnpooling2D(pool_size, strides, padding)
    argmax_tensor = tf.constant(argmax)
    if data.draw(st.booleans()):
        # If the origin of an argmax (its windows and image size) is known, unpooling does not check the positions.
        argmax_tensor = with_origin(argmax_tensor, Origin(layer._windows, shape[1:3]))
    check_unpooling(layer, pooled, argmax, argmax_tensor, shape)


@on_every_implementation
@examples(40)
@hypothesis.given(data=st.data(), pooling=poolings())
def test_unpooling_to_any_position_equals_the_reference(data, pooling):
    pool_size, strides, padding, shape = pooling
    layer = layers.MaxUnpooling2D(pool_size, strides, padding)
    pooled_shape = layers.MaxPoolingWithArgmax2D(pool_size, strides, padding).compute_output_shape(shape)[0]
    pooled = data.draw(image_values(pooled_shape))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    argmax = rng.integers(0, math.prod(shape[1:3]), pooled_shape) * shape[-1] + np.arange(shape[-1])
    check_unpooling(layer, pooled, argmax, tf.constant(argmax), shape)


def check_unpooling(layer, pooled, argmax, argmax_tensor, shape):
    with tf.GradientTape() as tape:
        pooled_tensor = tf.constant(pooled)
        tape.watch(pooled_tensor)
        images = layer(pooled_tensor, argmax_tensor, output_size=shape[1:3])
    expected, is_kept = unpool_reference(pooled, argmax, shape[1:3])
    np.testing.assert_array_equal(images, expected)
    assert layer.compute_output_shape(pooled.shape, output_size=shape[1:3]) == images.shape
    upstream = upstream_gradient(shape)
    gradient = tape.gradient(images, pooled_tensor, tf.constant(upstream))
    np.testing.assert_array_equal(gradient, np.where(is_kept, take_reference(upstream, argmax), 0))


@examples(40)
@hypothesis.given(data=st.data(), pooling=poolings())
def test_argmax_and_switches_convert_both_ways(data, pooling):
    pool_size, strides, padding, shape = pooling
    images = data.draw(image_values(shape))
    _, argmax, expected = pool_reference(images, pool_size, strides, padding)
    arguments = {"input_size": shape[1:3], "pool_size": pool_size, "strides": strides, "padding": padding}
    switches = layers.argmax_to_switches(argmax, **arguments)
    assert switches.dtype == tf.uint8
    np.testing.assert_array_equal(switches, expected)
    np.testing.assert_array_equal(layers.switches_to_argmax(switches.numpy(), **arguments), argmax)
    # If the origin of an argmax (its windows and image size) is known, the conversion does not check the positions.
    origin = Origin(Windows.from_arguments(pool_size, strides, padding), shape[1:3])
    argmax_with_origin = with_origin(tf.constant(argmax), origin)
    np.testing.assert_array_equal(layers.argmax_to_switches(argmax_with_origin, **arguments), expected)
    # One image alone has the switches that it has in the batch.
    np.testing.assert_array_equal(layers.argmax_to_switches(argmax[-1:], **arguments), expected[-1:])
