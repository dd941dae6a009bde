"""Keras's variables as NumPy arrays and its models as files, without the warning that it makes NumPy say of itself.

Keras 3.15's `keras.Variable.__array__` lacks the argument that NumPy 2 asks for; its own saving runs into that too.
"""

import os
import warnings
from typing import Any

import keras
import numpy as np


def to_array(values: Any) -> np.ndarray:
    """The numbers of TensorFlow's tensor, or of a variable."""
    return values.numpy() if hasattr(values, "numpy") else np.asarray(values)


def save(model: keras.Model, file: str | os.PathLike[str]) -> None:
    """`model.save`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="__array__ implementation", category=DeprecationWarning)
        model.save(file)
