"""Keras's convolutions, under the class names that saved models have."""

import keras


@keras.saving.register_keras_serializable(package="deconv_ae")
class BandedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`. A `.keras` file finds a layer's weights by the name of its class."""


@keras.saving.register_keras_serializable(package="deconv_ae")
class BandedConv2DTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose`."""
