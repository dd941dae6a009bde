"""`run.json`, in a run directory: what decides a run's result, and so has to be the same when one goes on with it."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deconv_ae import paths
from deconv_ae.errors import InputError
from deconv_ae.files import lock_exclusively, read_with_checksum, with_checksum, write_beside

FILE_NAME = "run.json"
LOCK = "run.lock"
"""Locked while a run uses the directory."""
UNRECORDED = {"fit": "stretch"}
"""What runs of versions that did not record it had."""
PEAK = "peak_learning_rate"
"""The field with the learning rate at its peak where the recipe decides it: another version's may decide otherwise."""
EXTENDED = "extended_after_epochs"
"""The field with the numbers of epochs that a run was meant to have before it was given more, in their order."""


def check(run_dir: str | Path, settings: Mapping[str, Any], resume: bool) -> dict[str, Any]:
    """Whether a run of these settings can start in a directory, or go on there; what is recorded of it, if anything.

    Args:
        settings: what is known already of those that decide the result. More epochs than the recorded ones extend it.
        resume: whether to go on.

    Raises:
        InputError: if the directory holds a run and resume is false, holds none and resume is true, or holds one with
            other settings.
    """
    path = paths.given("run_dir", run_dir)
    if not resume:
        if (path / FILE_NAME).exists():
            raise InputError(f"run_dir: {path} holds a run already; pass --resume to go on, or another directory")
        return {}
    recorded = read("resume", path, "leave --resume out to start one")
    # Through JSON and back, so that tuples and lists compare equal.
    for name, value in json.loads(json.dumps(settings)).items():
        before = recorded.get(name, UNRECORDED.get(name))
        if name == PEAK:
            before = recorded.get(PEAK, _unrecorded_peak(recorded))
            if before != value:
                raise InputError(
                    f"resume: {path} holds a run of another version, whose recipe {recorded['recipe']} has a learning "
                    f"rate of {before:.4f} at its peak, not {value:.4f}; go on with that version, or start anew in "
                    "another --run_dir"
                )
        elif name == "epochs" and isinstance(before, int):
            if value < before:
                raise InputError(
                    f"resume: {path} holds a run of {before} epochs, and {value} are fewer; give --epochs={before} to "
                    "go on with it, more to extend it, or another --run_dir"
                )
        elif before != value:
            raise InputError(
                f"resume: {path} holds a run with {name} {before}, not {value}; "
                "pass the same flags, or another --run_dir"
            )
    return recorded


def _unrecorded_peak(recorded: Mapping[str, Any]) -> float:
    """What versions that did not record it gave their recipes with one."""
    return 0.03 / math.sqrt(len(recorded["architecture"]["filters"]))


def check_not_in_use(run_dir: str | Path) -> None:
    """Raises InputError if another run uses the directory now. The run's own lock is what keeps others out."""
    path = paths.given("run_dir", run_dir)
    if (path / LOCK).exists():
        os.close(lock_exclusively("run_dir", path, path / LOCK))


def read(argument: str, run_dir: Path, advice: str) -> dict[str, Any]:
    """What is recorded of a run.

    Raises:
        InputError: that names the argument and says the advice, if there is no run, or its record cannot be read.
    """
    file = run_dir / FILE_NAME
    try:
        return read_with_checksum(file)
    except FileNotFoundError as error:
        raise InputError(f"{argument}: {run_dir} holds no run; {advice}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{argument}: {file} cannot be read ({error}); start anew elsewhere") from error


def extended(settings: Mapping[str, Any], recorded: Mapping[str, Any]) -> dict[str, Any]:
    """What is recorded of a run from now on, that has these settings and was recorded like this."""
    if not recorded:
        return dict(settings)
    if recorded["epochs"] == settings["epochs"]:
        return dict(recorded)
    return {**recorded, "epochs": settings["epochs"], EXTENDED: [*recorded.get(EXTENDED, []), recorded["epochs"]]}


def write(run_dir: Path, record: Mapping[str, Any]) -> None:
    write_beside(run_dir / FILE_NAME, with_checksum(dict(record)))
