"""Variables, arrays and lists in place of tensors; the functions under tapes, XLA, forward mode and vectorized_map."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deconv_ae.layers import (
    ArgmaxToSwitches2D,
    MaxPoolingWithArgmax1D,
    MaxPoolingWithArgmax2D,
    MaxPoolingWithArgmax3D,
    MaxUnpooling1D,
    MaxUnpooling2D,
    MaxUnpooling3D,
    SwitchesToArgmax2D,
)
from deconv_ae.ops import argmax_to_switches, max_pool_with_argmax, max_unpool, switches_to_argmax

IMAGES = np.random.default_rng(0).permutation(2 * 6 * 7 * 2).reshape(2, 6, 7, 2).astype("float32")
POOLED, ARGMAX = (t.numpy() for t in max_pool_with_argmax(IMAGES, 3, 2, "same"))
SWITCHES = argmax_to_switches(ARGMAX, (6, 7), 3, 2, "same").numpy()

POOL, UNPOOL = MaxPoolingWithArgmax2D(3, 2, "same"), MaxUnpooling2D(3, 2, "same")
FUNCTIONS = {
    "max_pool_with_argmax": (IMAGES, lambda x: max_pool_with_argmax(x, 3, 2, "same")[0]),
    "MaxPoolingWithArgmax2D": (IMAGES, lambda x: POOL(x)[0]),
    "max_unpool": (POOLED, lambda x: max_unpool(x, ARGMAX, 3, 2, "same", output_size=(6, 7))),
    "MaxUnpooling2D": (POOLED, lambda x: UNPOOL(x, ARGMAX, output_size=(6, 7))),
    "side by side": (IMAGES, lambda x: max_unpool(*max_pool_with_argmax(x, 2), 2, like=x)),
}
every_function = pytest.mark.parametrize("values, function", FUNCTIONS.values(), ids=FUNCTIONS)
INTEGER_FUNCTIONS = {
    "argmax_to_switches": (ARGMAX, lambda x: argmax_to_switches(x, (6, 7), 3, 2, "same")),
    "ArgmaxToSwitches2D": (ARGMAX, ArgmaxToSwitches2D(3, 2, "same", input_size=(6, 7))),
    "switches_to_argmax": (SWITCHES, lambda x: switches_to_argmax(x, (6, 7), 3, 2, "same")),
    "SwitchesToArgmax2D": (SWITCHES, SwitchesToArgmax2D(3, 2, "same", input_size=(6, 7))),
    "max_unpool": (ARGMAX, lambda x: max_unpool(POOLED, x, 3, 2, "same", output_size=(6, 7))),
}


def gradient(function, watched):
    with tf.GradientTape() as tape:
        tape.watch(watched)
        loss = tf.reduce_sum(function(watched) ** 2)
    return tape.gradient(loss, watched)


def gradient_of_gradient(function, watched):
    with tf.GradientTape() as tape:
        tape.watch(watched)
        squared_gradient = tf.reduce_sum(gradient(function, watched) ** 2)
    return tape.gradient(squared_gradient, watched)


@every_function
@pytest.mark.parametrize("derivative", [gradient, gradient_of_gradient])
@pytest.mark.parametrize("mode", ["eager", "graph", "XLA"])
def test_variable_has_the_gradient_of_a_tensor(values, function, derivative, mode):
    expected = derivative(function, tf.constant(values))
    assert np.count_nonzero(expected) > 10
    variable = tf.Variable(values)

    def run():
        return derivative(function, variable)

    actual = run() if mode == "eager" else tf.function(run, autograph=False, jit_compile=mode == "XLA")()
    np.testing.assert_array_equal(actual, expected)


@every_function
@pytest.mark.parametrize("kind", [tf.Variable, keras.Variable, np.asarray, np.ndarray.tolist])
def test_variables_arrays_and_lists_equal_tensors(values, function, kind, request):
    if kind is np.ndarray.tolist and "2D" in request.node.name:
        pytest.skip("Keras accepts no list of numbers as a positional argument of a layer")
    np.testing.assert_array_equal(function(kind(values)), function(tf.constant(values)))


@pytest.mark.parametrize("values, function", INTEGER_FUNCTIONS.values(), ids=INTEGER_FUNCTIONS)
@pytest.mark.parametrize("in_graph", [False, True])
def test_positions_and_switches_may_be_variables(values, function, in_graph):
    variable = tf.Variable(values)
    actual = tf.function(lambda: function(variable), autograph=False)() if in_graph else function(variable)
    np.testing.assert_array_equal(actual, function(tf.constant(values)))


@every_function
def test_error_names_the_type_of_sparse_and_ragged_tensors(values, function):
    for tensor in (tf.sparse.from_dense(values), tf.RaggedTensor.from_tensor(values)):
        with pytest.raises(ValueError, match=rf"is a {type(tensor).__name__}; give a dense tensor"):
            function(tensor)


@every_function
def test_complex_numbers_and_text_are_refused(values, function):
    for tensor in (tf.complex(values, values), tf.strings.as_string(values)):
        with pytest.raises(ValueError, match="holds no real numbers: its type is"):
            function(tensor)


@pytest.mark.parametrize(
    "function", [max_pool_with_argmax, lambda x, size: max_unpool(x, x, size)], ids=["pooling", "unpooling"]
)
def test_symbolic_tensor_raises_an_error_that_suggests_the_layer(function):
    with pytest.raises(ValueError, match="is symbolic: call the layer"):
        function(keras.KerasTensor((1, 4, 4, 1)), 2)


@every_function
def test_forward_mode_is_right_or_raises_lookup_error(values, function):
    # ForwardAccumulator ignores tf.custom_gradient, so it differentiates the kernels. MaxPoolGradWithArgmax, the kernel
    # that unpools, has no registered gradient, so TensorFlow raises LookupError.
    images, tangents = tf.constant(values), tf.constant(np.cos(values))
    expected = (function(images + 1e-3 * tangents) - function(images - 1e-3 * tangents)) / 2e-3
    with tf.autodiff.ForwardAccumulator(images, tangents) as accumulator:
        try:
            result = function(images)
        except LookupError as error:
            assert "MaxPoolGradWithArgmax" in str(error)
            return
    np.testing.assert_allclose(accumulator.jvp(result), expected, atol=0.05)


@every_function
def test_vectorized_map_equals_a_loop(values, function):
    batch = tf.stack([values, values[::-1]])
    expected = [function(each) for each in batch]
    np.testing.assert_array_equal(tf.vectorized_map(function, batch), expected)


def test_vectorized_map_keeps_value_at_position_zero():
    images = np.zeros((1, 1, 7, 6, 1), "float32")
    images[0, 0, 0, 0, 0] = 9

    def round_trip(x):
        return max_unpool(*max_pool_with_argmax(x, 3, 2, "same"), 3, 2, "same", like=x)

    np.testing.assert_array_equal(tf.vectorized_map(round_trip, tf.constant(images)), images)


def test_version_1_graph_assigns_and_does_not_add():
    with tf.Graph().as_default():
        images = tf.constant([0.0, 0, 9, 0, 0], shape=(1, 5, 1))
        restored = max_unpool(*max_pool_with_argmax(images, 3, 2), 3, 2, like=images)
        with tf.compat.v1.Session() as session:
            np.testing.assert_array_equal(session.run(restored).ravel(), [0, 0, 9, 0, 0])


LAYERS = [
    *(layer(2) for layer in (MaxPoolingWithArgmax1D, MaxPoolingWithArgmax2D, MaxPoolingWithArgmax3D)),
    *(layer(2) for layer in (MaxUnpooling1D, MaxUnpooling2D, MaxUnpooling3D)),
    *(layer(2, input_size=4) for layer in (ArgmaxToSwitches2D, SwitchesToArgmax2D)),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_parameters_of_an_uncalled_layer_can_be_counted(layer):
    assert layer.count_params() == 0 == keras.layers.MaxPooling2D(2).count_params()
