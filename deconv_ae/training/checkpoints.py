"""The run directory: a run's settings, and the checkpoints to resume it from.

RUN_DIR/run.json                          the settings that decide the result, see `run_record`
RUN_DIR/run.lock                          locked while a run uses the directory
RUN_DIR/checkpoints/step-00000938.keras   model, optimizer and metrics after that many steps
RUN_DIR/history.json                      the RMSE of every epoch
RUN_DIR/logs/                             TensorBoard's logs
"""

import json
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import keras
import numpy as np
from filelock import BaseFileLock

from deconv_ae import paths, records
from deconv_ae.errors import InputError, RunError, first_line
from deconv_ae.files import (
    flush_to_disk,
    lock_exclusively,
    open_to_read,
    partial_path,
    remove_partials,
    write_atomically,
)
from deconv_ae.messages import tell
from deconv_ae.model import arrays
from deconv_ae.records import Count
from deconv_ae.training import history, run_record
from deconv_ae.training.history import Epoch, History
from deconv_ae.training.run_record import ONEDNN_VARIABLE, RunRecord

CHECKPOINTS_KEPT = 3
PROGRESS_FILE = "progress.json"
"""The file of a `SavedProgress` in a checkpoint, beside Keras's files."""


@dataclass(frozen=True)
class SavedProgress:
    """The step of a checkpoint, the values of the metrics' variables, and the fingerprint of the pictures."""

    step: Count
    metrics: list[float]
    pictures: str


class RunDirectory:
    """A directory that belongs to one training run, and to one process at a time.

    Use it as a context manager: leaving it releases the lock. If the process is killed, the system releases the lock.

    Args:
        path: the directory; it is made if it does not exist.
        record: everything that decides the result of the run to start or resume.
        resume: whether to resume the directory's run.
        writes: False for a process that only reads the checkpoints, as every worker but the chief does.

    Raises:
        InputError: if `run_record.check` raises it, another process uses the directory, or the directory cannot be
            written.
    """

    def __init__(self, path: str | Path, record: RunRecord, resume: bool, writes: bool = True) -> None:
        self.path = paths.checked_path("run_dir", path)
        self.writes = writes
        self._resume = resume
        self._lock: BaseFileLock | None = None
        old_record = run_record.check(self.path, record, resume) if resume else None
        self._record = run_record.extend(record, old_record)
        if not writes:
            return
        try:
            self._checkpoint_dir.mkdir(parents=True, exist_ok=True)
            self._lock = lock_exclusively("run_dir", self.path, self.path / run_record.LOCK)
            if not resume:
                # This check is under the lock, so that no other process can start a run after it.
                run_record.check(self.path, record, resume)
            if self._record != old_record:
                run_record.write(self.path, self._record)
            if old_record is not None and old_record.onednn != record.onednn:
                before, now = (each.onednn or "not set" for each in (old_record, record))
                tell(f"{ONEDNN_VARIABLE} was {before} and is now {now}: from here on, numbers are rounded differently")
            remove_partials(self.path)  # A killed run may have left partial files.
        except OSError as error:
            self.__exit__(None, None, None)
            raise InputError(
                f"run_dir: {error.filename or self.path} cannot be written: {error.strerror}; give another"
            ) from error
        except InputError:
            self.__exit__(None, None, None)
            raise

    def __enter__(self) -> "RunDirectory":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def extended_after_epochs(self) -> tuple[int, ...]:
        """The earlier numbers of epochs of a run that was extended."""
        return self._record.extended_after_epochs

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def _history_file(self) -> Path:
        return self.path / history.FILE_NAME

    @property
    def _checkpoint_dir(self) -> Path:
        return self.path / "checkpoints"

    def save(self, model: keras.Model, step: int) -> None:
        """Writes a checkpoint of the model, its optimizer and its metrics, and deletes all but the newest three.

        Under a strategy of several workers, every worker must call this method, because saving sums the metrics over
        all workers. Only a process whose `writes` is true writes the file.

        Args:
            model: a compiled model.
            step: the number of steps done.

        Raises:
            RunError: if the weights are not finite or the file cannot be written, and then the earlier checkpoints
                stay; or if an old checkpoint cannot be deleted.
        """
        metrics = [float(arrays.to_array(variable)) for variable in model.metrics_variables]
        if not all(np.isfinite(weight).all() for weight in model.get_weights()):
            raise RunError(f"the weights became infinite or NaN in step {step}; try a lower --learning_rate")
        if not self.writes:
            return
        target = self._checkpoint_dir / f"step-{step:08d}.keras"
        try:
            with partial_path(target) as partial:
                arrays.save(model, partial)
                with zipfile.ZipFile(partial, "a") as archive:
                    archive.writestr(
                        PROGRESS_FILE, json.dumps(asdict(SavedProgress(step, metrics, self._record.pictures)))
                    )
                flush_to_disk(partial)
                partial.replace(target)
            flush_to_disk(self._checkpoint_dir)
        except OSError as error:
            raise RunError(f"run_dir: {target} cannot be written: {error.strerror or error}") from error
        try:
            for old in self._checkpoint_files()[:-CHECKPOINTS_KEPT]:
                old.unlink()
        except OSError as error:
            raise RunError(
                f"run_dir: the old checkpoints in {self._checkpoint_dir} cannot be deleted: {error.strerror or error}"
            ) from error

    def restore(self, model: keras.Model) -> tuple[int, list[float]]:
        """Loads the newest undamaged checkpoint into a compiled model with a built optimizer.

        The method first checks every byte of the file against the file's checksums (CRC-32). Then it loads only
        numbers: no configuration, no code.

        Args:
            model: the model to load into.

        Returns:
            The number of steps done, and the values of the metrics' variables after them; 0 and [] for a new run or a
            run that was killed before its first checkpoint.

        Raises:
            InputError: if a checkpoint is of a run on other pictures, or the checkpoints cannot be listed.
            RunError: if there are checkpoints and none of them can be used.
        """
        try:
            files = self._checkpoint_files() if self._resume else []
        except OSError as error:
            raise InputError(
                f"resume: {self._checkpoint_dir} cannot be read: {first_line(error)}; make it readable"
            ) from error
        for file in reversed(files):
            try:
                progress = _verified_progress(file, self._record.pictures)
                with warnings.catch_warnings():
                    # If an optimizer's variables do not fit, Keras only warns.
                    warnings.filterwarnings("error", message="Skipping variable loading")
                    model.load_weights(file)
                return progress
            except InputError:
                raise
            except Exception as error:
                tell(f"run_dir: {file} is damaged ({first_line(error)}); going on without it")
        if files:
            raise RunError(f"run_dir: none of the {len(files)} checkpoints in {self.path} can be used; start anew")
        return 0, []

    def write_history(self, epochs: Sequence[Epoch]) -> None:
        """Replaces the history on disk, or does nothing in a process that only reads.

        Args:
            epochs: the whole history.

        Raises:
            RunError: if the file cannot be written.
        """
        if not self.writes:
            return
        try:
            write_atomically(self._history_file, records.as_text(History(tuple(epochs))))
        except OSError as error:
            raise RunError(f"run_dir: {self._history_file} cannot be written: {error.strerror or error}") from error

    def history(self, last_epoch: int) -> list[Epoch]:
        """Reads the history up to `last_epoch`; returns an empty list if the file is missing or damaged."""
        try:
            epochs = history.read(self.path)
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            tell(f"run_dir: {self._history_file} is damaged ({first_line(error)}); the history begins anew")
            return []
        return [epoch for epoch in epochs if epoch.number <= last_epoch]

    def _checkpoint_files(self) -> list[Path]:
        # In a directory that cannot be read, Path.glob would find nothing, and the run would start anew.
        files = self._checkpoint_dir.iterdir() if self._checkpoint_dir.exists() else ()
        return sorted(file for file in files if file.match("step-*.keras"))


def _verified_progress(file: Path, fingerprint: str) -> tuple[int, list[float]]:
    with open_to_read(file) as stream, zipfile.ZipFile(stream) as archive:
        damaged_member = archive.testzip()
        if damaged_member is not None:
            raise ValueError(f"{damaged_member} does not match its checksum")
        progress = records.read(SavedProgress, json.loads(archive.read(PROGRESS_FILE)))
    if progress.pictures != fingerprint:
        raise InputError(
            f"resume: {file} is of a run on other pictures; move it away, or start anew in another --run_dir"
        )
    return progress.step, progress.metrics
