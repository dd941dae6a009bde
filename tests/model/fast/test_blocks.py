"""A stage on blocks gives the same numbers, switches and gradients as the layers."""

import numpy as np
import pytest
import tensorflow as tf

from deconv_ae.model.fast import decode, encode
from deconv_ae.ops import argmax_to_switches, max_pool_with_argmax, max_unpool, switches_to_argmax

GEOMETRIES = {
    "digits, windows of four": ((28, 28, 1), 3, (4, 4), (5, 5)),
    "digits, windows of two": ((28, 28, 1), 1, (2, 2), (5, 5)),
    "colour": ((8, 12, 3), 4, (4, 4), (5, 5)),
    "second stage": ((14, 14, 5), 1, (2, 2), (5, 5)),
    "windows and kernel not square, the kernel's height even": ((7, 9, 2), 3, (2, 3), (4, 3)),
    "rows and columns left over": ((11, 10, 3), 2, (3, 4), (5, 5)),
    "more left over than the kernel reaches": ((23, 8, 1), 2, (8, 4), (2, 2)),
    "window of a single row": ((6, 5, 1), 2, (1, 5), (3, 6)),
    "window of a single pixel": ((5, 6, 2), 2, (1, 1), (5, 5)),
    "kernel of a single pixel": ((9, 9, 1), 1, (4, 4), (1, 1)),
    "kernel larger than the image": ((3, 4, 1), 2, (2, 2), (9, 8)),
    "one window covers the image": ((16, 16, 1), 1, (16, 16), (5, 5)),
}
"""(height, width, channels) of the images; filters; (height, width) of the windows; (height, width) of the kernel."""
RUNS = {
    "eager": lambda function: function,
    "graph": lambda function: tf.function(function, autograph=False),
    "XLA": lambda function: tf.function(function, autograph=False, jit_compile=True),
}


def encode_by_layers(images, pool_size, kernel, bias):
    convolved = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(images, kernel, 1, "SAME"), bias))
    pooled, argmax = max_pool_with_argmax(convolved, pool_size)
    return pooled, argmax_to_switches(argmax, tuple(images.shape[1:3]), pool_size)


def decode_by_layers(values, switches, pool_size, size, kernel, bias):
    unpooled = max_unpool(values, switches_to_argmax(switches, size, pool_size), pool_size, output_size=size)
    shape = tf.stack([tf.shape(values)[0], *size, kernel.shape[2]])
    images = tf.nn.conv2d_transpose(unpooled, kernel, shape, 1, "SAME")
    return images if bias is None else tf.nn.bias_add(images, bias)


def random_tensors(geometry, seed=0):
    """Returns images, then kernel and bias of the convolution, then those of the transposed convolution."""
    (height, width, channels), filters, _, kernel_size = geometry
    random = np.random.default_rng(seed)
    shapes = [
        (3, height, width, channels),
        (*kernel_size, channels, filters),
        (filters,),
        (*kernel_size, channels, filters),
        (channels,),
    ]
    return [tf.constant(random.normal(size=shape), tf.float32) for shape in shapes]


def stage(encode, decode, geometry):
    """Joins an encoder and its decoder into one function."""
    (height, width, _), _, pool_size, _ = geometry

    def reconstruct(images, kernel, bias, transposed_kernel, transposed_bias):
        pooled, switches = encode(images, pool_size, kernel, bias)
        decoded = decode(pooled, switches, pool_size, (height, width), transposed_kernel, transposed_bias)
        return pooled, switches, decoded

    return reconstruct


def with_gradients(reconstruct, geometry):
    weights = np.random.default_rng(1).normal(size=geometry[0]).astype("float32")

    def results(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            pooled, switches, images = reconstruct(*tensors)
            loss = tf.reduce_sum(images * weights) + tf.reduce_sum(pooled**2)
        return [pooled, switches, images, *tape.gradient(loss, tensors)]

    return results


def assert_near(actual_results, expected_results):
    for actual, expected in zip(actual_results, expected_results, strict=True):
        actual, expected = np.asarray(actual, "float64"), np.asarray(expected, "float64")
        tolerance = 1e-5 * max(np.abs(expected).max(initial=0), 1e-30)
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=tolerance)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_results_and_gradients_equal_those_of_layers(name, run):
    geometry = GEOMETRIES[name]
    inputs = random_tensors(geometry)
    by_layers = with_gradients(stage(encode_by_layers, decode_by_layers, geometry), geometry)(*inputs)
    by_blocks = RUNS[run](with_gradients(stage(encode, decode, geometry), geometry))(*inputs)
    assert by_blocks[1].dtype == tf.uint8
    assert_near(by_blocks, by_layers)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize(
    "case, images, bias",
    [
        ("all of a window equal", np.ones((2, 8, 8, 1)), 0.0),
        ("some of a window equal", np.arange(128).reshape(2, 8, 8, 1) % 3, 0.0),
        ("ReLU leaves only zeros", -np.ones((2, 8, 8, 1)), 0.0),
        ("the bias leaves only zeros", np.arange(128).reshape(2, 8, 8, 1) % 7, -1e6),
        ("the largest is exactly 0", -(np.arange(128).reshape(2, 8, 8, 1) % 5), 0.0),
        ("all are NaN", np.full((2, 8, 8, 1), np.nan), 0.0),
    ],
)
def test_ties_zeros_and_nans_give_the_results_of_layers(run, case, images, bias):
    images, kernel = tf.constant(images, tf.float32), tf.ones((1, 1, 1, 1))
    actual = RUNS[run](lambda: encode(images, (2, 4), kernel, tf.constant([bias])))()
    expected = encode_by_layers(images, (2, 4), kernel, tf.constant([bias]))
    for one, other in zip(actual, expected):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("run", ["eager", "graph"])
def test_nan_in_any_pixel_gives_the_result_of_layers(run):
    geometry = ((8, 9, 1), 2, (4, 4), (5, 3))
    _, *weights, _ = random_tensors(geometry)
    images = np.random.default_rng(2).normal(size=(72, 8, 9, 1)).astype("float32")
    for pixel, image in enumerate(images):
        image.ravel()[pixel] = np.nan
    actual = RUNS[run](stage(encode, decode, geometry))(tf.constant(images), *weights, None)
    expected = stage(encode_by_layers, decode_by_layers, geometry)(tf.constant(images), *weights, None)
    np.testing.assert_array_equal(actual[1], expected[1])
    for one, other in zip(actual, expected):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("run", RUNS)
def test_second_derivative_equals_that_of_layers(run):
    geometry = ((9, 8, 2), 2, (2, 3), (3, 4))
    inputs = random_tensors(geometry)

    def second_order(reconstruct):
        def results(*tensors):
            with tf.GradientTape() as outer:
                outer.watch(tensors)
                with tf.GradientTape() as inner:
                    inner.watch(tensors)
                    loss = tf.reduce_sum(reconstruct(*tensors)[2] ** 2)
                norm = tf.add_n([tf.reduce_sum(gradient**2) for gradient in inner.gradient(loss, tensors)])
            return outer.gradient(norm, tensors)

        return results

    by_layers = second_order(stage(encode_by_layers, decode_by_layers, geometry))(*inputs)
    assert_near(RUNS[run](second_order(stage(encode, decode, geometry)))(*inputs), by_layers)


def test_gradient_goes_to_the_first_of_equal_values():
    images = tf.ones((1, 2, 2, 1))
    with tf.GradientTape() as tape:
        tape.watch(images)
        pooled, _ = encode(images, (2, 2), tf.ones((1, 1, 1, 1)), tf.zeros(1))
    np.testing.assert_array_equal(tf.squeeze(tape.gradient(pooled, images)), [[1, 0], [0, 0]])


def test_jvp_agrees_with_the_gradient():
    geometry = GEOMETRIES["windows and kernel not square, the kernel's height even"]
    inputs, direction = random_tensors(geometry), random_tensors(geometry, seed=3)
    reconstruct = stage(encode, decode, geometry)
    with tf.autodiff.ForwardAccumulator(inputs, direction) as forward:
        loss = tf.reduce_sum(reconstruct(*inputs)[2] ** 2)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        same_loss = tf.reduce_sum(reconstruct(*inputs)[2] ** 2)
    backward = tf.add_n([tf.reduce_sum(g * d) for g, d in zip(tape.gradient(same_loss, inputs), direction)])
    np.testing.assert_allclose(forward.jvp(loss), backward, rtol=1e-4)


def test_export_takes_batches_of_any_size(tmp_path):
    geometry = GEOMETRIES["rows and columns left over"]
    images, *weights = random_tensors(geometry)
    module, reconstruct = tf.Module(), stage(encode, decode, geometry)
    module.reconstruct = tf.function(
        lambda images: reconstruct(images, *weights), [tf.TensorSpec((None, *geometry[0]))], autograph=False
    )
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    # The layers' results for all images are sliced to get the expected results for fewer. Called with 0 images,
    # TensorFlow's oneDNN convolution would return a tensor of the kernel's shape.
    by_layers = stage(encode_by_layers, decode_by_layers, geometry)(images, *weights)
    for count in (0, 1, 3):
        assert_near(loaded.reconstruct(images[:count]), [tensor[:count] for tensor in by_layers])
