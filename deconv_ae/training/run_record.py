"""`run.json` in a run directory: the settings that decide a run's result.

A resumed run must have the same settings, but may have more epochs and another setting of oneDNN.
"""

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from deconv_ae import paths, records
from deconv_ae.errors import InputError
from deconv_ae.files import lock_exclusively, write_atomically
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
        options: from `TrainingOptions.deciding_options`.
        dataset: the data set's name.
        training_images: number of training images.
        image_shape: (height, width, channels).
        fit: how images were resized; None if they were not.
        pictures: the pictures' `ImageDataset.fingerprint`.
        peak_learning_rate: from `TrainingOptions.peak_learning_rate`.
        onednn: the environment variable TF_ENABLE_ONEDNN_OPTS, or None. oneDNN rounds differently from TensorFlow's own
            kernels. The variable may change when the run is resumed.
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


def check_before_loading(run_dir: str | Path, options: TrainingOptions, dataset: str) -> None:
    """Checks a run directory before the images are loaded, as far as that is possible without the images.

    Args:
        run_dir: the run directory.
        options: the run's options.
        dataset: the data set's name.

    Raises:
        InputError: if `check` would raise it for the data set and options.
    """
    path = paths.checked_path("run_dir", run_dir)
    if not options.resume:
        _check_is_new(path)
        return
    old_record = read("resume", path, "leave --resume out to start a run")
    new_options, old_options = options.deciding_options(), old_record.options
    # A batch size or number of epochs of None follows from the number of images, and counts as unchanged.
    new_options = replace(
        new_options,
        epochs=old_options.epochs if new_options.epochs is None else new_options.epochs,
        batch_size=old_options.batch_size if new_options.batch_size is None else new_options.batch_size,
    )
    _check_settings_agree(
        path,
        old_record,
        replace(old_record, options=new_options, dataset=dataset, peak_learning_rate=options.peak_learning_rate),
    )


def check(run_dir: Path, new_record: RunRecord, resume: bool) -> RunRecord | None:
    """Checks that a run can start or resume in a directory.

    Args:
        run_dir: the run directory.
        new_record: the settings that the run is to start or resume with.
        resume: whether to resume.

    Returns:
        The record of the run to resume; None for a new run.

    Raises:
        InputError: if resume is false and the directory has a run; or if resume is true and the directory has no run,
            a record that cannot be read, or a run that differs in a setting that must stay.
    """
    if not resume:
        _check_is_new(run_dir)
        return None
    old_record = read("resume", run_dir, "leave --resume out to start a run")
    _check_settings_agree(run_dir, old_record, new_record)
    return old_record


def extend(new_record: RunRecord, old_record: RunRecord | None) -> RunRecord:
    """Returns the record to write. If the number of epochs has changed, the record also lists the old number."""
    if old_record is None:
        return new_record
    old_epochs, extensions = old_record.options.epochs, old_record.extended_after_epochs
    if old_epochs is not None and old_epochs != new_record.options.epochs:
        extensions = (*extensions, old_epochs)
    return replace(new_record, extended_after_epochs=extensions)


def _check_is_new(run_dir: Path) -> None:
    if paths.exists("run_dir", run_dir / FILE_NAME):
        raise InputError(f"run_dir: {run_dir} holds a run already; pass --resume to go on, or another directory")


def _check_settings_agree(run_dir: Path, old_record: RunRecord, new_record: RunRecord) -> None:
    # The pictures are compared first, because other pictures may also change other settings, such as the batch size.
    source_fields = ("dataset", "image_shape", "fit")
    is_same_source = all(getattr(old_record, name) == getattr(new_record, name) for name in source_fields)
    if is_same_source and old_record.pictures != new_record.pictures:
        raise InputError(
            f"resume: {run_dir} holds a run on other pictures than {new_record.dataset} has now; restore the old "
            "pictures, read them with the same flags, or start anew in another --run_dir"
        )
    old_settings = _settings(old_record)
    for name, new in _settings(new_record).items():
        old = old_settings[name]
        if name == "epochs":
            if new < old:
                raise InputError(
                    f"resume: {run_dir} holds a run of {old} epochs, and {new} are fewer; give --epochs={old} to "
                    "go on with it, more to extend it, or another --run_dir"
                )
        elif old != new:
            raise InputError(
                f"resume: {run_dir} holds a run with {name} {old}, not {new}; pass the same flags, or another --run_dir"
            )
    old_peak, new_peak = old_record.peak_learning_rate, new_record.peak_learning_rate
    if old_peak != new_peak:
        raise InputError(
            f"resume: {run_dir} holds a run of another version, whose recipe {old_record.options.recipe} has a peak "
            f"learning rate of {old_peak if old_peak is None else f'{old_peak:.4f}'}, not "
            f"{new_peak if new_peak is None else f'{new_peak:.4f}'}; go on with that version, or start anew in "
            "another --run_dir"
        )


def _settings(record: RunRecord) -> dict[str, Any]:
    """Returns, by name, `epochs`, which may only grow, and other settings, which a resumed run must keep.

    The peak learning rate is left out: it must stay, too, but an error about it has a message of its own.
    """
    fields = asdict(record)
    for name in ("extended_after_epochs", "peak_learning_rate", "onednn"):
        del fields[name]
    return fields.pop("options") | fields


def check_not_in_use(run_dir: str | Path) -> None:
    """Raises InputError if another run uses the directory now, or if its lock file cannot be locked.

    The check takes the lock and releases it at once, so that the caller's run can take it later.
    """
    path = paths.checked_path("run_dir", run_dir)
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
        InputError: if there is no run, or its record cannot be read. The message begins with the argument's name.
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
    write_atomically(run_dir / FILE_NAME, records.as_text(record))
