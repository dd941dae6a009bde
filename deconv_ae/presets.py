"""The published settings and the recipes to train them with, as data, with the published numbers."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import keras

from deconv_ae.architecture import Architecture

CNTK_LEARNING_RATE_PER_SAMPLE = 0.00015
CNTK_MOMENTUM_TIME_CONSTANT = 600
CNTK_BATCH_SIZE = 64
CNTK_DECONVOLUTION_LIMIT_FACTOR = 0.001


@dataclass(frozen=True)
class Preset:
    """One of the original's settings, and the RMSE that its page gives, where it gives one."""

    title: str
    architecture: Architecture
    published_training_rmse: float | None = None
    published_test_rmse: float | None = None


PRESETS: dict[str, Preset] = {
    "cmap1_pool4": Preset("1 filter, pool 4x4", Architecture((1,), (4,)), 0.225, 0.223),
    "cmap3_pool4": Preset("3 filters, pool 4x4", Architecture((3,), (4,)), 0.196, 0.196),
    "cmap1_pool2": Preset("1 filter, pool 2x2", Architecture((1,), (2,)), 0.136, 0.131),
    "two_layer": Preset("two stages (5, 1), pool 2x2 twice", Architecture((5, 1), (2, 2))),
}


@dataclass(frozen=True)
class Recipe:
    """How to train: what decides the result besides the architecture, the images and the seed.

    Attributes:
        epochs: passes over the training images.
        batch_size: images a step, over all replicas together.
        optimizer: from (batch size, steps in the whole run, learning rate or None for the
            recipe's own) to a fresh Keras optimizer.
        convolution_initializer, deconvolution_initializer: fresh Keras initializers of the kernels.
    """

    epochs: int
    batch_size: int
    optimizer: Callable[[int, int, float | None], keras.Optimizer]
    convolution_initializer: Callable[[], keras.Initializer]
    deconvolution_initializer: Callable[[], keras.Initializer]


def cntk_optimizer(batch_size: int, total_steps: int, learning_rate: float | None = None) -> keras.Optimizer:
    """CNTK's momentum SGD in Keras's terms.

    CNTK takes its learning rate per sample, on a gradient summed over the minibatch, and its
    momentum as a time constant in samples; its momentum is unit-gain, the gradient entering the
    velocity times (1 - momentum), which Keras's is not.

    >>> optimizer = cntk_optimizer(batch_size=64, total_steps=1)
    >>> round(float(optimizer.learning_rate), 6), round(optimizer.momentum, 4)
    (0.000971, 0.8988)
    """
    del total_steps
    momentum = math.exp(-batch_size / CNTK_MOMENTUM_TIME_CONSTANT)
    if learning_rate is None:
        learning_rate = CNTK_LEARNING_RATE_PER_SAMPLE * batch_size * (1 - momentum)
    return keras.optimizers.SGD(learning_rate=learning_rate, momentum=momentum)


def cntk_deconvolution_initializer() -> keras.Initializer:
    """Glorot uniform with its limit times 0.001, CNTK's start for transposed convolutions."""
    return keras.initializers.VarianceScaling(CNTK_DECONVOLUTION_LIMIT_FACTOR**2, "fan_avg", "uniform")


def cosine_adam(batch_size: int, total_steps: int, learning_rate: float | None = None) -> keras.Optimizer:
    """Adam under a learning rate that falls to zero along a half cosine over the run."""
    del batch_size
    peak = 0.02 if learning_rate is None else learning_rate
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(peak, max(total_steps, 1)))


RECIPES: dict[str, Recipe] = {
    "cntk": Recipe(
        epochs=3,
        batch_size=CNTK_BATCH_SIZE,
        optimizer=cntk_optimizer,
        convolution_initializer=keras.initializers.GlorotUniform,
        deconvolution_initializer=cntk_deconvolution_initializer,
    ),
    "default": Recipe(
        epochs=3,
        batch_size=128,
        optimizer=cosine_adam,
        convolution_initializer=keras.initializers.GlorotUniform,
        deconvolution_initializer=cntk_deconvolution_initializer,
    ),
}
