"""Faults around a program: spoilt streams, Ctrl-C, a full disk, two programs that write the same files."""

import hashlib
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from deconv_ae.errors import InputError
from deconv_ae.saved_model.serving import ServedAutoencoder
from faults.injection import SETTINGS, UNDISTURBED_MODEL, Torture, fault
from faults.programs import SCRIPTS, Finished, RunningProgram

FIRST_SECONDS = (0.1, 5.0)
"""The earliest and the latest moment of Ctrl-C, in seconds after the start of the program. An earlier Ctrl-C would
interrupt the start of Python itself, which would then print a traceback."""

VISUALIZATION_FILE_COUNT = 22
"""The number of files that visualize.py writes: three pictures for each of five images; the code, the switches and the
output as text; four figures."""

STREAMS = {
    "a reader that leaves": ("| true", 0),
    "a reader of one line": ("| head -1 >/dev/null", 0),
    "no standard output": (">&-", 0),
    "no standard error": ("2>&-", 0),
    "no stream at all": ("<&- >&- 2>&-", 0),
    "full standard error": ("2>/dev/full", 0),
    "full standard output": (">/dev/full", 1),
}
"""What happens to a program's streams: the shell code for it, and the exit status to expect."""


@fault("two exports to one directory", times=20)
def two_exports(torture: Torture) -> bool:
    name = torture.new_name()
    arguments = [*SETTINGS, "--epochs=2", f"--export_dir={name}-model", "--overwrite"]
    with RunningProgram("train.py", [*arguments, "--seed=1"], torture.directory) as first:
        first.wait(torture.random.uniform(0, 0.5))
        with RunningProgram("train.py", [*arguments, "--seed=2"], torture.directory) as second:
            endings = [first.finish(), second.finish()]
    for finished in endings:
        if finished.status and not torture.ended_with(finished, 2, "is in use by another run"):
            return False
    if all(finished.status for finished in endings):
        torture.problem = "each refused the other"
        return False
    return _matches_its_card(torture, torture.directory / f"{name}-model") and _left_nothing_behind(
        torture, f".{name}-model.*"
    )


@fault("Ctrl-C in the first five seconds", times=20)
def interrupt_the_start(torture: Torture) -> bool:
    name = torture.new_name()
    command = [sys.executable, str(SCRIPTS / "train.py"), *SETTINGS, "--epochs=9999", f"--export_dir={name}-model"]
    process = subprocess.Popen(
        command, cwd=torture.directory, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        process.wait(torture.random.uniform(*FIRST_SECONDS))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    ended_as_expected = torture.ended_with(Finished(process.returncode, "", errors), 128 + signal.SIGINT)
    return ended_as_expected and _left_nothing_behind(torture, f"*{name}-model*")


@fault("closed or full streams, broken pipes", times=7)
def spoil_streams(torture: Torture) -> bool:
    name = torture.new_name()
    # The number of the run chooses the kind, so successive runs have all kinds in turn.
    kind, (redirection, status) = list(STREAMS.items())[int(name.split("-")[1]) % len(STREAMS)]
    arguments = [*SETTINGS, "--epochs=1", f"--export_dir={name}-model"]
    command = shlex.join([sys.executable, str(SCRIPTS / "train.py"), *arguments])
    completed = subprocess.run(
        ["bash", "-c", f"{command} {redirection}; exit ${{PIPESTATUS[0]}}"],
        cwd=torture.directory,
        capture_output=True,
        text=True,
    )
    if not torture.ended_with(Finished(completed.returncode, completed.stdout, completed.stderr), status):
        torture.problem = f"{kind}: {torture.problem}"
        return False
    return _matches_its_card(torture, torture.directory / f"{name}-model")


@fault("out of disk while visualizing")
def fill_disk_while_visualizing(torture: Torture) -> bool:
    arguments = ["--output_dir=drawn", "--dataset=folder:pictures"]
    # The limit is less than a figure needs. Standard error is also a file, and its error line must fit.
    largest_file = torture.random.randrange(500, 10_000)
    return _writes_all_or_nothing(torture, "visualize.py", arguments, "drawn", largest_file)


@fault("out of disk while converting")
def fill_disk_while_converting(torture: Torture) -> bool:
    arguments = ["--output_dir=converted", "--dataset=folder:pictures", "--format=onnx,litert"]
    return _writes_all_or_nothing(torture, "convert.py", arguments, "converted", torture.random.randrange(100, 1_500))


@fault("SIGINT while visualizing")
def interrupt_visualizing(torture: Torture) -> bool:
    folder = torture.new_name()
    arguments = [f"--model={UNDISTURBED_MODEL}", f"--output_dir={folder}", "--dataset=folder:pictures"]
    with RunningProgram("visualize.py", arguments, torture.directory) as program:
        program.wait(torture.random.uniform(0.1, 1.5))
        program.stop(signal.SIGINT)
        finished = program.finish()
    contents = _contents(torture.directory / folder)
    if finished.status and not torture.ended_with(finished, 128 + signal.SIGINT):
        return False
    if contents and len(contents) != VISUALIZATION_FILE_COUNT:
        torture.problem = f"{len(contents)} of {VISUALIZATION_FILE_COUNT} files: {sorted(contents)}"
        return False
    if not contents and finished.status == 0:
        torture.problem = "status 0 without a file"
        return False
    return True


def _writes_all_or_nothing(
    torture: Torture, program: str, arguments: list[str], folder: str, largest_file: int
) -> bool:
    """Runs a program twice, and returns whether each run did as it must.

    On a full disk, the program must fail with a message and change no file. With enough space, it must write files.
    """
    arguments = [f"--model={UNDISTURBED_MODEL}", *arguments]
    contents_before = _contents(torture.directory / folder)
    with RunningProgram(program, arguments, torture.directory, largest_file=largest_file) as running:
        failed_as_expected = torture.ended_with(running.finish(), 1)
    if _contents(torture.directory / folder) != contents_before:
        torture.problem = f"a full disk left {sorted(_contents(torture.directory / folder))}"
        return False
    if not failed_as_expected:
        return False
    with RunningProgram(program, arguments, torture.directory) as running:
        if not torture.ended_with(running.finish(), 0):
            return False
    if not _contents(torture.directory / folder):
        torture.problem = "status 0 without a file"
        return False
    return True


def _contents(directory: Path) -> dict[str, str]:
    """The checksum of every file below a directory, by its path."""
    return {
        str(file.relative_to(directory)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in directory.rglob("*")
        if file.is_file()
    }


def _matches_its_card(torture: Torture, model_dir: Path) -> bool:
    """Whether the directory holds a model, and the model has the RMSE that its card states."""
    try:
        model = ServedAutoencoder(model_dir)
    except InputError as error:
        torture.problem = str(error)
        return False
    torture.problem = f"the model's RMSE is {model.rmse(torture.images)}, its card's {model.card.test_rmse}"
    return abs(model.rmse(torture.images) - model.card.test_rmse) < 1e-6


def _left_nothing_behind(torture: Torture, pattern: str) -> bool:
    """Whether no path matches the pattern."""
    leftovers = sorted(os.fspath(path.name) for path in torture.directory.glob(pattern))
    torture.problem = f"left behind: {leftovers}"
    return not leftovers
