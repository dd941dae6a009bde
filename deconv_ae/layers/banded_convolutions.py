"""Keras's convolutions, under the class names that saved models have."""

import keras


@keras.saving.register_keras_serializable(package="deconv_ae")
class BandedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` under another class name, by which saved `.keras` files find the layer's weights."""


@keras.saving.register_keras_serializable(package="deconv_ae")
class BandedConv2DTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose` under another class name, as `BandedConv2D`."""
