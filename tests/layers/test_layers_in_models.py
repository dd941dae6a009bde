"""The layers in subclassed, sequential and functional models: saved, trained, and on several devices."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from faults.programs import run_program
from geometries import pool_and_unpool, random_images
from numpy_reference import pool_reference, unpool_reference
from small_autoencoder import small_autoencoder

from deconv_ae.layers import MaxPoolingWithArgmax2D, MaxPoolingWithArgmax3D, MaxUnpooling2D, MaxUnpooling3D


class Subclassed(keras.Model):
    """A model that passes the argmax from the pooling layer to the unpooling layer in its `call` method."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.convolution = keras.layers.Conv2D(2, 3, padding="same")
        self.pooling = MaxPoolingWithArgmax2D(2)
        self.unpooling = MaxUnpooling2D(2)

    def call(self, images):
        features = self.convolution(images)
        pooled, argmax = self.pooling(features)
        return self.unpooling(pooled, argmax, like=features)


class Stack(keras.layers.Layer):
    """`MaxPoolingWithArgmax2D` and `MaxUnpooling2D` as one layer, for `keras.Sequential`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.pooling = MaxPoolingWithArgmax2D(2)
        self.unpooling = MaxUnpooling2D(2)

    def call(self, images):
        return self.unpooling(*self.pooling(images), like=images)


@pytest.mark.parametrize(
    "build", [Subclassed, lambda: keras.Sequential([keras.layers.Conv2D(2, 3, padding="same"), Stack()])]
)
def test_subclassed_and_sequential_models_train_and_reload_weights(build, tmp_path):
    images = random_images((4, 7, 6, 1))
    model = build()
    model.compile("sgd", "mse")
    model.fit(images, np.repeat(images, 2, -1), verbose=0)
    model.save_weights(tmp_path / "model.weights.h5")
    other = build()
    assert not np.array_equal(other(images), model(images))
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other(images), model(images))


def test_videos_are_pooled_frame_by_frame():
    frames = tf.constant(random_images((2, 3, 5, 4, 2)))
    # Keras's TimeDistributed takes one layer with one result: `Stack` pools and unpools. The 3D layers need no wrapper.
    expected = np.stack([pool_and_unpool(((5, 4), 2, 2, "valid"))(frames[:, n])[2] for n in range(3)], axis=1)
    np.testing.assert_array_equal(keras.layers.TimeDistributed(Stack())(frames), expected)
    pooled, argmax = MaxPoolingWithArgmax3D((1, 2, 2))(frames)
    np.testing.assert_array_equal(MaxUnpooling3D((1, 2, 2))(pooled, argmax), expected)


def test_time_distributed_error_names_the_alternative():
    frames = keras.Input((5, 4, 4, 1))
    with pytest.raises(ValueError, match=r"TimeDistributed takes no layer with two results: .*Argmax3D\(\(1, 2, 2\)\)"):
        keras.layers.TimeDistributed(MaxPoolingWithArgmax2D(2))(frames)
    with pytest.raises(ValueError, match=r"one tensor only, .* MaxUnpooling3D\(\(1, 2, 2\)\)"):
        keras.layers.TimeDistributed(MaxUnpooling2D(2))(random_images((2, 5, 4, 4, 1)))


def test_functional_model_reloads_from_keras_file_and_saved_model(tmp_path):
    model = small_autoencoder()
    images = random_images((3, 11, 10, 1))
    expected = model(images)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(images), expected)
    model.export(tmp_path / "saved_model", verbose=False)
    served = tf.saved_model.load(tmp_path / "saved_model")
    np.testing.assert_allclose(served.serve(images), expected, atol=1e-6)
    np.testing.assert_allclose(served.serve(images[:1]), expected[:1], atol=1e-6)


def test_reloaded_saved_model_has_the_same_gradient(tmp_path):
    run = pool_and_unpool(((6, 6), 3, 2, "valid"))
    module = tf.Module()
    module.run = tf.function(lambda x: run(x)[2], input_signature=[tf.TensorSpec((None, 6, 6, 2))])
    tf.saved_model.save(module, tmp_path / "model")
    loaded = tf.saved_model.load(tmp_path / "model")
    images = tf.constant(random_images((3, 6, 6, 2)))

    def gradient_of(function):
        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = tf.reduce_sum(function(images) ** 2)
        return tape.gradient(loss, images)

    np.testing.assert_array_equal(gradient_of(loaded.run), gradient_of(module.run))


def test_other_batch_sizes_do_not_trace_again():
    run = tf.function(pool_and_unpool(((6, 6), 3, 2, "valid")), input_signature=[tf.TensorSpec((None, 6, 6, 2))])
    for batch in (1, 4, 3, 0, 7):
        images = random_images((batch, 6, 6, 2))
        p, a, _ = pool_reference(images, (3, 3), (2, 2), "valid")
        np.testing.assert_array_equal(run(images)[2], unpool_reference(p, a, (6, 6))[0])
    assert run.experimental_get_tracing_count() == 1

    traces = []

    class Traced(Stack):
        def call(self, images):
            traces.append(images.shape)
            return super().call(images)

    model = keras.Sequential([keras.Input((6, 6, 1)), Traced()])
    traces.clear()
    for batch in (4, 4, 3, 2):
        model.predict(random_images((batch, 6, 6, 1)), batch_size=4, verbose=0)
    assert len(traces) <= 2  # Keras traces once with a fixed batch size, and once without it.


def test_two_replicas_train_as_one(tmp_path):
    # The training has its own process, because TensorFlow can split a CPU into two devices only before it starts.
    program = Path(__file__).with_name("two_replicas_program.py")
    finished = run_program(str(program), [], tmp_path)
    assert finished.status == 0, finished.stderr
