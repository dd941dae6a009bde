"""A signal at any moment ends a program with one line and its status, and leaves no partial files."""

import random
import signal
from pathlib import Path

import pytest
from faults.programs import Finished, RunningProgram

from deconv_ae import cleanup
from deconv_ae.files import partial_directory

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


def interrupted(name: str, directory: Path, number: int, seconds: float) -> Finished:
    with RunningProgram(name, PROGRAMS[name], directory) as program:
        program.sleep(seconds)
        program.stop(number)
        return program.finish()


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("moments", [3, pytest.param(20, marks=pytest.mark.long)])
def test_a_signal_between_start_and_first_step_gives_one_line(tmp_path: Path, name: str, moments: int) -> None:
    chance = random.Random(name)
    for moment in range(moments):
        number = SIGNALS[moment % len(SIGNALS)]
        seconds = (moment + chance.random()) * LONGEST_START / moments
        end = interrupted(name, tmp_path, number, seconds)
        if not end.status:  # It ended before the signal.
            continue
        context = f"{number.name} after {seconds:.2f} s: status {end.status}, {end.stderr}"
        # Before the program handles signals, a signal kills the process, and no error line is printed.
        assert end.status in (128 + number, -number), context
        assert end.status == -number or len(end.error_lines) == 1, context
        assert not [file for file in tmp_path.rglob("*") if ".partial-" in file.name], context
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


def test_end_finishes_short_work_and_deletes_partial_files(tmp_path: Path) -> None:
    told: list[str] = []
    # A clean-up that fails must not keep the files from being deleted.
    with partial_directory(tmp_path / "made") as folder, cleanup.cleanup_on_exit(lambda: 1 / 0):
        (folder / "file").write_text("")
        with cleanup.delay_signals():
            cleanup.end(lambda: told.append("ended"))
            assert folder.exists()
            assert not told
        assert not folder.exists()
        assert told == ["ended"]
    cleanup._delayed_ends.clear()  # A program would have ended here.
