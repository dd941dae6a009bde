"""Once a program handles signals, a signal ends the program with one line and the status of the signal.

At no moment does a signal leave partial files.
"""

import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import keras
import numpy as np
import pytest
from faults.programs import Finished, RunningProgram
from matplotlib.figure import Figure

import deconv_ae
from deconv_ae import cleanup
from deconv_ae.compression.files import write_together
from deconv_ae.data import cache
from deconv_ae.files import PARTIAL, partial_directory, write_atomically
from deconv_ae.model.architecture import Architecture
from deconv_ae.pictures.visualization import save_figure
from deconv_ae.saved_model.export_directory import ExportDirectory
from deconv_ae.training.checkpoints import RunDirectory
from deconv_ae.training.options import TrainingOptions
from deconv_ae.training.run_record import RunRecord

REFERENCE = Path(__file__).parents[2] / "saved_models" / "reference"
SMALL = ["--dataset=mnist_5k", "--cache_dir=cache"]
PROGRAMS = {
    "train.py": [*SMALL, "--epochs=9999", "--export_dir=model"],
    "convert.py": [*SMALL, f"--model={REFERENCE / 'cmap1_pool4'}", "--format=litert"],
    "compare_starts.py": [*SMALL, "--epochs=9999", "--output_dir=starts"],
    "visualize.py": [*SMALL, f"--model={REFERENCE / 'cmap1_pool4'}", "--output_dir=pictures"],
}
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LONGEST_START = 4.0
"""Seconds from a program's start to its first step or file, without the imports."""


def run_and_signal(name: str, directory: Path, signal_number: int, seconds: float) -> Finished:
    with RunningProgram(name, PROGRAMS[name], directory) as program:
        program.wait(seconds)
        program.stop(signal_number)
        return program.finish()


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("moment_count", [3, pytest.param(20, marks=pytest.mark.long)])
def test_early_signal_kills_or_gives_one_error_line(tmp_path: Path, name: str, moment_count: int) -> None:
    generator = random.Random(name)
    for moment in range(moment_count):
        signal_number = SIGNALS[moment % len(SIGNALS)]
        seconds = (moment + generator.random()) * LONGEST_START / moment_count
        finished = run_and_signal(name, tmp_path, signal_number, seconds)
        if not finished.status:  # The program ended before the signal.
            continue
        context = f"{signal_number.name} after {seconds:.2f} s: status {finished.status}, {finished.stderr}"
        # Before the program handles signals, a signal kills the process.
        assert finished.status in (128 + signal_number, -signal_number), context
        assert finished.status == -signal_number or len(finished.error_lines) == 1, context
        assert not [file for file in tmp_path.rglob("*") if PARTIAL in file.name], context
        assert not list(tmp_path.glob("*model*")), context


def test_closed_terminal_stops_a_run_and_says_how_to_resume(tmp_path: Path) -> None:
    arguments = [*SMALL, "--run_dir=run", "--export_dir=model"]
    with RunningProgram("train.py", [*arguments, "--epochs=9999"], tmp_path) as program:
        program.wait_until(lambda: bool(list(tmp_path.glob("run/checkpoints/step-*"))))
        program.stop(signal.SIGHUP)
        stopped = program.finish()
    assert stopped.status == 128 + signal.SIGHUP
    (line,) = stopped.error_lines
    assert line.startswith("error: stopped by SIGHUP after step ")
    assert line.endswith("the same command with --resume goes on from there")


def test_process_ends_after_delay_signals_and_deletes_partial_files(tmp_path: Path) -> None:
    ends: list[str] = []
    # A clean-up that fails must not keep the files from being deleted.
    with partial_directory(tmp_path / "made") as folder, cleanup.cleanup_on_signal(lambda: 1 / 0):
        (folder / "file").write_text("")
        with cleanup.delay_signals():
            cleanup.clean_up_and_end(lambda: ends.append("ended"))
            assert folder.exists()
            assert not ends
        assert not folder.exists()
        assert ends == ["ended"]
    cleanup._delayed_ends.clear()  # A program would have ended here.


# -------------------------------------------------------------------- At every instruction


MODEL = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])


class Ended(BaseException):
    """Raised where a signal would end the process."""


def trace_instructions(write: Callable[[], object], callback: Callable[[FrameType, int], object]) -> None:
    """Calls `write`, and calls `callback` before each bytecode instruction of the library.

    `callback` gets the frame and the number of the instruction.
    """
    package = str(Path(deconv_ae.__file__).parent)
    executed = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal executed
        if not frame.f_code.co_filename.startswith(package):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            executed += 1
            callback(frame, executed)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        write()
    finally:
        sys.settrace(before)


def instruction_numbers(write: Callable[[], object]) -> list[int]:
    """Returns the number of each instruction of the library that `write` executes; a loop's instructions count once."""
    seen: dict[tuple[Any, ...], int] = {}

    def record_first(frame: FrameType | None, number: int) -> None:
        stack = []
        while frame and frame.f_code.co_filename != __file__:
            stack.append((frame.f_code, frame.f_lasti))
            frame = frame.f_back
        seen.setdefault(tuple(stack), number)

    trace_instructions(write, record_first)
    return list(seen.values())


def partial_files_after_a_signal(write: Callable[[], object], folder: Path, instruction: int) -> list[Path]:
    """Returns the partial files that remain if a signal ends the process before the instruction of this number."""
    remaining: list[Path] = []

    def end_process() -> None:
        remaining.extend(file for file in folder.rglob("*") if PARTIAL in file.name)
        raise Ended

    with pytest.raises(Ended):
        trace_instructions(
            write, lambda _, number: cleanup.clean_up_and_end(end_process) if number == instruction else None
        )
    cleanup._delayed_ends.clear()
    return remaining


def write_split(folder: Path) -> None:
    images = np.zeros((2, 2, 2, 1), np.uint8)
    cache.map_split(folder, "name", "train", lambda: cache.Reading("files", 2, lambda: iter([images])))


def write_model(folder: Path) -> None:
    with ExportDirectory(folder / "model") as export_directory:
        export_directory.replace(lambda directory: (directory / "saved_model.pb").touch())


def write_checkpoint(folder: Path) -> None:
    options = TrainingOptions(Architecture((1,), (2,)))
    record = RunRecord(
        options.deciding_options(2), "name", 2, (2, 2, 1), None, "0" * 16, options.peak_learning_rate, None
    )
    with RunDirectory(folder / "run", record, resume=False) as run:
        run.save(MODEL, 1)


WRITERS: dict[str, Callable[[Path], object]] = {
    "text": lambda folder: write_atomically(folder / "text", "text"),
    "pictures": lambda folder: save_figure(Figure((0.1, 0.1)), folder / "figure.png"),
    "compressed pictures": lambda folder: write_together(folder / "new", [("a", b"a"), ("b", b"b")]),
    "cache": write_split,
    "model": write_model,
    "checkpoint": write_checkpoint,
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.long)])
def test_a_signal_at_any_instruction_leaves_no_partial_files(tmp_path: Path, writer: str, step: int) -> None:
    def write(number: int) -> Callable[[], object]:
        folder = tmp_path / f"{number:05d}"
        folder.mkdir()
        return lambda: WRITERS[writer](folder)

    for instruction in instruction_numbers(write(0))[::step]:
        remaining = partial_files_after_a_signal(write(instruction), tmp_path / f"{instruction:05d}", instruction)
        assert not remaining, f"instruction {instruction}"
