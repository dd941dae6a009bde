"""Keras autoencoders for the benchmarks: this project's, a plain version, and the convolutions alone."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks import obvious_code
from deconv_ae.data import load_dataset
from deconv_ae.data.source import SAMPLE_NAME, Source
from deconv_ae.model.architecture import Architecture
from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.model.objective import PerImageRMSE, PerImageRMSELoss

Shape = tuple[int, int, int]
IMAGE_SHAPE: Shape = (28, 28, 1)
LEARNING_RATE = 1e-3
# PyTorch's default; Keras's default is 1e-7.
EPSILON = 1e-8


def digits(count: int) -> np.ndarray:
    """`(count, 28, 28, 1)` uint8 digits; the sample is repeated as often as needed."""
    sample = load_dataset(Source(SAMPLE_NAME)).train
    return np.resize(sample, (count, *IMAGE_SHAPE))


def pictures(count: int, image_shape: Shape) -> np.ndarray:
    """`(count, *image_shape)` uint8 pictures: digits for 28x28x1, else noise over coarse patches."""
    if image_shape == IMAGE_SHAPE:
        return digits(count)
    height, width, channels = image_shape
    rng = np.random.default_rng(0)
    patches = rng.integers(0, 200, (count, -(-height // 8), -(-width // 8), channels), np.uint8)
    smooth = patches.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
    return smooth + rng.integers(0, 56, smooth.shape, np.uint8)


def initial_weights(architecture: Architecture, image_shape: Shape = IMAGE_SHAPE) -> list[np.ndarray]:
    """The initial weights of all contestants, in the Keras model's order."""
    keras.utils.set_random_seed(0)
    return Autoencoder(architecture, image_shape).get_weights()


def compiled(model: keras.Model) -> keras.Model:
    """Compiles a model for `fit`, and returns it."""
    optimizer = keras.optimizers.Adam(LEARNING_RATE, epsilon=EPSILON)
    model.compile(optimizer, loss=PerImageRMSELoss(), metrics=[PerImageRMSE()])
    return model


class _ObviousPooling(keras.layers.Layer):
    def __init__(self, pool_size: tuple[int, int]) -> None:
        super().__init__()
        self.pool_size = pool_size

    def call(self, images):
        return obvious_code.max_pool(images, self.pool_size, self.pool_size)

    def compute_output_spec(self, images):
        shape = (images.shape[0], *(n // p for n, p in zip(images.shape[1:3], self.pool_size)), images.shape[3])
        return keras.KerasTensor(shape), keras.KerasTensor(shape, dtype="int64")


class _ObviousUnpooling(keras.layers.Layer):
    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def call(self, pooled, argmax):
        return obvious_code.max_unpool(pooled, argmax, self.size)

    def compute_output_spec(self, pooled, argmax):
        return keras.KerasTensor((pooled.shape[0], *self.size, pooled.shape[-1]))


def plain_autoencoder(architecture: Architecture, image_shape: Shape) -> keras.Model:
    """The same model as `Autoencoder`, made of Keras's own layers and the pooling and unpooling of obvious_code.py."""
    images = keras.Input(image_shape)
    values: Any = images
    stages = []
    for filters, pool_size in zip(architecture.filters, architecture.pool_sizes):
        input_shape = values.shape
        values = keras.layers.Conv2D(filters, architecture.kernel_size, padding="same", activation="relu")(values)
        values, argmax = _ObviousPooling(pool_size)(values)
        stages.append((input_shape, argmax))
    for input_shape, argmax in reversed(stages):
        values = _ObviousUnpooling(input_shape[1:3])(values, argmax)
        values = keras.layers.Conv2DTranspose(
            input_shape[-1], architecture.kernel_size, padding="same", use_bias=architecture.deconvolution_bias
        )(values)
    return keras.Model(images, values)


def convolutions_alone(architecture: Architecture, image_shape: Shape, batch_size: int, plain: bool) -> Any:
    """Makes a tf.function of a training step's convolutions, forward and backward, on constant activations.

    Args:
        architecture: the autoencoder's architecture.
        image_shape: (height, width, channels) of the training images.
        batch_size: the number of images in a step.
        plain: whether to use Keras's own layers instead of this project's.

    Returns:
        The function, without arguments.
    """
    model = (plain_autoencoder if plain else Autoencoder)(architecture, image_shape)
    rng = np.random.default_rng(0)
    layer_calls = []
    for layer in model.layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Conv2DTranspose)):
            layer.activation = None
            inputs, output_gradient = (
                tf.constant(rng.standard_normal((batch_size, *tensor.shape[1:]), "float32"))
                for tensor in (layer.input, layer.output)
            )
            layer_calls.append((layer, inputs, output_gradient))
    first_layer = layer_calls[0][0]

    @tf.function
    def step():
        results = []
        for layer, inputs, output_gradient in layer_calls:
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                result = layer(inputs)
            weights = [variable.value for variable in layer.trainable_weights]
            # Training does not need the gradient of the images.
            sources = weights if layer is first_layer else [inputs, *weights]
            gradients = tape.gradient(result, sources, output_gradient)
            # Return only one element of each result: TensorFlow computes the whole result, but does not copy it.
            results += [result[0, 0, 0, 0], *(tf.reshape(g, [-1])[0] for g in gradients)]
        return tf.add_n(results)

    return step


def losses(model: keras.Model, batches: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The losses of training steps on these batches."""
    values = []
    for batch in batches:
        model.reset_metrics()
        values.append(np.asarray(model.train_on_batch(batch, batch, return_dict=True)["loss"]))
    return values
