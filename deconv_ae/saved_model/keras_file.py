"""The Keras model beside a SavedModel."""

import zipfile
from pathlib import Path

import keras

from deconv_ae import paths
from deconv_ae.errors import InputError, first_line
from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.saved_model.model_card import KERAS_FILE, ModelCard
from deconv_ae.saved_model.serving import ServedAutoencoder


def load_keras_model(served: ServedAutoencoder) -> Autoencoder:
    """The Keras model beside a SavedModel. Raises as `read_keras_model`."""
    return read_keras_model(served.path, served.card)


def read_keras_model(directory: Path, card: ModelCard) -> Autoencoder:
    """The Keras model in an exported model's directory, not compiled.

    Raises:
        InputError: if it is missing, damaged, no autoencoder or not the card's.
    """
    file = directory / KERAS_FILE
    if not paths.is_file("model", file):
        raise InputError(f"model: {directory} has no {KERAS_FILE}; export the model anew with deconv-ae train")
    card.check_file(directory, KERAS_FILE)
    try:
        with zipfile.ZipFile(file) as archive:  # Of one that is cut short Keras says that there is no such file.
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"{damaged} does not match its checksum")
        model = keras.models.load_model(file, compile=False)
    except Exception as error:  # Keras lets the exceptions of zipfile, h5py and json through.
        raise InputError(f"model: {file} is damaged ({first_line(error)}); export the model anew") from error
    if not isinstance(model, Autoencoder):
        raise InputError(f"model: {file} holds a {type(model).__name__}, not an autoencoder; export the model anew")
    if (model.architecture, tuple(model.image_shape)) != (card.architecture, tuple(card.image_shape)):
        raise InputError(f"model: {file} is not the model of the card beside it; export the model anew")
    return model
