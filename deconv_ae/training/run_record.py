"""`run.json` in a run directory: the settings that decide a run's result.

A resumed run must have the same settings, but may have more epochs and another setting of oneDNN.
"""

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
    """The settings of a run.

    Attributes:
        options: from `TrainingOptions.deciding`.
        dataset: the data set's name.
        training_images: number of training images.
        image_shape: (height, width, channels).
        fit: how images were resized; None if they were not.
        pictures: the pictures' `ImageDataset.fingerprint`.
        peak_learning_rate: from `TrainingOptions.peak_learning_rate`.
        onednn: the environment's setting of oneDNN, or None. oneDNN rounds differently from TensorFlow's own kernels.
            The setting may change when the run is resumed.
        extended_after_epochs: earlier numbers of epochs, in order, if the run was extended.
    """

    options: TrainingOptions
    dataset: Name
    training_images: Length
    image_shape: tuple[Length, Length, Length]
    fit: Name | None
    pictures: Name
    peak_learning_rate: Measure | None
    onednn: Name | None
    extended_after_epochs: tuple[Count, ...] = ()


def check_place(run_dir: str | Path, options: TrainingOptions, dataset: str) -> None:
    """Checks a run directory before the images are loaded, as far as that is possible.

    Args:
        run_dir: the run directory.
        options: the run's options.
        dataset: the data set's name.

    Raises:
        InputError: as `check`.
    """
    path = paths.given("run_dir", run_dir)
    if not options.resume:
        _check_is_new(path)
        return
    recorded = read("resume", path, "leave --resume out to start a run")
    wanted = options.deciding()
    # Batch size and epochs that follow from the number of images count as unchanged.
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
    """Checks that a run can start or resume in a directory, and returns the record of the run to resume, or None.

    Args:
        run_dir: the run directory.
        record: the record of the run to start or resume.
        resume: whether to resume.

    Returns:
        The directory's record, or None for a new run.

    Raises:
        InputError: if the directory has a run and resume is false, has no run and resume is true, or has a run with
            other settings.
    """
    if not resume:
        _check_is_new(run_dir)
        return None
    recorded = read("resume", run_dir, "leave --resume out to start a run")
    _check_agree(run_dir, recorded, record)
    return recorded


def extend(record: RunRecord, recorded: RunRecord | None) -> RunRecord:
    """Returns the record to write. A record with more epochs than `recorded` extends the run."""
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
    # Checked first: if the pictures differ, their number may differ, and with it other settings.
    read_alike = all(getattr(recorded, name) == getattr(record, name) for name in ("dataset", "image_shape", "fit"))
    if read_alike and recorded.pictures != record.pictures:
        raise InputError(
            f"resume: {run_dir} holds a run on other pictures than {record.dataset} has now; restore the old "
            "pictures, read them with the same flags, or start anew in another --run_dir"
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
            f"resume: {run_dir} holds a run of another version, whose recipe {recorded.options.recipe} has a peak "
            f"learning rate of {before if before is None else f'{before:.4f}'}, not "
            f"{now if now is None else f'{now:.4f}'}; go on with that version, or start anew in another --run_dir"
        )


def _settings(record: RunRecord) -> dict[str, Any]:
    """The settings that must be the same in a resumed run, by name; only `epochs` may be larger."""
    fields = asdict(record)
    for name in ("extended_after_epochs", "peak_learning_rate", "onednn"):
        del fields[name]
    return fields.pop("options") | fields


def check_not_in_use(run_dir: str | Path) -> None:
    """Raises InputError if another run uses the directory now. The lock is released again, for the run to take."""
    path = paths.given("run_dir", run_dir)
    if os.path.lexists(path / LOCK):  # Also true for a broken link, which cannot be locked.
        lock_exclusively("run_dir", path, path / LOCK).release()


def read(argument: str, run_dir: Path, advice: str) -> RunRecord:
    """Reads the record of a run.

    Args:
        argument: the name of the caller's argument, for errors.
        run_dir: the run directory.
        advice: what to do if there is no run.

    Returns:
        The record.

    Raises:
        InputError: if there is no run, or its record cannot be read. The message begins with the argument.
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
        raise InputError(f"{argument}: {file} is not the record of a run ({error}); start anew elsewhere") from error


def write(run_dir: Path, record: RunRecord) -> None:
    """Writes the record of a run."""
    write_beside(run_dir / FILE_NAME, records.as_text(record))
