"""Whether what compresses is installed, said before TensorFlow is loaded."""

import importlib.util

from deconv_ae.errors import InputError

PACKAGES = ("constriction", "scipy")
"""That code whole numbers, and that fit their probabilities."""


def check_installed() -> None:
    """Raises InputError if a package is not installed that only this folder needs."""
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise InputError(f"compress: {package} is not installed; run pip install 'deconv_ae[compress]'")
