"""Models exported inside of `portable`, run in other runtimes; and the SegNet example."""

import importlib.util

import keras
import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from examples.segnet import segnet

import deconv_ae
from deconv_ae.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D


def small_segnet(size):
    x = images = keras.Input((*size, 3))
    poolings = []
    for filters in (4, 8):
        features = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x, argmax = MaxPoolingWithArgmax2D(2, padding="same")(features)
        poolings.append((argmax, features))
    for filters in (4, 3):
        argmax, features = poolings.pop()
        x = keras.layers.Conv2D(filters, 3, padding="same")(MaxUnpooling2D(2, padding="same")(x, argmax, like=features))
    return keras.Model(images, x)


def run_in_onnx_runtime(file, images):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def run_in_litert(file, images):
    interpreter = Interpreter(model_path=str(file))  # This interpreter has only built-in operations.
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, images)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


keras_exports_litert = pytest.mark.skipif(
    importlib.util.find_spec("keras.src.export.litert") is None, reason="this version of Keras cannot export to LiteRT"
)


@pytest.mark.parametrize(
    "format_name, run, size",
    [
        ("onnx", run_in_onnx_runtime, (45, 37)),
        ("onnx", run_in_onnx_runtime, (None, None)),
        pytest.param("litert", run_in_litert, (45, 37), marks=keras_exports_litert),
        pytest.param("litert", run_in_litert, (None, None), marks=keras_exports_litert),
    ],
)
def test_exported_segnet_runs_in_other_runtimes(format_name, run, size, tmp_path):
    model = small_segnet(size)
    images = np.random.default_rng(0).random((2, 45, 37, 3), "float32")
    file = tmp_path / ("model.onnx" if format_name == "onnx" else "model.tflite")
    expected = model(images)  # Keras exports to ONNX only models that were called before.
    with deconv_ae.portable():
        model.export(file, format=format_name, verbose=False)
    np.testing.assert_allclose(run(file, images), expected, atol=1e-5)


def test_segnet_example_trains_with_finite_losses():
    model = segnet(classes=3, size=(32, 36), width=0.05)
    assert model.output_shape == (None, 32, 36, 3)
    # The model runs eagerly, because tracing its 27 convolutions takes longer than two steps.
    model.compile("adam", "sparse_categorical_crossentropy", run_eagerly=True)
    images = np.random.default_rng(0).random((2, 32, 36, 3), "float32")
    losses = model.fit(images, np.zeros((2, 32, 36), "int32"), epochs=2, verbose=0).history["loss"]
    assert np.all(np.isfinite(losses))
