"""Keras's convolutions, under the class names that saved models have."""

import keras


@keras.saving.register_keras_serializable(package="deconv_ae")
class BandedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` under the class name that saved `.keras` files have for this layer."""


@keras.saving.register_keras_serializable(package="deconv_ae")
class BandedConv2DTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose` under the class name that saved `.keras` files have for this layer."""
