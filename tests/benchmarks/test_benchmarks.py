"""The benchmark suites with small batches and one or two rounds, the cluster model, and bad input to their programs."""

import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from benchmarks import (
    inference_suite,
    instruction_sets,
    layers_suite,
    scaling_suite,
    startup_suite,
    training_suite,
)
from benchmarks.layers_suite import OBVIOUS, OURS, Case
from benchmarks.measurement import ContestantProcesses, Failed, Measurement, Timing
from benchmarks.report import Options, cells, speedup, throughput_figure
from benchmarks.scaling_suite import Point
from benchmarks.torch_contestants import VARIANTS
from contestants import Broken, BrokenLater, Constant, Dying, DyingWhenMadeAgain, Filling, Forked, NotInstalled
from faults.programs import run_program
from PIL import Image

from deconv_ae.conversion.bounds import Bounds
from deconv_ae.model.presets import PRESETS
from deconv_ae.pictures.visualization import save_figure
from deconv_ae.saved_model.signatures import SERVING_DEFAULT, SIGNATURES

RATIO = r"\d+\.\dx \(\d+\.\d-\d+\.\d\)"


@pytest.fixture(scope="module")
def layers_processes() -> Iterator[ContestantProcesses]:
    """Processes of the layers suite. TensorFlow's are forked, because importing it takes longer than the tests."""
    tensorflow = [OURS, f"{OURS}, XLA", OBVIOUS]
    others = [name for name in layers_suite.CONTESTANTS if name not in tensorflow]
    with ContestantProcesses.of(tensorflow, Forked) as forked, ContestantProcesses.of(others) as started:
        yield ContestantProcesses({**forked.processes, **started.processes})


def test_layers_suite_measures_contestants_that_need_no_pytorch(
    layers_processes: ContestantProcesses, tmp_path: Path
) -> None:
    cases = [Case((2, 9, 9, 2), 3, 2), Case((2, 9, 2), 3, 3)]
    report = layers_suite.run_in(layers_processes, Options(rounds=2, memory=False), cases)
    assert len(report.rows) == 4
    contestants = {OURS, f"{OURS}, XLA", OBVIOUS, f"{OURS} on JAX"}
    assert contestants <= set(report.columns)
    report.save(str(tmp_path), "layers")
    assert (tmp_path / "layers.md").read_text() == report.to_markdown()
    measurements = json.loads((tmp_path / "layers.json").read_text())["measurements"]
    assert {measurement["contestant"] for measurement in measurements} >= contestants
    assert all(measurement["timing"]["median"] > 0 for measurement in measurements)


@pytest.mark.long
def test_training_suite_measures_and_draws(tmp_path: Path) -> None:
    report = training_suite.run(Options(rounds=1, memory=False), training_suite.preset_cases(["two_layer"], [64]))
    ((model, batch_size, *other_cells),) = report.rows
    assert (model, batch_size) == ("two_layer", "64")
    assert re.fullmatch(RATIO, other_cells[-3])
    assert float(other_cells[-1]) > 0
    report.save(str(tmp_path), "training")
    assert (tmp_path / "training.png").is_file()


def test_figure_fits_a_screen_and_holds_its_legend(tmp_path: Path) -> None:
    contestants = (training_suite.OURS, *VARIANTS, training_suite.PLAIN_CONVOLUTIONS, training_suite.CONVOLUTIONS)
    measurements = [
        {"model": model, "contestant": contestant, "batch_size": size, "images_per_second": 1e4 + size}
        for model in PRESETS
        for contestant in contestants
        for size in (64, 1024)
    ]
    figure = throughput_figure(measurements, "model", "images a second")
    assert Image.open(save_figure(figure, tmp_path / "figure.png")).size[0] <= 1600
    legend = figure.legends[0].get_window_extent()
    assert 0 <= legend.x0 < legend.x1 <= figure.bbox.x1


@pytest.mark.long
def test_inference_suite_measures_saved_model_and_converted_files() -> None:
    report = inference_suite.run(Options(rounds=1, memory=False), ["two_layer"], [1])
    assert [row[:3] for row in report.rows] == [["two_layer", signature, "1"] for signature in SIGNATURES]
    measured = {measurement["contestant"] for measurement in report.measurements}
    assert measured >= {inference_suite.OURS, *inference_suite.RUNTIMES}


def test_speedup_compares_the_fastest_of_both_sides_by_round() -> None:
    rounds = {
        "SavedModel": (9, 9, 9),
        "ONNX": (1, 2, 1),
        "LiteRT": (3, 3, 3),
        "eager": (4, 4, 8),
        "compiled": (9, 9, 9),
    }
    measured = {name: Measurement(Timing.of(values), None, values) for name, values in rounds.items()}
    assert speedup(measured, ["ONNX", "LiteRT", "OpenVINO"], ["eager", "compiled"]) == "4.0x (3.0-6.0)"
    assert re.fullmatch(RATIO, speedup(measured, ["SavedModel"], ["eager"]))
    assert speedup(measured, ["SavedModel"], ["not installed"]) == "-"


def test_format_without_its_packages_is_left_out(processes: ContestantProcesses) -> None:
    missing = inference_suite.converted_file("onnx", {}, {}, "two_layer", SERVING_DEFAULT, 1)
    makers = {"one": partial(Constant, 1.0), "other": missing}
    comparison = processes.compare("row", makers, rounds=1, memory=False, check_agreement=always_agree)
    assert comparison.notes == [
        "other has a dash where it cannot run: its packages are not installed, see the extra [convert]."
    ]


def test_scaling_suite_gives_growth_from_the_second_row_on(layers_processes: ContestantProcesses) -> None:
    def lend(names: Iterable[str]) -> nullcontext[ContestantProcesses]:
        lent = (layers_processes.processes[contestant] for contestant in (OURS, OBVIOUS))
        return nullcontext(ContestantProcesses(dict(zip(names, lent))))

    points = [Point("filters", filters, 64, 8, (filters,), (2,), 8) for filters in (1, 2)]
    first, second = scaling_suite.run(Options(rounds=1, memory=False), points, lend).rows
    assert first[3] == "-"
    assert float(second[3]) > 0


@pytest.mark.long
def test_startup_suite_has_a_row_for_each_program() -> None:
    report = startup_suite.run(Options(rounds=1))
    assert [row[0] for row in report.rows] == list(startup_suite.PROGRAMS)


def always_agree(results) -> None:
    pass


@pytest.fixture(scope="module")
def processes() -> Iterator[ContestantProcesses]:
    with ContestantProcesses.of(["one", "other"]) as processes:
        yield processes


def test_contestants_that_are_not_installed_are_left_out(processes: ContestantProcesses) -> None:
    makers = {"one": partial(Constant, 1.0), "other": NotInstalled}
    comparison = processes.compare("row", makers, rounds=3, memory=False, check_agreement=always_agree)
    assert comparison.measured == {"one": Measurement(Timing(1.0, 1.0, 1.0, 1.0), None, rounds=(1.0, 1.0, 1.0))}
    assert comparison.notes == ["other has a dash where it cannot run: it is not installed."]
    assert cells(comparison, makers) == ["1.00 (1.00-1.00)", "-"]


@pytest.mark.parametrize("fatal_call", [0, 1, 2])
def test_cell_of_dead_contestant_says_failed_and_run_goes_on(processes: ContestantProcesses, fatal_call: int) -> None:
    makers = {"one": partial(Constant, 1.0), "other": partial(Dying, fatal_call)}
    comparison = processes.compare("row", makers, rounds=3, memory=False, check_agreement=always_agree)
    assert list(comparison.measured) == ["one"]
    assert comparison.notes == ["row other failed: its process died (SIGABRT)."]
    assert cells(comparison, makers) == ["1.00 (1.00-1.00)", "failed"]
    # The next row has a new process.
    makers = {"one": partial(Constant, 1.0), "other": partial(Constant, 2.0)}
    comparison = processes.compare("row", makers, rounds=1, memory=False, check_agreement=always_agree)
    assert (list(comparison.measured), comparison.notes) == (["one", "other"], [])


def test_death_before_the_first_turn_becomes_a_note(processes: ContestantProcesses) -> None:
    def kill(results) -> None:
        processes.processes["other"]._process.kill()

    makers = {"one": partial(Constant, 1.0), "other": partial(Constant, 1.0)}
    comparison = processes.compare("row", makers, rounds=2, memory=False, check_agreement=kill)
    assert (list(comparison.measured), comparison.died) == (["one"], {"other"})
    assert comparison.notes == ["row other failed: its process died (SIGKILL)."]


def test_death_while_measuring_memory_becomes_a_note(processes: ContestantProcesses, tmp_path: Path) -> None:
    makers = {"one": partial(Constant, 1.0), "other": partial(DyingWhenMadeAgain, tmp_path / "made")}
    comparison = processes.compare("row", makers, rounds=1, memory=True, check_agreement=always_agree)
    assert list(comparison.measured) == ["one", "other"]
    assert comparison.measured["other"].peak_mib is None
    assert comparison.notes == ["row other has no peak memory: its process died (SIGABRT)."]


def test_signature_without_converted_file_leaves_contestants_out(
    processes: ContestantProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SIGNATURES, "invert", replace(SIGNATURES["encode"], name="invert", converted=None))
    file = inference_suite.converted_file("onnx", {}, {}, "two_layer", "invert", 1)
    torch = inference_suite.torch_model(VARIANTS["PyTorch"], "two_layer", "invert", 1)
    for contestant, reason in ((file, "no converted file computes"), (torch, "PyTorch")):
        makers = {"one": partial(Constant, 1.0), "other": contestant}
        comparison = processes.compare("row", makers, rounds=1, memory=False, check_agreement=always_agree)
        assert comparison.notes[0].startswith(f"other has a dash where it cannot run: {reason}")


def disagree(results) -> None:
    raise Failed("they differ")


@pytest.mark.parametrize(
    ("one", "other", "check_agreement", "reason"),
    [
        (Broken, partial(Constant, 1.0), always_agree, "one: ValueError: it is broken"),
        (partial(Constant, 1.0), Broken, always_agree, "other: ValueError: it is broken"),
        (partial(Constant, 1.0), BrokenLater, always_agree, "other: ValueError: it is broken"),
        (partial(Dying, 0), partial(Constant, 1.0), always_agree, "one: its process died (SIGABRT)"),
        (NotInstalled, Broken, always_agree, "one: it is not installed"),
        (partial(Constant, 1.0), partial(Constant, 2.0), disagree, "they differ"),
    ],
)
def test_failed_row_gives_one_line_and_the_next_is_measured(
    processes: ContestantProcesses, one, other, check_agreement, reason: str
) -> None:
    makers = {"one": one, "other": other}
    comparison = processes.compare(
        "two_layer, batch 64,", makers, rounds=2, memory=False, check_agreement=check_agreement
    )
    assert (comparison.measured, comparison.failure) == ({}, f"two_layer, batch 64, failed: {reason}")
    makers = {"one": partial(Constant, 3.0), "other": partial(Constant, 4.0)}
    comparison = processes.compare("next", makers, rounds=1, memory=False, check_agreement=always_agree)
    assert {name: m.timing.median for name, m in comparison.measured.items()} == {"one": 3.0, "other": 4.0}
    assert comparison.failure is None


def test_processes_of_other_libraries_begin_without_tensorflow() -> None:
    makers = [
        layers_suite.CONTESTANTS["PyTorch"](Case((1, 2, 2, 1), 2, 2), False),
        training_suite.CONTESTANTS["PyTorch channels_last"](*training_suite.preset_cases(["two_layer"], [1])),
        inference_suite.torch_model(VARIANTS["PyTorch"], "two_layer", "encode", 1),
        inference_suite.converted_file("onnx", {}, {}, "two_layer", "encode", 1),
    ]
    # This program does what a contestant's process does: it imports `benchmarks.measurement`, and unpickles the
    # functions that make contestants.
    program = "import pickle, sys, benchmarks.measurement; pickle.load(sys.stdin.buffer); print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    loaded = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(makers), env=environment, check=True, stdout=subprocess.PIPE
    )
    modules = set(loaded.stdout.decode().split())
    assert {"benchmarks.torch_contestants", "benchmarks.runtime_contestants"} <= modules
    assert not modules & {"tensorflow", "keras", "deconv_ae"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports peak memory")
def test_peak_memory_is_that_of_the_work(processes: ContestantProcesses) -> None:
    makers = {"one": partial(Constant, 1.0), "other": partial(Filling, 1.0)}
    comparison = processes.compare("row", makers, rounds=1, memory=True, check_agreement=always_agree)
    little, much = (comparison.measured[name].peak_mib for name in makers)
    assert 0 <= little < 16
    assert 60 < much - little < 80


def test_results_that_disagree_are_refused() -> None:
    zeros, ones = np.zeros((1, 2, 2, 1)), np.ones((1, 2, 2, 1))
    bounds = Bounds(choices={}, middle=zeros, radius=zeros)
    with pytest.raises(Failed, match="wrong does not compute what deconv_ae does"):
        layers_suite.check_agreement(Case((1, 2, 2, 1), 2, 2), {OURS: [zeros], "wrong": [ones]})
    with pytest.raises(Failed, match="the losses of wrong"):
        training_suite.check_losses({training_suite.OURS: [zeros], "wrong": [ones]})
    for expected in (zeros, np.zeros((1, 1, 1, 1))):
        wrong = np.ones_like(expected)
        with pytest.raises(Failed, match="the results of wrong differ from those of SavedModel by 1"):
            inference_suite.check_results(bounds, {inference_suite.OURS: [expected], "wrong": [wrong]})
    with pytest.raises(Failed, match="wrong have the shape"):
        inference_suite.check_results(bounds, {inference_suite.OURS: [zeros], "wrong": [ones[:, :1]]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds=0"], "rounds: 0 is below 1"),
        (["--suite=everything"], "suite"),
        (["--isa=avx9"], "isa"),
        (["--isa=avx2", "--readme=plain.md"], "readme: plain.md has no section <!-- layers-avx2:begin -->"),
        (["--readme=nowhere.md"], "readme: nowhere.md cannot be read"),
        (["--readme=plain.md"], "readme: plain.md has no section <!-- layers:begin -->"),
    ],
)
def test_bad_input_is_refused_in_one_line_before_measuring(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "plain.md").write_text("no section")
    finished = run_program("benchmark.py", arguments, tmp_path)
    assert finished.status == 2
    assert len(finished.error_lines) == 1
    assert message in finished.stderr


# If oneDNN is on, `state` ends with oneDNN's own name for the instruction set.
@pytest.mark.parametrize(
    ("isa", "onednn", "state"), [("sse41", "1", "was on, and used Intel SSE4.1"), ("avx2", "0", "was off")]
)
def test_note_has_the_limit_and_what_onednn_used(
    monkeypatch: pytest.MonkeyPatch, isa: str, onednn: str, state: str
) -> None:
    monkeypatch.setattr(os, "environ", {**os.environ, "TF_ENABLE_ONEDNN_OPTS": onednn, "XLA_FLAGS": "--xla_dump_to="})
    instruction_sets.limit(isa)
    assert os.environ["XLA_FLAGS"].startswith("--xla_dump_to= --xla_cpu_max_isa=")
    assert instruction_sets.note(isa) == (
        f"Instructions: {isa} at most, but in the suite inference, ONNX Runtime and LiteRT use all that the CPU has, "
        f"because they have no setting for it. TensorFlow's oneDNN {state}."
    )


MEASURED = ["--compute_ms=10", "--overhead_ms=5", "--sent_bytes=250000", "--latency_us=0", "--images_a_worker=100"]


def test_cluster_model_extrapolates_from_measurements(tmp_path: Path) -> None:
    finished = run_program("model_cluster.py", MEASURED, tmp_path)
    assert finished.status == 0
    lines = [line.strip("| ").split(" | ") for line in finished.stdout.strip().splitlines()]
    assert lines[0] == ["workers", "1 Gbit/s", "10 Gbit/s", "25 Gbit/s", "100 Gbit/s"]
    assert [line[0] for line in lines[2:]] == ["8", "16", "32", "64", "128", "256"]
    # Two workers send the gradients once each, together 250 kB, so the gradients are 125 kB.
    # A step of 8 workers at 1 Gbit/s: 10 ms to compute, 5 ms of overhead, and 1.75 ms to send 7/4 of the gradients.
    images_per_second = 8 * 100 / (10 + 5 + 1.75) * 1000
    assert lines[2][1] == f"{images_per_second:,.0f} ({images_per_second / 8 / 10_000:.0%})"


@pytest.mark.parametrize("flag", ["--compute_ms=0", "--images_a_worker=0", "--overhead_ms=-1"])
def test_cluster_model_refuses_impossible_numbers_in_one_line(tmp_path: Path, flag: str) -> None:
    finished = run_program("model_cluster.py", [*MEASURED, flag], tmp_path)
    assert finished.status == 2
    assert len(finished.error_lines) == 1
    assert flag.strip("-").partition("=")[0] in finished.stderr
