"""The suites by name.

A suite is a function of `Options` that returns a `Report`; `SUITES` has them by name.
"""

from collections.abc import Callable

from benchmarks import inference_suite, layers_suite, scaling_suite, startup_suite, training_suite
from benchmarks.report import Options, Report

SUITES: dict[str, Callable[[Options], Report]] = {
    "layers": layers_suite.run,
    "training": training_suite.run,
    "inference": inference_suite.run,
    "startup": startup_suite.run,
    "scaling": scaling_suite.run,
}

__all__ = ["SUITES", "Options", "Report"]
