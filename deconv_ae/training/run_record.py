"""`run.json`, in a run directory: what decides a run's result, and so has to be the same when one goes on with it."""

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from deconv_ae import paths, records
from deconv_ae.errors import InputError
from deconv_ae.files import lock_exclusively, write_beside
from deconv_ae.records import Count, Length, Measure, Name
from deconv_ae.training.options import TrainingOptions

FILE_NAME = "run.json"
LOCK = "run.lock"
"""Locked while a run uses the directory."""
ONEDNN_VARIABLE = "TF_ENABLE_ONEDNN_OPTS"


@dataclass(frozen=True)
class RunRecord:
    """What a run directory says of its run.

    Attributes:
        options: `TrainingOptions.deciding`.
        dataset: its name.
        training_images, image_shape: the images'.
        fit: how they came to their size, None where it was their own.
        pictures: their fingerprint, `ImageDataset.fingerprint`.
        peak_learning_rate: the recipe's, None where the options give one, or the recipe has none.
        onednn: what the environment said of oneDNN, which rounds otherwise than TensorFlow's own kernels; None if
            nothing. It may be another when the run goes on.
        extended_after_epochs: numbers of epochs that the run was meant to have before it was given more, in order.
    """

    options: TrainingOptions
    dataset: Name
    training_images: Length
    image_shape: tuple[Length, Length, Length]
    fit: Name | None
    pictures: Name
    peak_learning_rate: Measure | None
    onednn: str | None
    extended_after_epochs: tuple[Count, ...] = ()


def check_place(run_dir: str | Path, options: TrainingOptions, dataset: str) -> None:
    """What can be known of a run before its images are: whether a directory has none yet, or one to go on with.

    Raises:
        InputError: as `check`.
    """
    path = paths.given("run_dir", run_dir)
    if not options.resume:
        _check_is_new(path)
        return
    recorded = read("resume", path, "leave --resume out to start one")
    wanted = options.deciding()
    # As they were, where they follow from the number of images.
    then = recorded.options
    wanted = replace(
        wanted,
        epochs=then.epochs if wanted.epochs is None else wanted.epochs,
        batch_size=then.batch_size if wanted.batch_size is None else wanted.batch_size,
    )
    _check_agree(
        path,
        recorded,
        replace(recorded, options=wanted, dataset=dataset, peak_learning_rate=options.peak_learning_rate),
    )


def check(run_dir: Path, record: RunRecord, resume: bool) -> RunRecord | None:
    """Whether a run can start in a directory, or go on there; what is recorded of it, None of a new one.

    Raises:
        InputError: if the directory holds a run and resume is false, holds none and resume is true, or holds one with
            other settings.
    """
    if not resume:
        _check_is_new(run_dir)
        return None
    recorded = read("resume", run_dir, "leave --resume out to start one")
    _check_agree(run_dir, recorded, record)
    return recorded


def extended(record: RunRecord, recorded: RunRecord | None) -> RunRecord:
    """What is recorded of a run from now on: more epochs than before extend it."""
    if recorded is None:
        return record
    before, extensions = recorded.options.epochs, recorded.extended_after_epochs
    if before is not None and before != record.options.epochs:
        extensions = (*extensions, before)
    return replace(record, extended_after_epochs=extensions)


def _check_is_new(run_dir: Path) -> None:
    if paths.exists("run_dir", run_dir / FILE_NAME):
        raise InputError(f"run_dir: {run_dir} holds a run already; pass --resume to go on, or another directory")


def _check_agree(run_dir: Path, recorded: RunRecord, record: RunRecord) -> None:
    # First: of other pictures there may be another number, from which other settings follow.
    read_alike = all(getattr(recorded, name) == getattr(record, name) for name in ("dataset", "image_shape", "fit"))
    if read_alike and recorded.pictures != record.pictures:
        raise InputError(
            f"resume: {run_dir} holds a run on other pictures than {record.dataset} has now; bring those back, read "
            "with the same flags, or start anew in another --run_dir"
        )
    before, now = recorded.peak_learning_rate, record.peak_learning_rate
    for name, value in _settings(record).items():
        then = _settings(recorded)[name]
        if name == "epochs":
            if value < then:
                raise InputError(
                    f"resume: {run_dir} holds a run of {then} epochs, and {value} are fewer; give --epochs={then} to "
                    "go on with it, more to extend it, or another --run_dir"
                )
        elif then != value:
            raise InputError(
                f"resume: {run_dir} holds a run with {name} {then}, not {value}; "
                "pass the same flags, or another --run_dir"
            )
    if before != now:
        raise InputError(
            f"resume: {run_dir} holds a run of another version, whose recipe {recorded.options.recipe} has a learning "
            f"rate of {before if before is None else f'{before:.4f}'} at its peak, not "
            f"{now if now is None else f'{now:.4f}'}; go on with that version, or start anew in another --run_dir"
        )


def _settings(record: RunRecord) -> dict[str, Any]:
    """What has to be the same, by the names of the flags."""
    fields = asdict(record)
    for name in ("extended_after_epochs", "peak_learning_rate", "onednn"):
        del fields[name]
    return fields.pop("options") | fields


def check_not_in_use(run_dir: str | Path) -> None:
    """Raises InputError if another run uses the directory now. The run's own lock is what keeps others out."""
    path = paths.given("run_dir", run_dir)
    if os.path.lexists(path / LOCK):  # A link to nothing is no lock either.
        lock_exclusively("run_dir", path, path / LOCK).release()


def read(argument: str, run_dir: Path, advice: str) -> RunRecord:
    """What is recorded of a run.

    Raises:
        InputError: that names the argument and says the advice, if there is no run, or its record cannot be read.
    """
    file = run_dir / FILE_NAME
    try:
        record = records.read_file(RunRecord, file)
        if record.options.epochs is None or record.options.batch_size is None:
            raise ValueError("options.epochs or options.batch_size is None")
        return record
    except FileNotFoundError as error:
        raise InputError(f"{argument}: {run_dir} holds no run; {advice}") from error
    except OSError as error:
        raise InputError(f"{argument}: {file} cannot be read: {error.strerror}; start anew elsewhere") from error
    except ValueError as error:
        raise InputError(f"{argument}: {file} is no record of a run ({error}); start anew elsewhere") from error


def write(run_dir: Path, record: RunRecord) -> None:
    write_beside(run_dir / FILE_NAME, records.as_text(record))
