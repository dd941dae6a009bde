"""Gradients with respect to the outputs of an autoencoder's layers, to the images and to the weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.model.presets import PRESETS

CASES = [
    (preset, f"{layer}{number}")
    for preset in PRESETS
    for number in range(1, len(PRESETS[preset].architecture.filters) + 1)
    for layer in ("conv", "pool", "unpool", "deconv")
]


@pytest.mark.parametrize("preset, name", CASES)
def test_every_layers_output_has_a_gradient(preset, name):
    keras.utils.set_random_seed(0)
    model = Autoencoder(PRESETS[preset].architecture, (28, 28, 1))
    output = model.get_layer(name).output
    inner_and_output = keras.Model(model.inputs, [output[0] if name.startswith("pool") else output, model.output])
    images = tf.constant(np.random.default_rng(0).random((2, 28, 28, 1), "float32"))

    def gradient(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            inner, reconstruction = inner_and_output(images)
            loss = tf.reduce_sum(reconstruction**2)
        return tape.gradient(loss, inner), reconstruction

    expected, reconstruction = gradient(images)
    assert np.count_nonzero(expected)
    np.testing.assert_allclose(reconstruction, model(images), atol=1e-5)
    for jit_compile in (False, True):
        actual, _ = tf.function(gradient, autograph=False, jit_compile=jit_compile)(images)
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_autoencoder_has_the_gradients_of_its_layers(preset, jit_compile):
    keras.utils.set_random_seed(0)
    model = Autoencoder(PRESETS[preset].architecture, (28, 28, 1))
    layers = keras.Model(model.inputs, model.outputs)
    # All pixels differ, so the largest values of a window are rarely almost equal.
    images = tf.constant(np.random.default_rng(0).permutation(3 * 784).reshape(3, 28, 28, 1) / 2352, tf.float32)

    def results(model_or_layers):
        def run(images):
            with tf.GradientTape() as tape:
                tape.watch(images)
                loss = tf.reduce_mean(model_or_layers(images) ** 2)
            return loss, *tape.gradient(loss, [images, *model.trainable_variables])

        return tf.function(run, autograph=False, jit_compile=jit_compile)(images)

    for actual, expected in zip(results(model), results(layers)):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)
