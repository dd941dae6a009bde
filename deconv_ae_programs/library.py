"""Imports the library in two steps: first the modules that check flags, and after the check TensorFlow.

`import deconv_ae` registers every class that a saved file can name, and so imports Keras and TensorFlow, which takes
seconds. --help, a mistyped flag or a missing folder must not wait for them. So `defer` creates the packages whose
`__init__` needs TensorFlow, but does not run these `__init__` files: modules below them that need no TensorFlow can be
imported by name. `load` runs the `__init__` files, and the result is the same as after a plain import.

All code for the order of imports is in this file, in 60 lines.
"""

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from types import ModuleType

# TensorFlow disables oneDNN's kernels on CPUs without VNNI, but the kernels are faster there, too. Programs set the
# variable before TensorFlow loads. The library does not set it, because an import must not decide for the program that
# imports it. run.json records the variable.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

PACKAGES = ("deconv_ae", "deconv_ae.data", "deconv_ae.training", "deconv_ae.conversion", "deconv_ae.compression")
UNNEEDED = ("jax", "matplotlib", "pandas", "sklearn")
"""If these packages are installed, TensorFlow and Keras import them, for features that no program here uses. They take
two of the five seconds of processor time of `import tensorflow`."""

_deferred_modules: list[ModuleType] = []


def defer() -> None:
    """Creates PACKAGES without running their `__init__` files, unless the library is imported already."""
    if PACKAGES[0] in sys.modules:
        return
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        _deferred_modules.append(sys.modules[name])


def load() -> None:
    """Runs the `__init__` files that `defer` did not run."""
    while _deferred_modules:
        module = _deferred_modules.pop(0)
        assert module.__spec__ is not None and module.__spec__.loader is not None
        module.__spec__.loader.exec_module(module)


@contextlib.contextmanager
def hide_packages(packages: tuple[str, ...]) -> Iterator[None]:
    """A context in which imports of these packages fail, unless a package is imported already."""
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None makes an import fail.
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)  # An ending process may have emptied sys.modules.
