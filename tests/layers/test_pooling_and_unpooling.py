"""What the docstrings of the layers for pooling, unpooling and switches promise."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from geometries import GEOMETRIES, pool_and_unpool, random_images
from numpy_reference import pool_reference, unpool_reference

from deconv_ae.layers import (
    ArgmaxToSwitches2D,
    MaxPoolingWithArgmax2D,
    MaxUnpooling2D,
    SwitchesToArgmax2D,
    argmax_to_switches,
    switches_to_argmax,
)
from deconv_ae.ops import checks, environment
from deconv_ae.ops.unpooling import max_unpool

CHANNELS = {"few channels": 3, "many channels": 17}
geometries = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
channel_counts = pytest.mark.parametrize("channels", CHANNELS.values(), ids=CHANNELS)
dtypes = pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])


def ops_of(function, *arguments):
    """The types of all operations in a function's graph, and in the functions that it calls."""
    # No Python `if` or loop depends on a tensor, and autograph would double the time to trace.
    graph = tf.function(function, autograph=False).get_concrete_function(*arguments).graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    return {node.op for node in nodes}


# ------------------------------------------------------------------------------------------------- Geometry


@geometries
@channel_counts
def test_pooling_equals_tensorflow_bit_for_bit(geometry, channels):
    size, pool_size, strides, padding = geometry
    images = random_images((2, *size, channels))
    pooled, argmax = MaxPoolingWithArgmax2D(pool_size, strides, padding)(images)
    expected = tf.nn.max_pool_with_argmax(images, pool_size, strides, padding.upper(), output_dtype=tf.int64)
    assert argmax.dtype == tf.int64
    np.testing.assert_array_equal(pooled, expected[0])
    np.testing.assert_array_equal(argmax, expected[1])


@geometries
@channel_counts
def test_signed_zeros_pool_as_in_tensorflow(geometry, channels):
    size, pool_size, strides, padding = geometry
    images = tf.constant(np.random.default_rng(0).choice(np.float32([0.0, -0.0, -1.0]), (2, *size, channels)))
    pooled, argmax = MaxPoolingWithArgmax2D(pool_size, strides, padding)(images)
    expected = tf.nn.max_pool_with_argmax(images, pool_size, strides, padding.upper())
    np.testing.assert_array_equal(argmax, expected[1])
    np.testing.assert_array_equal(np.signbit(pooled), np.signbit(expected[0]))


@geometries
def test_restored_values_and_symbolic_shapes_are_right(geometry):
    size, pool_size, strides, padding = geometry
    images = random_images((2, *size, 3))
    pooling, unpooling = (
        MaxPoolingWithArgmax2D(pool_size, strides, padding),
        MaxUnpooling2D(pool_size, strides, padding),
    )
    pooled, argmax = pooling(images)
    restored = unpooling(pooled, argmax, output_size=size)
    np.testing.assert_array_equal(restored, unpool_reference(pooled.numpy(), argmax.numpy(), size)[0])

    symbolic = pooling(keras.KerasTensor(images.shape))
    assert [(t.shape, t.dtype) for t in symbolic] == [(tuple(t.shape), t.dtype.name) for t in (pooled, argmax)]
    assert pooling.compute_output_shape(images.shape) == (pooled.shape, argmax.shape)
    assert unpooling(*symbolic, output_size=size).shape == restored.shape
    assert unpooling.compute_output_shape(pooled.shape, argmax.shape, output_size=size) == restored.shape
    assert unpooling.compute_output_shape(pooled.shape, like_shape=images.shape) == restored.shape


@geometries
def test_default_size_is_that_of_tensorflow_addons(geometry):
    _, pool_size, strides, padding = geometry
    pooling, unpooling = (
        MaxPoolingWithArgmax2D(pool_size, strides, padding),
        MaxUnpooling2D(pool_size, strides, padding),
    )
    _, height, width, _ = unpooling.compute_output_shape((None, 3, 4, 1))
    assert pooling.compute_output_shape((None, height, width, 1))[0][1:3] == (3, 4)
    axes = zip((3, 4), pool_size, strides)
    assert (height, width) == tuple(n * s if padding == "same" else (n - 1) * s + p for n, p, s in axes)
    pooled, argmax = pooling(random_images((1, height, width, 1)))
    # `tf.identity` returns the argmax without the image size that pooling attached to it.
    assert unpooling(pooled, tf.identity(argmax)).shape == (1, height, width, 1)


@pytest.mark.parametrize("padding, shape", [("valid", (45, 45)), ("same", (45, 37)), ("same", (44, 44))])
def test_unpooling_restores_the_size_before_pooling(padding, shape):
    images = np.random.default_rng(0).permutation(math.prod(shape)).reshape(1, *shape, 1).astype("float32") + 1
    pooling, unpooling = MaxPoolingWithArgmax2D(2, padding=padding), MaxUnpooling2D(2, padding=padding)

    def run(images):
        return unpooling(*pooling(images))

    for restored in (run(images), tf.function(run)(images), tf.function(run, jit_compile=True)(images)):
        np.testing.assert_array_equal(tf.where(restored != 0, images, 0), restored)
        assert np.count_nonzero(restored) == math.prod(pooling(images)[0].shape)
    inputs = keras.Input((*shape, 1))
    model = keras.Model(inputs, run(inputs))
    assert model.output_shape == (None, *shape, 1)
    np.testing.assert_array_equal(model(images), run(images))


def test_size_or_data_format_that_differs_from_pooling_is_refused():
    for images in (tf.ones((1, 45, 45, 1)), keras.Input((45, 45, 1))):
        pooled, argmax = MaxPoolingWithArgmax2D(2)(images)
        with pytest.raises(ValueError, match="images of width 45, and the given size has width 44"):
            MaxUnpooling2D(2)(pooled, argmax, output_size=(45, 44))
    with pytest.raises(ValueError, match="with data_format='channels_last'"):
        MaxUnpooling2D(2, data_format="channels_first")(pooled, argmax)


@pytest.mark.parametrize("size", [(28, 28), (29, 29), (28, 29)])
def test_sizes_that_pool_to_one_shape_are_distinguished(size):
    images = random_images((1, *size, 2))
    pooled, argmax = MaxPoolingWithArgmax2D(2)(images)
    assert pooled.shape == (1, 14, 14, 2)
    restored = MaxUnpooling2D(2)(pooled, argmax, output_size=size)
    np.testing.assert_array_equal(tf.where(restored != 0, images, 0), restored)
    assert np.count_nonzero(restored) == np.count_nonzero(pooled) > 0
    np.testing.assert_array_equal(MaxUnpooling2D(2)(pooled, argmax, output_size=tf.constant(size)), restored)


def test_error_about_a_wrong_size_lists_the_right_ones():
    pooled, argmax = MaxPoolingWithArgmax2D(3, 2)(random_images((1, 9, 9, 1)))
    with pytest.raises(ValueError, match=r"height 11 .* height 4.* height 9 to 10 do"):
        MaxUnpooling2D(3, 2)(pooled, argmax, output_size=(11, 9))
    with pytest.raises(ValueError, match=r"width 8 .* width 9 to 10 do"):
        symbolic = keras.KerasTensor((None, 4, 4, 1)), keras.KerasTensor((None, 4, 4, 1), "int64")
        MaxUnpooling2D(3, 2)(*symbolic, output_size=(9, 8))


def test_images_smaller_than_the_window_raise_an_error():
    with pytest.raises(ValueError, match=r"2x9 are smaller than .* pool_size=\(3, 3\)"):
        MaxPoolingWithArgmax2D(3)(np.zeros((1, 2, 9, 1), "float32"))


@pytest.mark.parametrize("value", [1.0, float("nan")], ids=["number", "NaN"])
def test_image_smaller_than_window_at_run_time_has_no_windows(value):
    pooling = MaxPoolingWithArgmax2D(3, 2)
    pool = tf.function(lambda images: pooling(images), input_signature=[tf.TensorSpec((None, None, None, 1))])
    pooled, argmax = pool(tf.fill((1, 2, 5, 1), value))
    assert pooled.shape == argmax.shape == (1, 0, 2, 1)


def test_height_and_width_may_be_unknown_until_run_time():
    images = keras.Input((None, None, 3))
    pooled, argmax = MaxPoolingWithArgmax2D((2, 3), (2, 2), "same")(images)
    outputs = MaxUnpooling2D((2, 3), (2, 2), "same")(pooled, argmax, like=images)
    model = keras.Model(images, outputs)
    assert outputs.shape == (None, None, None, 3)
    run = tf.function(model, input_signature=[tf.TensorSpec((None, None, None, 3))])
    for shape in [(1, 4, 6, 3), (3, 7, 5, 3), (2, 1, 1, 3)]:
        x = random_images(shape)
        p, a, _ = pool_reference(x, (2, 3), (2, 2), "same")
        expected, _ = unpool_reference(p, a, shape[1:3])
        np.testing.assert_array_equal(model(x), expected)
        np.testing.assert_array_equal(run(x), expected)
    assert run.experimental_get_tracing_count() == 1


def test_wrong_size_at_run_time_raises_at_run_time():
    @tf.function(input_signature=[tf.TensorSpec((1, None, None, 1)), tf.TensorSpec((1, None, None, 1))])
    def run(images, like):
        return MaxUnpooling2D(2)(*MaxPoolingWithArgmax2D(2)(images), like=like)

    assert run(tf.ones((1, 4, 4, 1)), tf.ones((1, 4, 4, 1))).shape == (1, 4, 4, 1)
    for height in (5, 6):
        with pytest.raises(tf.errors.InvalidArgumentError, match="another size than the given one"):
            run(tf.ones((1, 4, 4, 1)), tf.ones((1, height, 4, 1)))

    @tf.function(input_signature=[tf.TensorSpec((1, 2, 2, 1)), tf.TensorSpec((1, None, None, 1))])
    def unpool(pooled, like):
        return MaxUnpooling2D(2)(pooled, tf.zeros((1, 2, 2, 1), tf.int64), like=like)

    assert unpool(tf.ones((1, 2, 2, 1)), tf.ones((1, 5, 4, 1))).shape == (1, 5, 4, 1)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="the size of the images does not pool to the size of `argmax`"
    ):
        unpool(tf.ones((1, 2, 2, 1)), tf.ones((1, 6, 4, 1)))


# ------------------------------------------------------------------------------------------------- Duplicates


def test_last_value_at_shared_position_is_kept_and_gets_gradient():
    images = tf.constant([1.0, 9.0, 2.0, 0.0], shape=(1, 1, 4, 1))
    _, argmax = MaxPoolingWithArgmax2D((1, 2), 1)(images)
    np.testing.assert_array_equal(tf.squeeze(argmax), [1, 1, 2])
    values = tf.constant([5.0, 7.0, 3.0], shape=(1, 1, 3, 1))
    with tf.GradientTape() as tape:
        tape.watch(values)
        restored = MaxUnpooling2D((1, 2), 1)(values, argmax)
    np.testing.assert_array_equal(tf.squeeze(restored), [0, 7, 3, 0])
    gradient = tape.gradient(restored, values, tf.constant([10.0, 20, 30, 40], shape=(1, 1, 4, 1)))
    np.testing.assert_array_equal(tf.squeeze(gradient), [0, 20, 30])


@pytest.mark.parametrize("overwritten_value", [np.nan, np.inf, -np.inf])
def test_overwritten_nan_or_infinity_has_no_effect(overwritten_value):
    argmax = tf.ones((1, 1, 2, 1), tf.int64)
    values = tf.constant([overwritten_value, 7.0], shape=(1, 1, 2, 1))
    with tf.GradientTape() as tape:
        tape.watch(values)
        restored = MaxUnpooling2D((1, 2), 1)(values, argmax)
    np.testing.assert_array_equal(tf.squeeze(restored), [0, 7, 0])
    np.testing.assert_array_equal(tf.squeeze(tape.gradient(restored, values)), [0, 1])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_values_are_assigned_to_positions_outside_of_their_windows(jit_compile):
    # As in PyTorch, two values may have one position (12), and a position may be outside of its value's window
    # (12, 0, 5, 2).
    argmax = tf.constant([[12, 3], [0, 7], [12, 5], [2, 31]], tf.int64, shape=(1, 2, 2, 2))
    values = tf.reshape(tf.range(1.0, 9.0), (1, 2, 2, 2))

    @tf.function(jit_compile=jit_compile)
    def run(values, argmax):
        with tf.GradientTape() as tape:
            tape.watch(values)
            restored = MaxUnpooling2D(2)(values, argmax, output_size=(4, 4))
        return restored, tape.gradient(restored, values)

    restored, gradient = run(values, argmax)
    expected, is_kept = unpool_reference(values.numpy(), argmax.numpy(), (4, 4))
    np.testing.assert_array_equal(restored, expected)
    np.testing.assert_array_equal(gradient, is_kept)


def test_every_run_gives_the_same_bits():
    images = tf.random.stateless_uniform((8, 33, 31, 4), (1, 2))
    run = tf.function(pool_and_unpool(((33, 31), 5, 2, "same")))
    first = run(images)[2].numpy()
    for _ in range(5):
        assert run(images)[2].numpy().tobytes() == first.tobytes()


# ------------------------------------------------------------------------------------------------- Conventions


def distinct_images(batch):
    """Images of distinct values in two channels, and the results of the pooling layer."""
    images = np.random.default_rng(0).permutation(batch * 32).reshape(batch, 4, 4, 2).astype("float32") + 1
    pooled, argmax = MaxPoolingWithArgmax2D(2)(images)
    return images, pooled, argmax.numpy()


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize(
    "convention, message",
    [
        ("numbered through the batch, as in ONNX and, on request, TensorFlow", "count through the batch"),
        ("numbered in each channel, as in PyTorch", "as the indices of PyTorch have"),
    ],
)
def test_positions_of_other_conventions_raise_an_error(convention, message, in_graph):
    _, pooled, argmax = distinct_images(3)
    wrong_argmax = argmax + 32 * np.arange(3).reshape(3, 1, 1, 1) if "batch" in convention else argmax // 2
    layer = MaxUnpooling2D(2)
    run = tf.function(lambda values, argmax: layer(values, argmax)) if in_graph else layer
    with pytest.raises(tf.errors.InvalidArgumentError, match=message) as error:
        run(pooled, tf.constant(wrong_argmax))
    assert in_graph or "tf.Tensor" not in str(error.value).splitlines()[0]


@pytest.mark.parametrize(
    ("shape", "data_format", "advice"),
    [
        ((2, 4, 4, 5), "channels_last", r": add a 1x1 convolution with 5 filters\Z"),
        ((2, 5, 4, 3), "channels_first", r": add a 1x1 convolution with 5 filters\Z"),
        ((2, 5, 4, 3), "channels_last", r"needs one position\Z"),
        ((2, 5, 4, 5), "channels_last", r"needs one position\Z"),
        ((), "channels_last", r"needs one position\Z"),
    ],
)
def test_shape_error_suggests_a_convolution_if_only_channels_differ(shape, data_format, advice):
    with pytest.raises(ValueError, match=r"must have the shape of the pooled values, \(2, 4, 4, 3\); got .*" + advice):
        max_unpool(tf.zeros((2, 4, 4, 3)), tf.zeros(shape, tf.int64), 2, data_format=data_format)


def test_different_numbers_of_channels_raise_an_error():
    values, argmax = tf.zeros((2, 2, 2, 3)), tf.zeros((2, 2, 2, 2), tf.int64)
    for pair in ((values, argmax), (keras.KerasTensor(values.shape), keras.KerasTensor(argmax.shape, "int64"))):
        with pytest.raises(
            ValueError, match=r"must have the shape of the pooled values.* add a 1x1 convolution with 2 filters"
        ):
            MaxUnpooling2D(2)(*pair)
    unknown_shapes = [tf.TensorSpec((None, 2, 2, None)), tf.TensorSpec((None, 2, 2, None), tf.int64)]
    run = tf.function(lambda values, argmax: MaxUnpooling2D(2)(values, argmax), input_signature=unknown_shapes)
    with pytest.raises(tf.errors.InvalidArgumentError, match="are of different shapes"):
        run(values, argmax)


@pytest.mark.parametrize("window", [{"pool_size": 2}, {"pool_size": 3, "strides": 1}], ids=["apart", "overlapping"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_values_of_one_image_are_not_repeated_for_other_images(window, jit_compile):
    def run(values, images):
        return MaxUnpooling2D(**window)(values, MaxPoolingWithArgmax2D(**window)(images)[1])

    unknown_shapes = [tf.TensorSpec((None, 2, 2, 1)), tf.TensorSpec((None, 4, 4, 1))]
    traced = tf.function(run, input_signature=unknown_shapes, jit_compile=jit_compile)
    with pytest.raises(tf.errors.InvalidArgumentError):
        traced(tf.ones((1, 2, 2, 1)), tf.ones((2, 4, 4, 1)))


def test_values_and_positions_may_come_in_one_list():
    _, pooled, argmax = distinct_images(2)
    argmax = tf.constant(argmax)
    expected = MaxUnpooling2D()(pooled, argmax)
    np.testing.assert_array_equal(MaxUnpooling2D()([pooled, argmax]), expected)
    code, positions = keras.Input((2, 2, 2)), keras.Input((2, 2, 2), dtype="int64")
    model = keras.Model([code, positions], MaxUnpooling2D()([code, positions]))
    np.testing.assert_array_equal(model([pooled, argmax]), expected)


# ------------------------------------------------------------------------------------------------- Gradients


@pytest.mark.parametrize(
    "name", ["rows and columns are left over", "windows overlap", "same, windows cut at both ends"]
)
def test_gradients_equal_finite_differences(name):
    size, *arguments = GEOMETRIES[name]
    pooling = MaxPoolingWithArgmax2D(*arguments, dtype="float64")
    unpooling = MaxUnpooling2D(*arguments, dtype="float64")
    # The values differ by more than the steps below, so every maximum keeps its position.
    image = np.random.default_rng(1).permutation(size[0] * size[1] * 2).reshape(*size, 2) / 10.0
    weights = tf.random.stateless_normal(image.shape, (3, 4), dtype=tf.float64)

    def loss_per_image(images):
        pooled, argmax = pooling(images)
        return tf.reduce_sum(weights * unpooling(tf.sin(pooled), argmax, like=images) ** 2, axis=(1, 2, 3))

    images = tf.constant(image[None])
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = loss_per_image(images)
    # Added to the image, the steps give a batch of images with one changed value each.
    steps = 1e-4 * np.eye(image.size).reshape(-1, *image.shape)
    differences = (loss_per_image(image + steps) - loss_per_image(image - steps)) / 2e-4
    gradient = tape.gradient(loss, images)
    np.testing.assert_allclose(tf.reshape(gradient, (-1,)), differences, atol=1e-6)
    assert np.count_nonzero(gradient) > 10


def test_second_derivative_is_right():
    images = tf.constant(np.random.default_rng(1).permutation(49).reshape(1, 7, 7, 1), tf.float64) / 49
    run = pool_and_unpool(((7, 7), 3, 2, "valid"))
    with tf.GradientTape() as outer:
        outer.watch(images)
        with tf.GradientTape() as inner:
            inner.watch(images)
            loss = tf.reduce_sum(run(tf.cast(images, tf.float32))[2] ** 3)
        gradient = inner.gradient(loss, images)
    _, _, restored = run(tf.cast(images, tf.float32))
    # The restored images are x at the positions of the maxima, so at these positions the loss x^3 has the second
    # derivative 6x. Several windows may choose one position, but only one of them gets the gradient of the position.
    np.testing.assert_allclose(outer.gradient(gradient, images), 6 * restored, rtol=1e-6)


def test_like_has_no_gradient():
    images, like = tf.ones((1, 4, 4, 1)), tf.ones((1, 4, 4, 3))
    with tf.GradientTape() as tape:
        tape.watch(like)
        restored = MaxUnpooling2D(2)(*MaxPoolingWithArgmax2D(2)(images), like=like)
    assert tape.gradient(restored, like) is None


# ------------------------------------------------------------------------------------------------- Implementations


def test_tensorflow_kernels_pool_outside_of_xla():
    run = pool_and_unpool(((8, 8), 2, 2, "valid"))
    assert {"MaxPool", "MaxPoolGradGrad"} <= ops_of(run, tf.TensorSpec((None, 8, 8, 5)))
    assert "MaxPoolWithArgmax" in ops_of(run, tf.TensorSpec((None, 8, 8, 16)))
    assert "MaxPoolWithArgmax" in ops_of(run, tf.TensorSpec((None, None, 8, 5)))
    # MaxPoolGradGrad would return the positions, 0 to 319, in bfloat16, which cannot represent all of these numbers.
    assert "MaxPoolWithArgmax" in ops_of(
        lambda x: MaxPoolingWithArgmax2D(2, dtype="bfloat16")(x), tf.TensorSpec((None, 8, 8, 5), tf.bfloat16)
    )


def test_positions_beyond_exact_float32_are_right():
    images = np.zeros((1, 4100, 4100, 1), "float32")
    images[0, -1, -1], images[0, -1, -4] = 1, 1
    _, argmax = MaxPoolingWithArgmax2D(2)(images)
    assert argmax[0, -1, -1, 0] == 4100**2 - 1
    assert argmax[0, -1, -2, 0] == 4100**2 - 4


def test_deterministic_operations_use_no_atomic_additions_on_a_gpu(monkeypatch):
    run = pool_and_unpool(((8, 8), 3, 2, "valid"))
    images = tf.constant(random_images((2, 8, 8, 3)))
    expected = run(images)
    monkeypatch.setattr(environment.framework_config, "is_op_determinism_enabled", lambda: True)
    # On a GPU, MaxPoolGradWithArgmax uses atomic additions. On a CPU, it is deterministic.
    assert "MaxPoolGradWithArgmax" in ops_of(run, images)
    monkeypatch.setattr(environment, "has_gpu", lambda: True)
    assert "MaxPoolGradWithArgmax" not in ops_of(run, images)
    for actual, wanted in zip(run(images), expected):
        np.testing.assert_array_equal(actual, wanted)
    # For deterministic operations on a GPU, the layers use their implementation for XLA. Code that XLA compiles cannot
    # check positions. Here XLA compiles nothing, so wrong positions must raise an error.
    for call in (
        lambda: MaxUnpooling2D(2)(tf.zeros((1, 2, 2, 1)), tf.fill((1, 2, 2, 1), 99)),
        lambda: argmax_to_switches(tf.fill((1, 2, 2, 1), 99), (4, 4), 2),
        lambda: switches_to_argmax(tf.fill((1, 2, 2, 1), 9), (4, 4), 2),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError):
            call()


def test_positions_from_pooling_are_not_checked():
    ops_after_pooling = ops_of(pool_and_unpool(((8, 8), 3, 2, "valid")), tf.TensorSpec((None, 8, 8, 3)))
    assert "Assert" not in ops_after_pooling
    any_pair = tf.TensorSpec((None, 4, 4, 3)), tf.TensorSpec((None, 4, 4, 3), tf.int64)
    assert "Assert" in ops_of(MaxUnpooling2D(2), *any_pair)
    # Positions that were computed from an argmax are checked.
    _, argmax = MaxPoolingWithArgmax2D(2)(random_images((1, 8, 8, 3)))
    with pytest.raises(tf.errors.InvalidArgumentError):
        MaxUnpooling2D(2)(tf.zeros(argmax.shape), argmax + 1000)


@pytest.mark.parametrize("in_graph", [False, True])
def test_positions_that_fit_only_another_size_raise_an_error(in_graph):
    # Without the error, 5x5 images would be restored to 6x6, with values at wrong positions.
    # See TensorFlow issues 2169 and 10216.
    images = np.random.default_rng(0).permutation(25).reshape(1, 5, 5, 1).astype("float32")
    pooled, argmax = tf.nn.max_pool_with_argmax(images, 2, 2, "SAME")
    layer = MaxUnpooling2D(2, 2, "same")
    unpool = tf.function(lambda values, argmax: layer(values, argmax)) if in_graph else layer
    with pytest.raises(tf.errors.InvalidArgumentError, match="`output_size`, or a tensor of that size as `like`"):
        unpool(pooled, argmax)
    restored = layer(pooled, argmax, output_size=(5, 5))
    np.testing.assert_array_equal(tf.where(restored != 0, images, 0), restored)
    np.testing.assert_array_equal(layer(pooled, argmax, like=images), restored)


# ------------------------------------------------------------------------------------------------- dtypes


@dtypes
@channel_counts
def test_every_float_dtype_gives_the_right_results(dtype, channels):
    images = random_images((2, 9, 8, channels))
    pooled, argmax = MaxPoolingWithArgmax2D(3, 2, dtype=dtype)(images)
    restored = MaxUnpooling2D(3, 2, dtype=dtype)(pooled, argmax, like=images)
    assert (pooled.dtype, argmax.dtype, restored.dtype) == (dtype, tf.int64, dtype)
    expected_pooled, expected_argmax, _ = pool_reference(images, (3, 3), (2, 2), "valid")
    np.testing.assert_array_equal(tf.cast(pooled, tf.float32), expected_pooled)
    np.testing.assert_array_equal(argmax, expected_argmax)
    np.testing.assert_array_equal(
        tf.cast(restored, tf.float32), unpool_reference(expected_pooled, expected_argmax, (9, 8))[0]
    )


@pytest.mark.parametrize("policy, compute_dtype", [("mixed_float16", "float16"), ("mixed_bfloat16", "bfloat16")])
def test_mixed_precision_keeps_exact_positions(policy, compute_dtype):
    # float16 cannot represent numbers above 65,504, and bfloat16 cannot represent 257.
    images = random_images((1, 260, 260, 1))
    inputs = keras.Input((260, 260, 1))
    pooled, argmax = MaxPoolingWithArgmax2D(2, dtype=policy)(inputs)
    restored = MaxUnpooling2D(2, dtype=policy)(pooled, argmax, like=inputs)
    assert (pooled.dtype, argmax.dtype, restored.dtype) == (compute_dtype, "int64", compute_dtype)
    model = keras.Model(inputs, [pooled, argmax, restored])
    _, expected, _ = pool_reference(images, (2, 2), (2, 2), "valid")
    actual = model(images)
    assert [t.dtype.name for t in actual] == [compute_dtype, "int64", compute_dtype]
    np.testing.assert_array_equal(actual[1], expected)
    np.testing.assert_array_equal(tf.cast(actual[2], tf.float32), tf.where(actual[2] != 0, images, 0))


def test_integer_images_are_pooled_in_the_compute_dtype():
    images = np.arange(16, dtype="uint8").reshape(1, 4, 4, 1)
    pooled, argmax = MaxPoolingWithArgmax2D(2)(images)
    assert pooled.dtype == tf.float32
    np.testing.assert_array_equal(tf.squeeze(pooled), [[5, 7], [13, 15]])
    np.testing.assert_array_equal(pooled, tf.cast(argmax, tf.float32))


def test_argmax_may_be_of_any_integer_dtype():
    pooled, argmax = MaxPoolingWithArgmax2D(2)(random_images((1, 4, 4, 1)))
    expected = MaxUnpooling2D(2)(pooled, argmax)
    for dtype in ("int32", "uint8"):
        np.testing.assert_array_equal(MaxUnpooling2D(2)(pooled, tf.cast(argmax, dtype)), expected)


# ------------------------------------------------------------------------------------------------- Not finite


@dtypes
@pytest.mark.parametrize("channels", [1, 17])
@pytest.mark.parametrize("row, column", [(0, 0), (0, 1), (1, 1)])
def test_nan_is_restored_to_its_position(dtype, channels, row, column):
    images = random_images((1, 4, 4, channels))
    images[0, row, 2 + column, 0] = np.nan
    pooled, argmax = MaxPoolingWithArgmax2D(2, dtype=dtype)(images)
    restored = MaxUnpooling2D(2, dtype=dtype)(pooled, argmax)
    _, expected_argmax, _ = pool_reference(images, (2, 2), (2, 2), "valid")
    np.testing.assert_array_equal(argmax, expected_argmax)
    np.testing.assert_array_equal(np.isnan(restored.numpy().astype("float32")), np.isnan(images))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, np.finfo("float32").min, np.finfo("float32").max])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_windows_of_one_extreme_value_keep_first_position(value, padding):
    images = np.full((1, 5, 5, 2), value, "float32")
    pooled, argmax = MaxPoolingWithArgmax2D(3, 2, padding)(images)
    expected_pooled, expected_argmax, _ = pool_reference(images, (3, 3), (2, 2), padding)
    np.testing.assert_array_equal(pooled, expected_pooled)
    np.testing.assert_array_equal(argmax, expected_argmax)


@pytest.mark.parametrize(
    "convert", [np.uint64, lambda numbers: tf.constant(numbers, tf.uint64)], ids=["array", "tensor"]
)
def test_uint64_positions_are_accepted_if_they_fit_int64(convert):
    values = tf.ones((1, 1, 1, 1))
    restored = max_unpool(values, convert([[[[3]]]]), 2)
    np.testing.assert_array_equal(np.ravel(restored), [0, 0, 0, 1])
    with pytest.raises(ValueError, match="`argmax` is out of range: it has numbers that do not fit int64"):
        max_unpool(values, convert([[[[2**63]]]]), 2)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (MaxPoolingWithArgmax2D(2), "images"),
        (ArgmaxToSwitches2D(2, input_size=2), "argmax"),
        (SwitchesToArgmax2D(2, input_size=2), "switches"),
    ],
)
def test_error_about_too_wide_integers_names_the_layers_input(layer, name):
    with pytest.raises(ValueError, match=f"^`{name}` is out of range: it has numbers that do not fit int64"):
        layer(np.full((1, 2, 2, 1), 2**63, np.uint64))


@pytest.mark.parametrize("position", [-1, 16, 2**40, -(2**63), 2**63 - 1])
@pytest.mark.parametrize("in_graph", [False, True])
def test_position_out_of_range_raises_an_error_with_the_range(position, in_graph):
    # Only the first image has a position out of range. In memory, position 16 of the first image is in the second.
    argmax = np.tile(np.array([0, 2, 8, 10]).reshape(1, 2, 2, 1), (2, 1, 1, 1))
    argmax[0, 1, 1] = position
    layer = MaxUnpooling2D(2)
    unpool = tf.function(lambda values, argmax: layer(values, argmax)) if in_graph else layer
    with pytest.raises(tf.errors.InvalidArgumentError, match="out of range") as error:
        unpool(tf.ones((2, 2, 2, 1)), tf.constant(argmax))
    assert str(position) in str(error.value) and "16" in str(error.value)


def test_positions_beyond_int32_are_checked():
    layer = MaxUnpooling2D(2, strides=(30000, 20000))

    @tf.function(input_signature=[tf.TensorSpec((2,), tf.int32)])
    def check_positions(size):
        argmax = tf.fill((1, 2, 2, 1), tf.constant(2**31, tf.int64))
        return checks.checked_positions(argmax, tf.unstack(size), layer._windows)

    # Only the check runs, because the images would take 9.6 GB.
    assert check_positions([60000, 40000])[0, 0, 0, 0] == 2**31
    with pytest.raises(tf.errors.InvalidArgumentError, match="out of range"):
        check_positions([40000, 40000])


def test_empty_batch_keeps_its_shape():
    images = tf.zeros((0, 6, 6, 3))
    with tf.GradientTape() as tape:
        tape.watch(images)
        pooled, argmax, restored = pool_and_unpool(((6, 6), 3, 2, "valid"))(images)
    assert pooled.shape == argmax.shape == (0, 2, 2, 3)
    assert restored.shape == tape.gradient(restored, images).shape == images.shape
    # The layer does not check an argmax to which pooling attached its origin (the windows and the image size).
    # `tf.identity` returns the argmax without the origin.
    unpooled = MaxUnpooling2D(3, 2)(tf.identity(pooled), tf.identity(argmax), like=images)
    assert unpooled.shape == images.shape


# ------------------------------------------------------------------------------------------------- Switches


def test_window_of_256_positions_has_switches():
    images = tf.reshape(tf.range(512.0), (1, 16, 32, 1))
    _, argmax = MaxPoolingWithArgmax2D(16)(images)
    # The conversion does not check an argmax to which pooling attached its origin (the windows and the image size).
    # `tf.identity` returns the argmax without the origin.
    switches = argmax_to_switches(tf.identity(argmax), (16, 32), 16)
    np.testing.assert_array_equal(tf.squeeze(switches), [255, 255])
    np.testing.assert_array_equal(switches_to_argmax(tf.identity(switches), (16, 32), 16), argmax)


@pytest.mark.parametrize("convert", [argmax_to_switches, switches_to_argmax, ArgmaxToSwitches2D, SwitchesToArgmax2D])
def test_window_of_more_than_256_positions_raises_an_error(convert):
    arguments = (tf.zeros((1, 1, 1, 1), tf.int64),) if convert in (argmax_to_switches, switches_to_argmax) else ()
    with pytest.raises(ValueError, match=r"at most 256 positions; got pool_size=\(16, 17\)"):
        convert(*arguments, input_size=(16, 17), pool_size=(16, 17))


@pytest.mark.parametrize(
    "position", [4, 2, 16], ids=["below the image", "in the column outside of all windows", "far below the image"]
)
def test_converting_position_outside_of_its_window_raises_an_error(position):
    with pytest.raises(tf.errors.InvalidArgumentError, match="outside of the windows"):
        argmax_to_switches(tf.constant([[[[position]]]], tf.int64), (1, 3), (1, 2), (1, 2))


@pytest.mark.parametrize(
    "switch", [9, 255, 0], ids=["just beyond the window", "far beyond the window", "outside of the image"]
)
def test_switch_outside_of_window_or_image_raises_an_error(switch):
    with pytest.raises(tf.errors.InvalidArgumentError, match="outside of the window"):
        switches_to_argmax(tf.constant([[[[switch]]]], tf.uint8), (1, 1), 3, padding="same")


def test_switches_of_a_wrong_shape_raise_an_error():
    with pytest.raises(ValueError, match="height 9 do not pool to height 2"):
        switches_to_argmax(tf.zeros((1, 2, 2, 1), tf.uint8), (9, 4), 2)


def test_switches_convert_with_sizes_known_at_run_time():
    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 2))], autograph=False)
    def run(images):
        _, argmax = MaxPoolingWithArgmax2D(3, 2, "same")(images)
        size = tf.shape(images)[1:3]
        switches = argmax_to_switches(argmax, size, 3, 2, "same")
        return argmax, switches_to_argmax(switches, size, 3, 2, "same")

    for size in [(4, 5), (7, 7)]:
        np.testing.assert_array_equal(*run(random_images((2, *size, 2))))


def test_decoder_needs_only_the_code_and_the_switches(tmp_path):
    images = keras.Input((9, 7, 2))
    pooled, argmax = MaxPoolingWithArgmax2D(2, padding="same")(images)
    switches = ArgmaxToSwitches2D(2, padding="same", input_size=(9, 7))(argmax)
    encoder = keras.Model(images, [pooled, switches])
    code, switches_input = keras.Input((5, 4, 2)), keras.Input((5, 4, 2), dtype="uint8")
    positions = SwitchesToArgmax2D(2, padding="same", input_size=(9, 7))(switches_input)
    restored = MaxUnpooling2D(2, padding="same")(code, positions, output_size=(9, 7))
    decoder = keras.Model([code, switches_input], restored)
    assert [t.dtype for t in (switches, positions)] == ["uint8", "int64"]

    x = random_images((3, 9, 7, 2))
    p, a, _ = pool_reference(x, (2, 2), (2, 2), "same")
    expected, _ = unpool_reference(p, a, (9, 7))
    np.testing.assert_array_equal(decoder(encoder(x)), expected)
    np.testing.assert_array_equal(decoder.predict(encoder.predict(x, verbose=0), verbose=0), expected)
    for model, inputs in ((encoder, x), (decoder, encoder(x))):
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        for actual, wanted in zip(tf.nest.flatten(loaded(inputs)), tf.nest.flatten(model(inputs))):
            np.testing.assert_array_equal(actual, wanted)


# ------------------------------------------------------------------------------------------------- Keras

LAYERS = [MaxPoolingWithArgmax2D, MaxUnpooling2D, ArgmaxToSwitches2D, SwitchesToArgmax2D]
every_layer = pytest.mark.parametrize("layer_class", LAYERS)


def make_layer(layer_class, **arguments):
    size = {"input_size": (8, 8)} if layer_class in (ArgmaxToSwitches2D, SwitchesToArgmax2D) else {}
    return layer_class(**{"pool_size": 2, **size, **arguments})


@every_layer
@pytest.mark.parametrize("argument", ["pool_size", "strides"])
@pytest.mark.parametrize("value", [0, -1, (2, 0), (1, 2, 3), (), "2", 2.0, (2, None), True], ids=repr)
def test_sizes_must_be_positive_integers(layer_class, argument, value):
    with pytest.raises(ValueError, match=f"`{argument}` must be a positive integer or a pair .* got {argument}="):
        make_layer(layer_class, **{argument: value})


@every_layer
@pytest.mark.parametrize("value", ["full", None, 1, ("same", "valid")], ids=repr)
def test_padding_must_be_valid_or_same(layer_class, value):
    with pytest.raises(ValueError, match="`padding` must be 'valid' or 'same'; got padding="):
        make_layer(layer_class, padding=value)


@pytest.mark.parametrize("layer_class", [ArgmaxToSwitches2D, SwitchesToArgmax2D])
def test_conversions_require_input_size(layer_class):
    with pytest.raises(ValueError, match=r"`input_size` must be .* got input_size=None"):
        layer_class(2)


@every_layer
def test_data_format_defaults_to_that_of_keras(layer_class):
    keras.config.set_image_data_format("channels_first")
    try:
        assert make_layer(layer_class).data_format == "channels_first"
        assert layer_class.from_config(make_layer(layer_class).get_config()).data_format == "channels_first"
    finally:
        keras.config.set_image_data_format("channels_last")
    with pytest.raises(ValueError, match="`data_format` must be one of"):
        make_layer(layer_class, data_format="first")


def test_wrong_call_arguments_raise_an_error():
    values, argmax = tf.zeros((1, 4, 4, 2)), tf.zeros((1, 4, 4, 2), tf.int64)
    layer = MaxUnpooling2D(2)
    with pytest.raises(ValueError, match="not both"):
        layer(values, argmax, output_size=(8, 8), like=tf.zeros((1, 8, 8, 2)))
    with pytest.raises(ValueError, match="must be integers; got float32"):
        layer(values, values)
    with pytest.raises(ValueError, match="must have the shape of the pooled values"):
        layer(values, argmax[:, :3])
    with pytest.raises(ValueError, match="`output_size` must be"):
        layer(values, argmax, output_size=(8, -8))
    with pytest.raises(ValueError, match="`output_size` must be integers; got float32"):
        layer(values, argmax, output_size=tf.constant([8.0, 8.9]))
    with pytest.raises(ValueError, match=r"`like` must have the shape .*; got .*8, 8"):
        layer(values, argmax, like=tf.zeros((8, 8)))
    for convert in (argmax_to_switches, switches_to_argmax):
        with pytest.raises(ValueError, match="must be integers; got float32"):
            convert(values, (8, 8), 2)
        with pytest.raises(ValueError, match=r"`input_size` must be a positive integer \(length\)"):
            convert(argmax[0], (8, 8), 2)
    with pytest.raises(ValueError, match="for a size that is known only at run time, give `like=`"):
        layer(values, argmax, output_size=(None, None))
    with pytest.raises(ValueError, match="needs `argmax`"):
        layer(values)
    for any_layer, input_count in ((layer, 2), (MaxPoolingWithArgmax2D(2), 1)):
        with pytest.raises(
            ValueError, match=r"expected ndim=4|`pooled` must have the shape \(batch, height, width, channels\)"
        ):
            any_layer(*[tf.zeros((4, 4, 2))] * input_count)


@every_layer
def test_config_round_trips(layer_class):
    layer = make_layer(
        layer_class, pool_size=(3, 2), strides=np.int64(2), padding="SAME", name="given", dtype="mixed_float16"
    )
    config = layer.get_config()
    assert (config["pool_size"], config["strides"], config["padding"]) == ((3, 2), (2, 2), "same")
    assert layer_class.from_config(config).get_config() == config
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(restored) is layer_class and restored.get_config() == config
    assert keras.saving.get_registered_name(layer_class) == f"deconv_ae>{layer_class.__name__}"


def test_strides_default_to_the_pool_size():
    assert MaxPoolingWithArgmax2D((3, 2)).strides == (3, 2)
