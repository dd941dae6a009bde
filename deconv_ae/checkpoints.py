"""The run directory: what a run was started with, and the checkpoints from which it goes on.

RUN_DIR/run.json                          what decides the result; --resume compares it
RUN_DIR/checkpoints/step-00000938.keras   model and optimizer after that many steps
RUN_DIR/logs/                             TensorBoard's
"""

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import keras

from deconv_ae.architecture import Autoencoder
from deconv_ae.errors import InputError, RunError

CHECKPOINTS_KEPT = 3


class RunDirectory:
    """A folder that belongs to one training run.

    Args:
        path: the folder; it is made where it does not exist.
        settings: everything that decides the result of the run, as JSON can hold it.
        resume: whether to go on with the run that the folder holds.

    Raises:
        InputError: if the folder holds a run and resume is false, holds none and resume is true,
            holds one with other settings, or cannot be written.
    """

    def __init__(self, path: str | Path, settings: dict[str, Any], resume: bool) -> None:
        self.path = Path(path)
        self._settings_file = self.path / "run.json"
        if resume:
            self._compare(settings)
            return
        if self._settings_file.exists():
            raise InputError(f"run_dir: {self.path} holds a run already; pass --resume to go on, or another directory")
        try:
            self._checkpoints.mkdir(parents=True, exist_ok=True)
            write_beside(self._settings_file, json.dumps(settings, indent=2) + "\n")
        except OSError as error:
            raise InputError(f"run_dir: {self.path} cannot be written: {error.strerror}; give another") from error

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def _checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def _compare(self, settings: dict[str, Any]) -> None:
        try:
            started_with = json.loads(self._settings_file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InputError(f"resume: {self.path} holds no run; leave --resume out to start one") from error
        except (OSError, ValueError) as error:
            raise InputError(f"resume: {self._settings_file} cannot be read ({error}); start anew elsewhere") from error
        # Through JSON and back, so that tuples and lists compare equal.
        for name, value in json.loads(json.dumps(settings)).items():
            if started_with.get(name) != value:
                raise InputError(
                    f"resume: {self.path} holds a run with {name} {started_with.get(name)}, not {value}; "
                    "pass the same flags, or another --run_dir"
                )

    def save(self, model: keras.Model) -> None:
        """Writes a checkpoint of the model and its optimizer, and drops the oldest beyond three.

        Raises:
            RunError: if it cannot be written; earlier checkpoints stay.
        """
        step = int(model.optimizer.iterations)
        target = self._checkpoints / f"step-{step:08d}.keras"
        partial = target.with_name(f".partial-{target.name}")
        try:
            model.save(partial)
            partial.replace(target)
            for old in self._saved()[:-CHECKPOINTS_KEPT]:
                old.unlink()
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise RunError(f"run_dir: {target} cannot be written: {error.strerror or error}") from error

    def restore(self) -> Autoencoder | None:
        """The compiled model of the newest undamaged checkpoint; None if there is none yet."""
        for file in reversed(self._saved()):
            try:
                with zipfile.ZipFile(file) as archive:
                    damaged = archive.testzip()
                if damaged is None:
                    return keras.models.load_model(file, safe_mode=True)
            except (zipfile.BadZipFile, OSError, ValueError, KeyError):
                pass
            print(f"run_dir: {file} is damaged; taking the one before it", file=sys.stderr)
        return None

    def _saved(self) -> list[Path]:
        return sorted(self._checkpoints.glob("step-*.keras"))


def write_beside(file: Path, text: str) -> None:
    """Writes a text file under another name and renames it, so that it is never seen half-written."""
    partial = file.with_name(f".partial-{file.name}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)
