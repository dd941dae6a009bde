"""What forked programs find imported: as much as loads without TensorFlow starting threads, which do not survive it."""

import importlib
import os

from deconv_ae_programs import library

with library.without(library.FOR_OTHERS):
    for name in ("keras", "tensorflow"):
        importlib.import_module(name)
for name in ("deconv_ae.training", "mlxtend.data", "tensorboard"):
    importlib.import_module(name)

# Its first entry is where this module was found; what programs start shall not find more than in a user's shell.
_, *others = os.environ["PYTHONPATH"].split(os.pathsep)
os.environ.pop("PYTHONPATH")
os.environ.update({"PYTHONPATH": os.pathsep.join(others)} if others else {})
