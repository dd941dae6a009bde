"""Keras's convolutions by the names that saved models know."""

import keras


@keras.saving.register_keras_serializable(package="deconv_ae")
class BandedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`. The weights of a `.keras` file are found by the name of the layer's class."""


@keras.saving.register_keras_serializable(package="deconv_ae")
class BandedConv2DTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose`."""
