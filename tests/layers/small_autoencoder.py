"""A small model with both layers, and its losses during training."""

import keras
import numpy as np

from deconv_ae.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D


def small_autoencoder(**compile_arguments):
    keras.utils.set_random_seed(7)
    images = keras.Input((11, 10, 1))
    features = keras.layers.Conv2D(3, 3, padding="same", activation="relu")(images)
    pooled, argmax = MaxPoolingWithArgmax2D(3, 2)(features)
    restored = MaxUnpooling2D(3, 2)(keras.layers.Conv2D(3, 3, padding="same")(pooled), argmax, like=features)
    model = keras.Model(images, keras.layers.Conv2DTranspose(1, 3, padding="same")(restored))
    model.compile(keras.optimizers.SGD(0.05), loss="mse", **compile_arguments)
    return model


def losses_of_training(model):
    images = np.random.default_rng(0).random((24, 11, 10, 1), "float32")
    return model.fit(images, images, batch_size=8, epochs=3, shuffle=False, verbose=0).history["loss"]
