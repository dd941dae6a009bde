"""Benchmarks: suites in which contestants do the same work side by side, in one run."""
