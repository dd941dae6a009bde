"""The benchmark, for real, on images so small that it takes seconds; and bad input to its program."""

import json
from pathlib import Path

import numpy as np
import pytest
from program_runner import run_program

from deconv_ae.benchmarking import Options, layers_suite
from deconv_ae.benchmarking.layers_suite import OBVIOUS, OURS, Case


def test_the_layers_suite_measures_every_contestant(tmp_path: Path) -> None:
    report = layers_suite.run(Options(rounds=2, memory=False), [Case((4, 8, 8, 2), 2, 2), Case((2, 9, 9, 2), 3, 2)])
    assert len(report.rows) == 4
    assert {OURS, f"{OURS}, XLA", OBVIOUS} <= set(report.columns)
    report.save(str(tmp_path), "layers")
    assert (tmp_path / "layers.md").read_text() == report.to_markdown()
    measurements = json.loads((tmp_path / "layers.json").read_text())["measurements"]
    assert len(measurements) == 4 * (len(report.columns) - 3)
    assert all(measurement["milliseconds"]["median"] > 0 for measurement in measurements)


def test_contestants_that_disagree_are_not_compared() -> None:
    zeros, ones = np.zeros((1, 2, 2, 1)), np.ones((1, 2, 2, 1))
    with pytest.raises(RuntimeError, match="wrong does not compute what deconv_ae does"):
        layers_suite.check_agreement(Case((1, 2, 2, 1), 2, 2), {OURS: lambda: (zeros,), "wrong": lambda: (ones,)})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds=0"], "rounds: 0 is below 1"),
        (["--suite=everything"], "suite"),
        (["--readme=nowhere.md"], "readme: nowhere.md cannot be read"),
        (["--readme=plain.md"], "readme: plain.md has no section <!-- layers:begin -->"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_measured(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "plain.md").write_text("no section")
    finished = run_program("benchmark.py", arguments, tmp_path)
    assert finished.status == 2
    assert len(finished.error_lines) == 1
    assert message in finished.stderr
