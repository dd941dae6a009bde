"""Checks that the packages for compression are installed, before TensorFlow is loaded."""

import importlib.util

from deconv_ae.errors import InputError

PACKAGES = ("constriction", "scipy")
"""constriction codes whole numbers; SciPy fits their probabilities."""


def check_installed() -> None:
    """Raises InputError if a package that only compression needs is missing."""
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise InputError(f"compress: {package} is not installed; run pip install 'deconv_ae[compress]'")
