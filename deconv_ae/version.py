"""The version, for the package and its setup.py alike."""

__version__ = "2.0.0"
