"""Compresses pictures to small files, and decompresses them.

A file holds the code and switches that an exported model computes from a picture. The code is quantised, and then both
are entropy coded.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deconv_ae.compression.compressor import Compressor
    from deconv_ae.compression.learning import learn_probabilities

__all__ = ["Compressor", "learn_probabilities"]


def __getattr__(name: str) -> Any:
    # Imports compressor.py and learning.py on first use, because they need the packages of the extra `compress`. So
    # installed.py, which checks for these packages, can be imported without them.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from deconv_ae.compression import compressor, learning

    return getattr(compressor if name == "Compressor" else learning, name)
