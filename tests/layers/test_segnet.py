"""The layers in a user's model: a small SegNet (arXiv:1511.00561), whose encoder passes argmax to the decoder."""

import keras
import numpy as np
import pytest
from examples.segnet import segnet as example_segnet

from deconv_ae.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D

HEIGHT, WIDTH, CLASSES = 45, 37, 3


def segnet(**compile_arguments):
    """A SegNet of two encoder and two decoder blocks. It pools odd sizes by 2: 45x37 to 23x19, and 23x19 to 12x10."""
    keras.utils.set_random_seed(3)
    x = images = keras.Input((HEIGHT, WIDTH, 3))
    poolings = []
    for block, filters in enumerate((4, 8), start=1):
        x = features = convolution(x, filters)
        x, argmax = MaxPoolingWithArgmax2D(2, padding="same", name=f"pool{block}")(features)
        poolings.append((argmax, features))
    for block, filters in ((2, 4), (1, 4)):
        argmax, features = poolings.pop()
        x = MaxUnpooling2D(2, padding="same", name=f"unpool{block}")(x, argmax, like=features)
        x = convolution(x, filters)
    model = keras.Model(images, keras.layers.Conv2D(CLASSES, 1, activation="softmax")(x))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy", **compile_arguments)
    return model


def convolution(x, filters):
    x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    return keras.layers.ReLU()(keras.layers.BatchNormalization()(x))


def pictures(count):
    """Images of a bright and a dark disc on a noisy background, and the label of each pixel."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    images = rng.normal(0, 0.1, (count, HEIGHT, WIDTH, 3)).astype("float32")
    labels = np.zeros((count, HEIGHT, WIDTH), "int32")
    for label, brightness in ((1, 1.0), (2, -1.0)):
        centres = rng.uniform(8, 30, (2, count, 1, 1))
        disc = (rows - centres[0]) ** 2 + (columns - centres[1]) ** 2 < 49
        labels[disc] = label
        images[disc] += brightness
    return images, labels


@pytest.mark.parametrize("arguments", [{"jit_compile": True}, {"jit_compile": False}], ids=["XLA", "no XLA"])
def test_segnet_learns(arguments):
    images, labels = pictures(16)
    model = segnet(**arguments)
    history = model.fit(images, labels, batch_size=4, epochs=8, verbose=0).history
    assert history["loss"][-1] < 0.6 * history["loss"][0]
    assert model.output_shape == (None, HEIGHT, WIDTH, CLASSES)


def test_reloaded_segnet_continues_to_learn(tmp_path):
    images, labels = pictures(16)
    # The model runs eagerly, because tracing a graph would take longer than one or two steps.
    model = segnet(run_eagerly=True)
    model.fit(images, labels, batch_size=8, epochs=1, verbose=0)
    model.save(tmp_path / "segnet.keras")
    loaded = keras.saving.load_model(tmp_path / "segnet.keras")
    np.testing.assert_array_equal(loaded(images), model(images))
    loss_before = loaded.evaluate(images, labels, verbose=0)
    loaded.fit(images, labels, batch_size=8, epochs=1, verbose=0)
    assert loaded.evaluate(images, labels, verbose=0) < loss_before


def test_example_restores_odd_sizes_also_after_saving(tmp_path):
    model = example_segnet(CLASSES, size=(HEIGHT, WIDTH + 30), width=0.05)
    images = np.random.default_rng(0).random((2, HEIGHT, WIDTH + 30, 3), "float32")
    model.save(tmp_path / "segnet.keras")
    probabilities = model.predict(images, verbose=0)
    assert probabilities.shape == (2, HEIGHT, WIDTH + 30, CLASSES)
    reloaded = keras.models.load_model(tmp_path / "segnet.keras")
    np.testing.assert_allclose(reloaded.predict(images, verbose=0), probabilities, rtol=1e-4, atol=1e-6)
