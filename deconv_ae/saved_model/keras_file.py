"""Reads the Keras model beside a SavedModel."""

import zipfile
from pathlib import Path

import keras

from deconv_ae import paths
from deconv_ae.errors import InputError, first_line
from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.saved_model.model_card import ADVICE, KERAS_FILE, ModelCard
from deconv_ae.saved_model.serving import ServedAutoencoder


def load_keras_model(served: ServedAutoencoder) -> Autoencoder:
    """Reads the Keras model beside a served SavedModel; raises as `read_keras_model`."""
    return read_keras_model(served.path, served.card)


def read_keras_model(directory: Path, card: ModelCard) -> Autoencoder:
    """Reads the Keras model in an exported model's directory, without compiling it.

    Args:
        directory: the exported model's directory.
        card: the card in it.

    Returns:
        The autoencoder.

    Raises:
        InputError: if the file is missing or damaged, holds no autoencoder, or holds another model than the card's.
    """
    file = directory / KERAS_FILE
    if not paths.is_file("model", file):
        raise InputError(f"model: {directory} has no {KERAS_FILE}; {ADVICE}")
    card.check_file(directory, KERAS_FILE)
    try:
        with zipfile.ZipFile(file) as archive:  # Keras reports a truncated file as missing.
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"{damaged} does not match its checksum")
        model = keras.models.load_model(file, compile=False)
    except Exception as error:  # Keras passes on exceptions of zipfile, h5py and json.
        raise InputError(f"model: {file} is damaged ({first_line(error)}); {ADVICE}") from error
    if not isinstance(model, Autoencoder):
        raise InputError(f"model: {file} holds a {type(model).__name__}, not an autoencoder; {ADVICE}")
    if (model.architecture, tuple(model.image_shape)) != (card.architecture, tuple(card.image_shape)):
        raise InputError(f"model: {file} is not the model of the card beside it; {ADVICE}")
    return model
