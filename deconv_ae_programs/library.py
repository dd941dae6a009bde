"""All that the order of imports needs, in this file and no other, and in 60 lines.

The package comes in two steps: what flags are checked with at once; TensorFlow and all that needs it, when they are.

`import deconv_ae` registers every class that a saved file can name, and for that imports Keras and TensorFlow, which
takes seconds; --help, a mistyped flag or a folder that is not there should not wait for them. So the packages whose
`__init__` needs them are put in their place without running it: modules below them that need neither can be imported
by their own names. `load` runs what was left out, and from then on all is as after a plain import.
"""

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from types import ModuleType

# TensorFlow leaves oneDNN's kernels off on a CPU without VNNI, where they are faster all the same. Set before it is
# loaded, by programs only: a library's import decides nothing for others. Workers inherit it, run.json records it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

PACKAGES = ("deconv_ae", "deconv_ae.data", "deconv_ae.training", "deconv_ae.conversion", "deconv_ae.compression")
FOR_OTHERS = ("jax", "matplotlib", "pandas", "sklearn")
"""What TensorFlow and Keras import where it happens to be installed, to be ready for arrays, wrappers and galleries
that no program here has: of the five seconds that `import tensorflow` then takes of a processor, two."""

_left_out: list[ModuleType] = []


def defer() -> None:
    """Makes modules of the package importable without TensorFlow; nothing where they have been imported."""
    for name in PACKAGES:
        spec = None if name in sys.modules else importlib.util.find_spec(name)
        if spec is not None:
            sys.modules[name] = importlib.util.module_from_spec(spec)
            _left_out.append(sys.modules[name])


def load() -> None:
    """Runs the packages' own code."""
    while _left_out:
        module = _left_out.pop(0)
        assert module.__spec__ is not None and module.__spec__.loader is not None
        module.__spec__.loader.exec_module(module)


@contextlib.contextmanager
def without(packages: tuple[str, ...]) -> Iterator[None]:
    """While TensorFlow and Keras load, packages that have not been imported are as if they were not installed."""
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is how an import is made to fail.
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)  # A process that ends within this has emptied it before.
