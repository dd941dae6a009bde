"""Keras's variables as NumPy arrays and Keras's models as files, without NumPy's warning.

NumPy 2 passes an argument that `keras.Variable.__array__` of Keras 3.15 does not take, and warns about that. Saving a
model with Keras causes the same warning.
"""

import os
import warnings
from typing import Any

import keras
import numpy as np


def to_array(values: Any) -> np.ndarray:
    """Returns a tensor or a variable as a NumPy array."""
    return values.numpy() if hasattr(values, "numpy") else np.asarray(values)


def save(model: keras.Model, file: str | os.PathLike[str]) -> None:
    """Calls `model.save`, and hides NumPy's warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="__array__ implementation", category=DeprecationWarning)
        model.save(file)
