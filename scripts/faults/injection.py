"""The faults, and the training run and exports that they disturb."""

import contextlib
import hashlib
import random
import shutil
import signal
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from deconv_ae.data import SPLITS, Source, load_split
from deconv_ae.data.cache import CACHE_VARIABLE
from deconv_ae.errors import InputError, RunError
from deconv_ae.saved_model.model_card import ModelCard
from deconv_ae.saved_model.serving import ServedAutoencoder
from faults.programs import Finished, RunningProgram

PICTURE_COUNT = 50
LARGE_PICTURE_COUNT = 1500
SETTINGS = ("--dataset=folder:pictures", "--filters=2", "--pool_sizes=2", "--batch_size=6")
TRAINING = (*SETTINGS, "--epochs=3", "--checkpoint_every=2")
UNDISTURBED_MODEL = "run-1-model"
"""The model of the undisturbed run, run-1."""
FAULTS: dict[str, Callable[["Torture"], bool]] = {}
"""The faults by name. Each function injects one fault, and returns whether everything survived."""
LEAST_TIMES: dict[str, int] = {}
"""The least number of times to inject some faults: fewer would not suffice to judge them. With --other_faults below 3,
torture.py ignores these numbers."""


def fault(name: str, times: int | None = None) -> Callable[[Callable[["Torture"], bool]], Callable[["Torture"], bool]]:
    """Returns a decorator that adds the decorated function to FAULTS and, if given, `times` to LEAST_TIMES."""

    def add(inject: Callable[["Torture"], bool]) -> Callable[["Torture"], bool]:
        FAULTS[name] = inject
        if times is not None:
            LEAST_TIMES[name] = times
        return inject

    return add


class Torture:
    """A directory with pictures and training runs. Disturbed runs must have the results of an undisturbed run."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.random = random.Random(seed)
        self.problem = ""
        self._name_count = 0
        draw_pictures(directory / "pictures")
        self.images = load_split(Source(f"folder:{directory / 'pictures'}", cache_dir=""), "test")
        name = self.new_name()
        with self.start(name) as program:
            # The start is not timed, because the server that forks the program may first have to import TensorFlow.
            program.wait_until((directory / name / "run.json").exists)
            started = time.monotonic()
            has_succeeded = self.ended_with(program.finish(), 0)
        self.seconds_undisturbed = time.monotonic() - started
        if not has_succeeded:
            raise RunError(f"the undisturbed run failed: {self.problem}")
        self.expected = self.outcome(name)

    def new_name(self) -> str:
        """Returns a new name for a run or a folder."""
        self._name_count += 1
        return f"run-{self._name_count}"

    def checkpoints(self, name: str) -> list[Path]:
        """The checkpoints of a run, the oldest first."""
        return sorted((self.directory / name / "checkpoints").glob("step-*.keras"))

    def start(self, name: str, *arguments: str, largest_file: int | None = None) -> RunningProgram:
        """Starts a run, or resumes it if it was started before."""
        resume = ["--resume"] if (self.directory / name / "run.json").exists() else []
        usual_arguments = [*TRAINING, f"--run_dir={name}", f"--export_dir={name}-model", "--overwrite"]
        all_arguments = [*usual_arguments, *resume, *arguments]
        return RunningProgram("train.py", all_arguments, self.directory, {CACHE_VARIABLE: "cache"}, largest_file)

    def start_to_checkpoint(self, name: str, count: int = 3) -> RunningProgram:
        """Starts a run, and returns it as soon as it has written `count` checkpoints or has ended."""
        program = self.start(name)
        program.wait_until(lambda: len(self.checkpoints(name)) >= count)
        return program

    def ended_with(self, finished: Finished, status: int, message: str = "") -> bool:
        """Whether a program ended with this status, and with `message` in its standard error.

        If the status is not 0, standard error must be a single line. If anything is wrong, `problem` says what.
        """
        is_right = finished.status == status and message in finished.stderr
        if status:
            is_right = is_right and len(finished.error_lines) == 1
        if not is_right:
            with_message = f" with {message!r}" if message else ""
            expected = f"status {status} and one line{with_message}" if status else "status 0"
            self.problem = f"status {finished.status}, expected {expected}: {finished.stderr.strip()[-300:]!r}"
        return is_right

    def ends_as_expected(self, name: str) -> bool:
        """Resumes a run, and returns whether its results equal those of the undisturbed run bit for bit."""
        with self.start(name) as program:
            finished = program.finish()
        if finished.status:
            self.problem = f"{name} could not be resumed: {finished.stderr.strip()[-300:]!r}"
            return False
        outcome = self.outcome(name)
        different = [key for key, value in self.expected.items() if outcome[key] != value]
        if different:
            self.problem = f"{name} and the undisturbed run differ in {', '.join(different)}"
        return not different

    def outcome(self, name: str) -> dict[str, Any]:
        """All results that must be the same, bit for bit, however often a run was disturbed."""
        with zipfile.ZipFile(self.checkpoints(name)[-1]) as archive:
            digests = {
                member: hashlib.sha256(archive.read(member)).hexdigest()
                for member in ("model.weights.h5", "progress.json")
            }
        card = ServedAutoencoder(self.directory / f"{name}-model").card
        return {
            "weights and optimizer": digests["model.weights.h5"],
            "step and metrics": digests["progress.json"],
            "checkpoints": [file.name for file in self.checkpoints(name)],
            "TensorBoard scalars": tensorboard_records(self.directory / name / "logs" / "train"),
            "TensorBoard pictures": tensorboard_records(self.directory / name / "logs" / "pictures"),
            "RMSE": (card.training_rmse, card.test_rmse),
        }


def draw_pictures(folder: Path, count: int = PICTURE_COUNT) -> None:
    """Writes pictures of blurred grey spots, 12x12 pixels."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[0:12, 0:12]
    for index in range(count):
        row, column = generator.uniform(2, 10, 2)
        spot = 255 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 6)
        Image.fromarray(spot.astype(np.uint8)).save(folder / f"{index:02d}.png")


def tensorboard_records(log_dir: Path) -> list[tuple[str, int, bytes]]:
    """The name, the step and the bytes of the value of every record in a TensorBoard directory."""
    events = EventAccumulator(str(log_dir), size_guidance={"tensors": 0}).Reload()
    return [
        (tag, event.step, event.tensor_proto.SerializeToString())
        for tag in events.Tags()["tensors"]
        for event in events.Tensors(tag)
    ]


def kill_training(torture: Torture, kills: int, table: "Table") -> None:
    """Starts runs one after the other, and kills and resumes each until it finishes.

    Ends after `kills` kills in all. They alternate: one while a run writes a checkpoint, the next at a random moment.
    """
    kinds, kill_count = ("SIGKILL while writing a checkpoint", "SIGKILL at a random moment"), 0
    while kill_count < kills and not table.out_of_time:
        name, injected = torture.new_name(), Counter[str]()
        is_finished = False
        while not is_finished and kill_count < kills and not table.out_of_time:
            # A kill that comes too late is repeated with another run.
            kind = kinds[kill_count % len(kinds)]
            with torture.start(name) as program:
                if kind == "SIGKILL at a random moment":
                    program.wait(torture.random.uniform(0, torture.seconds_undisturbed))
                else:
                    partial_files = f"{name}/checkpoints/.partial-*"
                    program.wait_until(partial(_any_file, torture.directory, partial_files))
                    program.wait(torture.random.uniform(0, 0.02))
                is_finished = not program.running
                program.stop(signal.SIGKILL)
            if not is_finished:
                injected[kind] += 1
                kill_count += 1
        survived = torture.ends_as_expected(name)
        for kind, count in injected.items():
            table.count(kind, count, survived, torture.problem)


def _any_file(directory: Path, pattern: str) -> bool:
    return any(directory.glob(pattern))


def kill_exports(torture: Torture, kills: int, table: "Table") -> None:
    """Kills exports that replace a model. Afterwards the old or the new model must be there and complete."""
    target, partial_model_pattern = torture.directory / "model", ".partial-*-model"
    arguments = [*SETTINGS, "--epochs=0", "--export_dir=model", "--overwrite"]
    seconds_to_export = 0.0
    for seed in range(kills + 1):
        if table.out_of_time:
            return
        environment = {CACHE_VARIABLE: "cache"}
        with RunningProgram("train.py", [*arguments, f"--seed={seed}"], torture.directory, environment) as program:
            program.wait_until(partial(_any_file, torture.directory, partial_model_pattern))
            started = time.monotonic()
            if seed == 0:  # The first export is not killed: it makes the model to replace, and is timed.
                program.finish()
                seconds_to_export = time.monotonic() - started
                continue
            program.wait(torture.random.uniform(0, seconds_to_export))
            program.stop(signal.SIGKILL)
        survived = False
        try:
            model = ServedAutoencoder(target)
            # The seed tells which export wrote the model: this one or an earlier one.
            survived = model.card.seed <= seed and abs(model.rmse(torture.images) - model.card.test_rmse) < 1e-6
            torture.problem = f"the model's RMSE is {model.rmse(torture.images)}, its card's {model.card.test_rmse}"
        except InputError as error:
            torture.problem = str(error)
        table.count("SIGKILL while exporting over a model", 1, survived, torture.problem)


def kill_decoding(torture: Torture, kills: int, table: "Table") -> None:
    """Kills programs while they decode a data set for the first time.

    Afterwards both splits must have the right images, and no partial file may be left. Every other time, a second
    program starts before the kill. The second program must succeed.
    """
    folder = torture.directory / "many-pictures"
    draw_pictures(folder, LARGE_PICTURE_COUNT)
    model_dir = torture.directory / UNDISTURBED_MODEL
    source_without_cache = replace(ModelCard.read(model_dir).source(f"folder:{folder}"), cache_dir="")
    started = time.monotonic()
    expected = [load_split(source_without_cache, split) for split in SPLITS]
    seconds_to_decode = time.monotonic() - started
    for number in range(kills):
        if table.out_of_time:
            return
        cache = torture.directory / f"cache-{number}"
        source = replace(source_without_cache, cache_dir=str(cache))
        arguments = [f"--model={model_dir}", f"--dataset={source.name}", f"--cache_dir={cache}"]
        evaluate = partial(RunningProgram, "evaluate.py", arguments, torture.directory)
        with contextlib.ExitStack() as stack:
            program = stack.enter_context(evaluate())
            program.wait_until(partial(_any_file, cache, ".partial-*"))
            other = stack.enter_context(evaluate()) if number % 2 else None
            program.wait(torture.random.uniform(0, seconds_to_decode))
            program.stop(signal.SIGKILL)
            survived = other is None or torture.ended_with(other.finish(), 0)
        splits = [load_split(source, split) for split in SPLITS]
        leftovers = sorted(file.name for file in cache.glob(".partial-*"))
        if leftovers or not all(map(np.array_equal, splits, expected)):
            survived, torture.problem = False, f"the images differ, or partial files were left: {leftovers}"
        table.count("SIGKILL while decoding", 1, survived, torture.problem)
        shutil.rmtree(cache)


@fault("file system full while decoding")
def fill_disk_of_cache(torture: Torture) -> bool:
    # The limit is less than the training images need. Standard error is also a file, and its error line must fit.
    largest_file = torture.random.randrange(1_000, 4_000)
    arguments = [*SETTINGS, "--epochs=1", f"--export_dir={torture.new_name()}"]
    environment = {CACHE_VARIABLE: "full-cache"}
    with RunningProgram("train.py", arguments, torture.directory, environment, largest_file) as program:
        failed_as_expected = torture.ended_with(program.finish(), 1, "cannot be written")
    cache = torture.directory / "full-cache"
    leftovers = [file.name for file in cache.iterdir() if not file.name.endswith(".lock")]
    if leftovers:
        torture.problem = f"left behind: {leftovers}"
    return failed_as_expected and not leftovers


@fault("SIGTERM while training")
def terminate(torture: Torture) -> bool:
    return _survives_signal(torture, signal.SIGTERM)


@fault("SIGINT while training")
def interrupt(torture: Torture) -> bool:
    return _survives_signal(torture, signal.SIGINT)


def _survives_signal(torture: Torture, stop_signal: signal.Signals) -> bool:
    name = torture.new_name()
    with torture.start_to_checkpoint(name) as program:
        program.stop(stop_signal)
        finished = program.finish()
    message = f"stopped by {stop_signal.name} after step"
    return torture.ended_with(finished, 128 + stop_signal, message) and torture.ends_as_expected(name)


@fault("SIGTERM twice")
def terminate_twice(torture: Torture) -> bool:
    name = torture.new_name()
    with torture.start_to_checkpoint(name) as program:
        program.stop(signal.SIGTERM)
        program.wait(0.001)
        program.stop(signal.SIGTERM)
        status = program.finish().status
    if status not in (-signal.SIGTERM, 128 + signal.SIGTERM):
        torture.problem = f"status {status}"
        return False
    return torture.ends_as_expected(name)


@fault("newest checkpoint damaged")
def damage_checkpoint(torture: Torture) -> bool:
    name = torture.new_name()
    with torture.start_to_checkpoint(name) as program:
        program.stop(signal.SIGKILL)
    newest = torture.checkpoints(name)[-1]
    content = newest.read_bytes()
    position = torture.random.randrange(len(content) // 10, len(content) // 2)
    rest = content[position:]
    damaged = {
        "flip": content[:position] + bytes([rest[0] ^ 1 << torture.random.randrange(8)]) + rest[1:],
        "truncate": content[:position],
        "empty": b"",
        "zeros": content[:position] + bytes(4096) + rest[4096:],
    }
    kind = torture.random.choice([kind for kind, changed in damaged.items() if changed != content])
    newest.write_bytes(damaged[kind])
    with torture.start(name) as program:
        resumed = program.finish()
    if f"{newest.name} is damaged" not in resumed.stdout:
        torture.problem = f"{kind}: no message about the damage: {resumed.stdout[-300:]!r}"
        return False
    return torture.ends_as_expected(name)


@fault("file system full")
def fill_disk(torture: Torture) -> bool:
    name = torture.new_name()
    with torture.start_to_checkpoint(name) as program:
        program.stop(signal.SIGKILL)
    contents_before = {file: file.read_bytes() for file in torture.checkpoints(name)}
    # The limit is less than a checkpoint or a model needs, and more than the small files need.
    with torture.start(name, largest_file=torture.random.randrange(2_000, 30_000)) as program:
        failed_as_expected = torture.ended_with(program.finish(), 1, "cannot be written")
    contents_after = {file: file.read_bytes() for file in torture.checkpoints(name)}
    if contents_after != contents_before:
        torture.problem = "a full disk changed the checkpoints"
    return failed_as_expected and contents_after == contents_before and torture.ends_as_expected(name)


@fault("run_dir moved away while training")
def move_directory_away(torture: Torture) -> bool:
    name = torture.new_name()
    with torture.start_to_checkpoint(name) as program:
        (torture.directory / name).rename(torture.directory / f"{name}-moved")
        failed_as_expected = torture.ended_with(program.finish(), 1, "cannot be written")
    (torture.directory / f"{name}-moved").rename(torture.directory / name)
    return failed_as_expected and torture.ends_as_expected(name)


@fault("second run on the same run_dir")
def second_run(torture: Torture) -> bool:
    name = torture.new_name()
    with torture.start_to_checkpoint(name, count=1) as first:
        with torture.start(name) as second:
            refused = torture.ended_with(second.finish(), 2, "is in use by another run")
        first_succeeded = torture.ended_with(first.finish(), 0)
    return refused and first_succeeded and torture.ends_as_expected(name)


@fault("divergence")
def diverge(torture: Torture) -> bool:
    name = torture.new_name()
    with torture.start(name, "--learning_rate=1e30") as program:
        diverged = torture.ended_with(program.finish(), 1, "step")
    damaged = [file.name for file in torture.checkpoints(name) if zipfile.ZipFile(file).testzip() is not None]
    if damaged:
        torture.problem = f"damaged checkpoints: {', '.join(damaged)}"
    return diverged and not damaged


@fault("truncated picture")
def break_picture(torture: Torture) -> bool:
    name = torture.new_name()
    picture = torture.directory / "pictures" / "00.png"
    content = picture.read_bytes()
    picture.write_bytes(content[: torture.random.randrange(1, len(content) - 20)])
    try:
        with torture.start(name) as program:
            refused = torture.ended_with(program.finish(), 2, "00.png")
    finally:
        picture.write_bytes(content)
    return refused and torture.ends_as_expected(name)


class Table:
    """The numbers of injected, survived and lost faults of each kind."""

    def __init__(self, end: float) -> None:
        self._end = end
        self._injected: Counter[str] = Counter()
        self._survived: Counter[str] = Counter()
        self.problems: list[str] = []

    @property
    def out_of_time(self) -> bool:
        """Whether the time to inject faults is over."""
        return time.monotonic() > self._end

    @property
    def lost_count(self) -> int:
        """The number of faults that were not survived."""
        return self._injected.total() - self._survived.total()

    def count(self, kind: str, injected: int, survived: bool, problem: str) -> None:
        """Adds faults of one kind, and prints the problem if they were not survived."""
        self._injected[kind] += injected
        if survived:
            self._survived[kind] += injected
        else:
            self.problems.append(f"{kind}: {problem}")
            print(f"lost: {self.problems[-1]}", flush=True)

    def __str__(self) -> str:
        rows = [
            f"{kind:<42}{count:>9}{self._survived[kind]:>10}{count - self._survived[kind]:>6}"
            for kind, count in self._injected.items()
        ]
        total = f"{'all':<42}{self._injected.total():>9}{self._survived.total():>10}{self.lost_count:>6}"
        return "\n".join([f"{'fault':<42}{'injected':>9}{'survived':>10}{'lost':>6}", *rows, total])
