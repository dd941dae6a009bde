"""The suites by name."""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.report import Options, Report

SUITES = ("layers", "training", "inference", "startup", "scaling")
"""For each NAME here, this package has a module NAME_suite with a function `run`."""


def suite(name: str) -> "Callable[[Options], Report]":
    """Imports a suite, whose libraries take seconds to load, and returns the suite's function `run`."""
    return importlib.import_module(f"benchmarks.{name}_suite").run
