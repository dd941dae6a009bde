"""The suites by name."""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.report import Options, Report

SUITES = ("layers", "training", "inference", "startup", "scaling")
"""Each is a module NAME_suite here, whose `run` is the suite."""


def suite(name: str) -> "Callable[[Options], Report]":
    """A suite, with what it measures: libraries that take seconds to load."""
    return importlib.import_module(f"benchmarks.{name}_suite").run
