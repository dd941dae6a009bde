"""The layers on random geometries against an independent reference: plain loops over windows in NumPy."""

import functools
import math

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from deconv_ae import layers

# ------------------------------------------------------------------------------------------------- Reference


def window_spans(length, pool, stride, padding):
    """For every window along an axis: where it starts (may be negative), and its first and last+1 pixel."""
    if padding == "valid":
        starts = range(0, length - pool + 1, stride)
    else:
        count = math.ceil(length / stride)
        starts = [i * stride - max((count - 1) * stride + pool - length, 0) // 2 for i in range(count)]
    return [(start, max(start, 0), min(start + pool, length)) for start in starts]


def pool_reference(images, pool_size, strides, padding):
    """Maxima, argmax and switches, one window at a time; the first NaN is the maximum of its window."""
    batch, height, width, channels = images.shape
    rows = window_spans(height, pool_size[0], strides[0], padding)
    columns = window_spans(width, pool_size[1], strides[1], padding)
    shape = (batch, len(rows), len(columns), channels)
    pooled, argmax, switches = np.zeros(shape, images.dtype), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for n, i, j, c in np.ndindex(shape):
        (top, row_from, row_to), (left, column_from, column_to) = rows[i], columns[j]
        best = None
        for row in range(row_from, row_to):
            for column in range(column_from, column_to):
                value = images[n, row, column, c]
                if best is None or value > best or (np.isnan(value) and not np.isnan(best)):
                    best = value
                    argmax[n, i, j, c] = (row * width + column) * channels + c
                    switches[n, i, j, c] = (row - top) * pool_size[1] + (column - left)
        pooled[n, i, j, c] = best
    return pooled, argmax, switches


def unpool_reference(pooled, argmax, size):
    """Every value assigned to its position in row-major order, and which windows kept theirs."""
    batch, channels = pooled.shape[0], pooled.shape[-1]
    images = np.zeros((batch, size[0] * size[1] * channels), pooled.dtype)
    winner = {}
    for index in np.ndindex(pooled.shape):
        images[index[0], argmax[index]] = pooled[index]
        winner[index[0], argmax[index]] = index
    winners = np.zeros(pooled.shape, bool)
    for index in winner.values():
        winners[index] = True
    return images.reshape((batch, *size, channels)), winners


def take_reference(images, argmax):
    flat = images.reshape(len(images), -1)
    return np.stack([f[a] for f, a in zip(flat, argmax, strict=True)])


def scatter_add_reference(values, argmax, shape):
    images = np.zeros((shape[0], math.prod(shape[1:])), values.dtype)
    for image, value, position in zip(images, values, argmax, strict=True):
        np.add.at(image, position, value)
    return images.reshape(shape)


# ------------------------------------------------------------------------------------------------- Strategies


@st.composite
def poolings(draw):
    """Arguments of a pooling layer, and the shape of images that it can pool."""
    pool_size = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    strides = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    padding = draw(st.sampled_from(["valid", "same"]))
    smallest = pool_size if padding == "valid" else (1, 1)
    height, width = (draw(st.integers(n, n + 7)) for n in smallest)
    batch = draw(st.integers(1, 3))
    # On the CPU the implementation depends on the number of channels: fewer than 16, or more.
    channels = draw(st.sampled_from([1, 2, 3, 17]) if height * width < 40 else st.integers(1, 3))
    return pool_size, strides, padding, (batch, height, width, channels)


@st.composite
def image_values(draw, shape, dtype=np.float32):
    """Few different values, so that windows have ties, and now and then what is not finite."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images = rng.integers(-2, 4, shape).astype(dtype)
    special = draw(st.sampled_from([0, 0, 0.02, 0.5]))
    chosen = rng.random(shape) < special
    images[chosen] = rng.choice([np.nan, np.inf, -np.inf], chosen.sum())
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
def upstream_of(shape, dtype=np.float32):
    """A gradient to send back: all numbers different, so that none can be mistaken for another."""
    return (np.arange(1, math.prod(shape) + 1) % 1999).reshape(shape).astype(dtype)


@pytest.fixture(params=["kernels", "composed", "composed for a GPU"], scope="module", autouse=True)
def implementation(request):
    """What runs outside of XLA, and what XLA gets to compile, uncompiled here to try many shapes."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "kernels":
            patch.setattr(layers, "must_compose", lambda: True)
            patch.setattr(layers, "has_gpu", lambda: request.param == "composed for a GPU")
        yield request.param


# ------------------------------------------------------------------------------------------------- Properties


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
    upstream = upstream_of(tuple(pooled.shape)).astype(dtype) % 7
    gradient = tape.gradient(pooled, tensor, tf.constant(upstream))
    np.testing.assert_array_equal(gradient, scatter_add_reference(upstream, expected_argmax, shape))


@examples(55)
@hypothesis.given(data=st.data(), pooling=poolings())
def test_unpooling_what_was_pooled_equals_the_reference(data, pooling):
    pool_size, strides, padding, shape = pooling
    pooled, argmax, _ = pool_reference(data.draw(image_values(shape)), pool_size, strides, padding)
    # What is unpooled is rarely what was pooled: a decoder has been at it.
    pooled = data.draw(image_values(pooled.shape))
    layer = layers.MaxUnpooling2D(pool_size, strides, padding)
    positions = tf.constant(argmax)
    if data.draw(st.booleans()):
        # Positions that come straight from the pooling layer are not looked at again.
        positions = layers._with_windows(positions, layer._windows, shape[1:3])
    check_unpooling(layer, pooled, argmax, positions, shape)


@examples(40)
@hypothesis.given(data=st.data(), pooling=poolings())
def test_unpooling_to_any_positions_equals_the_reference(data, pooling):
    pool_size, strides, padding, shape = pooling
    layer = layers.MaxUnpooling2D(pool_size, strides, padding)
    pooled_shape = layers.MaxPoolingWithArgmax2D(pool_size, strides, padding).compute_output_shape(shape)[0]
    pooled = data.draw(image_values(pooled_shape))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    argmax = rng.integers(0, math.prod(shape[1:]), pooled_shape)
    check_unpooling(layer, pooled, argmax, tf.constant(argmax), shape)


def check_unpooling(layer, pooled, argmax, positions, shape):
    with tf.GradientTape() as tape:
        tensor = tf.constant(pooled)
        tape.watch(tensor)
        images = layer(tensor, positions, output_size=shape[1:3])
    expected, winners = unpool_reference(pooled, argmax, shape[1:3])
    np.testing.assert_array_equal(images, expected)
    assert layer.compute_output_shape(pooled.shape, output_size=shape[1:3]) == images.shape
    upstream = upstream_of(shape)
    gradient = tape.gradient(images, tensor, tf.constant(upstream))
    np.testing.assert_array_equal(gradient, np.where(winners, take_reference(upstream, argmax), 0))


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
    # Those that come straight from the pooling layer are not looked at, and take another way.
    known = layers._with_windows(tf.constant(argmax), layers._Windows(pool_size, strides, padding), shape[1:3])
    np.testing.assert_array_equal(layers.argmax_to_switches(known, **arguments), expected)
    # One image alone has the switches that it has in the batch.
    np.testing.assert_array_equal(layers.argmax_to_switches(argmax[-1:], **arguments), expected[-1:])
