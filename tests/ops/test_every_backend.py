"""Max pooling and unpooling on TensorFlow, JAX or PyTorch, in one to three dimensions, compared with loops in NumPy.

`test_other_backends.py` runs this file on JAX and on PyTorch, without TensorFlow.
"""

import functools
import itertools
import math
import os

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st
from keras import ops

import deconv_ae
from deconv_ae.ops import argmax_to_switches, max_pool_with_argmax, max_unpool, switches_to_argmax

BACKEND = keras.backend.backend()
ARGMAX_DTYPE = "int32" if BACKEND == "jax" else "int64"

# ------------------------------------------------------------------------------------------------- Reference


def reference(images, pool_size, strides, padding):
    """Computes maxima, argmax and switches by the layers' docstrings, one window at a time, with channels last."""
    batch, *size, channels = images.shape
    spans = [spans_of(*axis, padding) for axis in zip(size, pool_size, strides)]
    shape = (batch, *map(len, spans), channels)
    pooled, argmax, switches = np.zeros(shape, images.dtype), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for index in np.ndindex(shape):
        n, *window, c = index
        best = None
        for position in itertools.product(*(range(*spans[d][w][1:]) for d, w in enumerate(window))):
            value = images[(n, *position, c)]
            if best is None or value > best or (np.isnan(value) and not np.isnan(best)):
                best = value
                argmax[index] = np.ravel_multi_index((*position, c), (*size, channels))
                offsets = [p - spans[d][w][0] for d, (p, w) in enumerate(zip(position, window))]
                switches[index] = np.ravel_multi_index(offsets, pool_size)
        pooled[index] = best
    return pooled, argmax, switches


def spans_of(length, pool, stride, padding):
    """For every window: its start, and the start and end of its part inside the image."""
    if padding == "valid":
        starts = range(0, length - pool + 1, stride)
    else:
        count = math.ceil(length / stride)
        starts = [n * stride - max((count - 1) * stride + pool - length, 0) // 2 for n in range(count)]
    return [(start, max(start, 0), min(start + pool, length)) for start in starts]


def unpooled(values, argmax, size):
    """Assigns each value to its position; if values share a position, the last one in row-major order wins.

    Returns the images, and whether each value is the winner at its position.
    """
    flat = np.zeros((len(values), math.prod(size) * values.shape[-1]), values.dtype)
    last_index = {}
    for index in np.ndindex(values.shape):
        flat[index[0], argmax[index]] = values[index]
        last_index[index[0], argmax[index]] = index
    is_winner = np.zeros(values.shape, bool)
    for index in last_index.values():
        is_winner[index] = True
    return flat.reshape(len(values), *size, values.shape[-1]), is_winner


def numbered_channels_first(argmax, size, channels):
    """Moves channels first, and renumbers the positions in the order of memory with channels first."""
    return np.moveaxis(argmax % channels * math.prod(size) + argmax // channels, -1, 1)


def value_gradient_and_auxiliary(function, array, upstream):
    """Runs, on the backend, a function that returns a value and an auxiliary tensor.

    Returns three arrays: the value; the gradient of `sum(value * upstream)` with respect to `array`; and the auxiliary
    tensor.
    """
    if BACKEND == "jax":
        import jax

        def all_three(x, upstream):
            value, pullback, auxiliary = jax.vjp(function, x, has_aux=True)
            return value, pullback(upstream)[0], auxiliary

        # Without jit, JAX would compile each operation separately, which takes longer.
        return tuple(map(np.asarray, jax.jit(all_three)(array, upstream)))
    if BACKEND == "torch":
        # Keras puts its tensors on the GPU if there is one.
        leaf, upstream = (ops.convert_to_tensor(each).clone() for each in (array, upstream))
        value, auxiliary = function(leaf.requires_grad_())
        value.backward(upstream)
        return tuple(map(ops.convert_to_numpy, (value, leaf.grad, auxiliary)))
    import tensorflow as tf

    tensor = tf.constant(array)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        value, auxiliary = function(tensor)
    return value.numpy(), tape.gradient(value, tensor, tf.constant(upstream)).numpy(), ops.convert_to_numpy(auxiliary)


def run(function, *arrays):
    """Runs a function. On JAX, compiles the whole function: compiling each operation would take longer."""
    if BACKEND == "jax":
        import jax

        function = jax.jit(function)
    return function(*map(ops.convert_to_tensor, arrays))


def needed_output_size(size):
    """Returns the `output_size` that unpooling needs: the size on PyTorch, else None.

    On TensorFlow and JAX, pooling attaches the size of its input to the argmax, and unpooling restores that size.
    """
    return size if BACKEND == "torch" else None


@functools.cache
def upstream_of(shape):
    """An upstream gradient of numbers that repeat only after 1,999, so that a wrong position gives a wrong gradient."""
    return (np.arange(1, math.prod(shape) + 1) % 1999).reshape(shape).astype("float32")


# ------------------------------------------------------------------------------------------------- Strategies


@st.composite
def poolings(draw):
    dimensions = draw(st.integers(1, 3))
    longest = {1: 9, 2: 5, 3: 3}[dimensions]
    lengths = st.lists(st.integers(1, longest), min_size=dimensions, max_size=dimensions).map(tuple)
    pool_size, strides, padding = draw(lengths), draw(lengths), draw(st.sampled_from(["valid", "same"]))
    if draw(st.booleans()):
        strides = pool_size
    size = tuple(draw(st.integers(pool if padding == "valid" else 1, pool + longest)) for pool in pool_size)
    shape = (draw(st.integers(1, 2)), *size, draw(st.sampled_from([1, 2, 3])))
    return {"pool_size": pool_size, "strides": strides, "padding": padding}, shape


@st.composite
def image_values(draw, shape):
    """Few different values, so that windows have ties; in some examples also NaN and infinities."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images = rng.integers(-2, 4, shape).astype("float32")
    is_special = rng.random(shape) < draw(st.sampled_from([0, 0, 0.02, 0.5]))
    images[is_special] = rng.choice(np.float32([np.nan, np.inf, -np.inf]), is_special.sum())
    return images


formats = st.sampled_from(["channels_last", "channels_first"])


def examples(count):
    # JAX takes longer, because it compiles in every example.
    return lambda test: hypothesis.settings(
        max_examples=count // 4 if BACKEND == "jax" else count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )(test)


# JAX's own implementation is composed of keras.ops, as the portable one is. So on JAX the tests run only JAX's own.
@pytest.fixture(params=["the backend's own", "portable"][: 1 if BACKEND == "jax" else 2], scope="module", autouse=True)
def implementation(request):
    if request.param == "portable":
        with deconv_ae.portable():
            yield
    else:
        yield


# ------------------------------------------------------------------------------------------------- Properties


@examples(40)
@hypothesis.given(data=st.data(), pooling=poolings(), data_format=formats)
def test_pooling_and_its_gradient_equal_the_reference(data, pooling, data_format):
    arguments, shape = pooling
    images = data.draw(image_values(shape))
    pooled, argmax, _ = reference(images, **arguments)
    upstream = upstream_of(pooled.shape)
    gradient = np.zeros((shape[0], math.prod(shape[1:])), "float32")
    for image, positions, values in zip(gradient, argmax, upstream):
        np.add.at(image, positions, values)
    arrays = [images, pooled, upstream, gradient.reshape(shape)]
    if data_format == "channels_first":
        argmax = numbered_channels_first(argmax, shape[1:-1], shape[-1])
        arrays = [np.moveaxis(array, -1, 1) for array in arrays]
    images, pooled, upstream, gradient = map(np.ascontiguousarray, arrays)

    actual = value_gradient_and_auxiliary(
        lambda x: max_pool_with_argmax(x, data_format=data_format, **arguments), images, upstream
    )
    np.testing.assert_array_equal(actual[0], pooled)
    np.testing.assert_array_equal(actual[1], gradient)
    np.testing.assert_array_equal(actual[2], argmax)
    assert actual[2].dtype == ARGMAX_DTYPE


@examples(40)
@hypothesis.given(data=st.data(), pooling=poolings(), data_format=formats, has_random_positions=st.booleans())
def test_unpooling_and_its_gradient_equal_the_reference(data, pooling, data_format, has_random_positions):
    arguments, shape = pooling
    images = data.draw(image_values(shape))
    size, channels = shape[1:-1], shape[-1]
    _, argmax, _ = reference(images, **arguments)
    if has_random_positions:
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
        argmax = rng.integers(0, math.prod(size), argmax.shape) * channels + np.arange(channels)
    # A decoder unpools other values than those that were pooled.
    values = data.draw(image_values(argmax.shape))
    restored, is_winner = unpooled(values, argmax, size)
    upstream = upstream_of(shape)
    flat_upstream, positions = (array.reshape(len(values), -1) for array in (upstream, argmax))
    upstream_at_positions = np.take_along_axis(flat_upstream, positions, 1).reshape(argmax.shape)
    arrays = [images, values, restored, upstream, np.where(is_winner, upstream_at_positions, 0)]
    if data_format == "channels_first":
        argmax = numbered_channels_first(argmax, size, channels)
        arrays = [np.moveaxis(array, -1, 1) for array in arrays]
    images, values, restored, upstream, gradient = map(np.ascontiguousarray, arrays)

    def unpool(values):
        if has_random_positions:
            positions, output_size = ops.convert_to_tensor(argmax, dtype=ARGMAX_DTYPE), size
        else:
            positions = max_pool_with_argmax(images, data_format=data_format, **arguments)[1]
            output_size = needed_output_size(size)
        return max_unpool(values, positions, output_size=output_size, data_format=data_format, **arguments), positions

    actual = value_gradient_and_auxiliary(unpool, values, upstream)
    np.testing.assert_array_equal(actual[0], restored)
    np.testing.assert_array_equal(actual[1], gradient)
    np.testing.assert_array_equal(actual[2], argmax)


@examples(25)
@hypothesis.given(data=st.data(), pooling=poolings(), data_format=formats)
def test_switches_and_argmax_convert_both_ways(data, pooling, data_format):
    arguments, shape = pooling
    _, argmax, switches = reference(data.draw(image_values(shape)), **arguments)
    if data_format == "channels_first":
        argmax = numbered_channels_first(argmax, shape[1:-1], shape[-1])
        switches = np.moveaxis(switches, -1, 1)
    arguments = {"input_size": shape[1:-1], "data_format": data_format, **arguments}
    actual = run(lambda x: argmax_to_switches(x, **arguments), argmax.astype(ARGMAX_DTYPE))
    assert keras.backend.standardize_dtype(actual.dtype) == "uint8"
    np.testing.assert_array_equal(ops.convert_to_numpy(actual), switches)
    converted_back = run(lambda x: switches_to_argmax(x, **arguments), switches.astype("uint8"))
    np.testing.assert_array_equal(ops.convert_to_numpy(converted_back), argmax)


# ------------------------------------------------------------------------------------------------- Layers and models

LAYERS = {
    1: (deconv_ae.MaxPoolingWithArgmax1D, deconv_ae.MaxUnpooling1D),
    2: (deconv_ae.MaxPoolingWithArgmax2D, deconv_ae.MaxUnpooling2D),
    3: (deconv_ae.MaxPoolingWithArgmax3D, deconv_ae.MaxUnpooling3D),
}


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_model_of_both_layers_trains_and_reloads(dimensions, data_format, tmp_path):
    if BACKEND == "tensorflow" and data_format == "channels_first":
        convolution = None  # On a CPU, TensorFlow has no convolution with channels first.
    else:
        convolution = getattr(keras.layers, f"Conv{dimensions}D")
    keras.utils.set_random_seed(0)
    pool, unpool = (layer(padding="same", data_format=data_format) for layer in LAYERS[dimensions])
    size = (5, 7, 3)[:dimensions]
    shape = (*size, 2) if data_format == "channels_last" else (2, *size)
    x = images = keras.Input(shape)
    x = (
        convolution(2, 3, padding="same", data_format=data_format)(x)
        if convolution
        else keras.layers.Dense(size[-1])(x)
    )
    pooled, argmax = pool(x)
    model = keras.Model(images, unpool(pooled, argmax, output_size=needed_output_size(size)))
    assert model.output_shape == (None, *shape)
    assert keras.backend.standardize_dtype(argmax.dtype) == ARGMAX_DTYPE
    batch = np.random.default_rng(0).random((6, *shape), "float32")
    model.compile("sgd", "mse")
    losses = model.fit(batch, batch, batch_size=3, epochs=2, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    actual, expected = run(lambda batch: (loaded(batch), model(batch)), batch)
    np.testing.assert_allclose(ops.convert_to_numpy(actual), ops.convert_to_numpy(expected), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_floating_point_types_equal_the_reference(dtype):
    if BACKEND == "jax" and dtype == "float64":
        pytest.skip("JAX has no float64 unless the whole program enables it")
    if BACKEND == "jax" and dtype == "float16" and "xla_cpu_max_isa=SSE4_2" in os.environ.get("XLA_FLAGS", ""):
        pytest.skip("XLA cannot compile float16 with xla_cpu_max_isa=SSE4_2: 'Failed to materialize symbols'")
    images = np.random.default_rng(0).integers(-3, 4, (2, 9, 8, 3)).astype("float32")
    pool, unpool = deconv_ae.MaxPoolingWithArgmax2D(3, 2, dtype=dtype), deconv_ae.MaxUnpooling2D(3, 2, dtype=dtype)

    def pool_and_restore(images):
        pooled, argmax = pool(images)
        return pooled, argmax, unpool(pooled, argmax, output_size=needed_output_size((9, 8)))

    pooled, argmax, restored = run(pool_and_restore, images)
    assert {keras.backend.standardize_dtype(tensor.dtype) for tensor in (pooled, restored)} == {dtype}
    values, positions, _ = reference(images, (3, 3), (2, 2), "valid")
    np.testing.assert_array_equal(ops.convert_to_numpy(argmax), positions)
    expected = unpooled(values, positions, (9, 8))[0]
    np.testing.assert_array_equal(ops.convert_to_numpy(ops.cast(restored, "float32")), expected)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_window_of_minus_infinity_keeps_first_position(dimensions, padding):
    # Images that are masked with -inf have such windows. On a GPU, PyTorch's own pooling of such a window is wrong if
    # the last axis has several channels.
    images = np.where(np.random.default_rng(0).random((2, *(9, 8, 7)[:dimensions], 3)) < 0.3, 1, -np.inf)
    arguments = {"pool_size": (2,) * dimensions, "strides": (2,) * dimensions, "padding": padding}
    images = images.astype("float32")
    pooled, argmax = run(lambda x: max_pool_with_argmax(x, **arguments), images)
    expected = reference(images, **arguments)
    assert np.isneginf(expected[0]).any()
    np.testing.assert_array_equal(ops.convert_to_numpy(pooled), expected[0])
    np.testing.assert_array_equal(ops.convert_to_numpy(argmax), expected[1])


def test_autoencoder_trains_and_its_halves_equal_the_whole():
    keras.utils.set_random_seed(0)
    model = deconv_ae.Autoencoder(deconv_ae.Architecture((3, 1), (2, 2)), (13, 14, 1))
    images = np.random.default_rng(0).random((8, 13, 14, 1), "float32")
    model.compile("adam", deconv_ae.PerImageRMSELoss(), metrics=[deconv_ae.PerImageRMSE()])
    history = model.fit(images, images, batch_size=4, epochs=3, verbose=0).history
    np.testing.assert_allclose(history["loss"], history["rmse"], rtol=1e-5)
    assert history["loss"][-1] < history["loss"][0]

    def run_halves_and_whole(images):
        encoded = model.encoder(images)
        return *encoded, model.decoder(encoded), model(images)

    *encoded, decoded, expected = map(ops.convert_to_numpy, run(run_halves_and_whole, images))
    assert [array.dtype.name for array in encoded] == ["float32", "uint8", "uint8"]
    np.testing.assert_allclose(decoded, expected, atol=1e-6)


@pytest.mark.skipif(BACKEND != "jax", reason="other backends have their own tests of export")
def test_model_exported_from_jax_runs_in_onnx_runtime(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("jax2onnx")
    images = keras.Input((9, 8, 2))
    pooled, argmax = deconv_ae.MaxPoolingWithArgmax2D(2)(images)
    model = keras.Model(images, [pooled, argmax, deconv_ae.MaxUnpooling2D(2)(pooled, argmax)])
    batch = np.random.default_rng(0).permutation(3 * 9 * 8 * 2).reshape(3, 9, 8, 2).astype("float32")
    expected = model(batch)
    model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for count in (1, 3):
        results = session.run(None, {session.get_inputs()[0].name: batch[:count]})
        for actual, wanted in zip(results, expected):
            np.testing.assert_array_equal(actual, wanted[:count])


def test_positions_out_of_range_or_in_other_channels_are_refused():
    argmax = ops.convert_to_tensor(np.array([0, 3, 99, 1]).reshape(1, 2, 2, 1), dtype=ARGMAX_DTYPE)
    with pytest.raises(Exception, match="`argmax` is out of range"):
        max_unpool(np.ones((1, 2, 2, 1), "float32"), argmax, 2)
    argmax = ops.convert_to_tensor(np.array([0, 0, 1, 1, 2, 2, 3, 3]).reshape(1, 2, 2, 2), dtype=ARGMAX_DTYPE)
    with pytest.raises(Exception, match="positions in other channels"):
        max_unpool(np.ones((1, 2, 2, 2), "float32"), argmax, 2)


@pytest.mark.parametrize(
    "unpool", [max_unpool, lambda values, argmax, size: deconv_ae.MaxUnpooling2D(size)(values, argmax)]
)
def test_position_beyond_32_bits_raises_an_error(unpool):
    argmax = np.array([2**32 + 10, 3, 9, 11]).reshape(1, 2, 2, 1)
    with pytest.raises(Exception, match="`argmax` is out of range"):
        unpool(np.ones((1, 2, 2, 1), "float32"), argmax, 2)
