"""The directory of an exported model: checked before training, and replaced as a whole after it."""

import contextlib
import ctypes
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from deconv_ae import files, paths
from deconv_ae.cleanup import cleanup_on_signal, delay_signals
from deconv_ae.errors import InputError, RunError
from deconv_ae.files import flush_to_disk, flush_tree_to_disk, partial_beside, partial_path, partials, remove
from deconv_ae.saved_model.model_card import COMPRESSION_FILE, FILE_NAME, KERAS_FILE

MODEL_FILE = "saved_model.pb"
VARIABLES, ASSETS = "variables", "assets"
# TensorFlow writes the fingerprint. TensorFlow also makes the directory of assets, though models have none.
EXPORTED_NAMES = {MODEL_FILE, FILE_NAME, KERAS_FILE, COMPRESSION_FILE, "fingerprint.pb", VARIABLES, ASSETS}


class ExportDirectory:
    """A lock on the directory of one model, from before training until the model is written.

    Use it as a context manager around training: while one process holds the lock, other processes cannot get the
    directory. `replace` writes a model to a hidden directory beside the target, and then renames that directory. So a
    reader sees the old model or the new model, never a part. Where the system cannot exchange two directories
    atomically, a reader may see no model for a moment. A symbolic link is followed and kept.

    Args:
        export_dir: the SavedModel's directory.
        overwrite: whether to replace an existing model.

    Raises:
        InputError: as `check_replaceable`; on entering, also if another process holds the lock.
    """

    def __init__(self, export_dir: str | os.PathLike[str], overwrite: bool = False) -> None:
        self.path = check_replaceable(export_dir, overwrite)
        self._overwrite = overwrite
        self._exit_stack = contextlib.ExitStack()

    @delay_signals()
    def __enter__(self) -> "ExportDirectory":
        with contextlib.ExitStack() as exit_stack:
            for ancestor in self.path.parents:
                if ancestor.exists():
                    break
                exit_stack.callback(_remove_if_empty, ancestor)
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                exit_stack.enter_context(files.locked_directory("export_dir", self.path))
            except OSError as error:
                raise InputError(
                    f"export_dir: {self.path} cannot be written: {error.strerror}; give another"
                ) from error
            for leftover in partials(self.path):  # A process that was killed left it.
                remove(leftover)
            check_replaceable(self.path, self._overwrite)
            self._exit_stack = exit_stack.pop_all()
        # This context is entered last, so that it ends before the lock is released.
        self._exit_stack.enter_context(cleanup_on_signal(self._exit_stack.close))
        return self

    @delay_signals()
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exit_stack.close()

    def replace(self, write: Callable[[Path], object]) -> None:
        """Writes a model and moves it into place.

        Args:
            write: writes the model to the empty directory that it is called with.

        Raises:
            RunError: if writing fails; an existing model stays. If the new model is complete but its place has become
                unusable, the new model stays beside that place, and the message names its directory.
        """
        try:
            with partial_path(self.path) as partial:
                partial.mkdir(parents=True)
                write(partial)
                flush_tree_to_disk(partial)
                with delay_signals():
                    self._put_in_place(partial)
        except OSError as error:
            raise RunError(f"export_dir: {self.path} cannot be written: {error.strerror or error}") from error

    def _put_in_place(self, partial: Path) -> None:
        """Renames `partial`, and replaces an existing model.

        Where the system can, `partial` and the existing model exchange their names atomically. `replace` then deletes
        the old model.
        """
        try:
            check_replaceable(self.path, self._overwrite)
            if not self.path.exists():
                partial.rename(self.path)
            elif not _exchange(partial, self.path):
                # Without an atomic exchange, two renames replace the model. If the process is killed between the
                # renames, the old model stays in the hidden directory `old`.
                old = self.path.with_name(f".{self.path.name}.old-{os.urandom(4).hex()}")
                self.path.rename(old)
                try:
                    partial.rename(self.path)
                except OSError:
                    old.rename(self.path)
                    raise
                shutil.rmtree(old, ignore_errors=True)
        except (InputError, OSError) as error:
            model_path = self.path.with_name(f"{self.path.name}.new-{os.urandom(4).hex()}")
            partial.rename(model_path)
            reason = error.strerror or error if isinstance(error, OSError) else error
            raise RunError(
                f"export_dir: {self.path} can no longer be used ({reason}); the model is in {model_path}"
            ) from error
        flush_to_disk(self.path.parent)


def check_replaceable(export_dir: str | os.PathLike[str], overwrite: bool) -> Path:
    """Checks that a model can be written to a directory, before time is spent on training.

    Args:
        export_dir: the SavedModel's directory.
        overwrite: whether to replace an existing model.

    Returns:
        The absolute path, with symbolic links followed.

    Raises:
        InputError: if the path exists without `overwrite`; if it is a file or a mount point; if it holds anything but
            an exported model; if the directory cannot be written; or if the path has a wildcard, because TensorFlow
            cannot read a model from such a path.
    """
    target = paths.resolved("export_dir", export_dir)
    paths.check_no_wildcard("export_dir", target)
    if paths.exists("export_dir", target):
        _check_replaceable(target, overwrite)
    paths.directory_to_write("export_dir", partial_beside(target))
    return target


def _check_replaceable(target: Path, overwrite: bool) -> None:
    if not overwrite:
        raise InputError(
            f"export_dir: {target} exists; pass --overwrite (overwrite=True in Python) to replace it, or give another "
            "directory"
        )
    if not paths.is_directory("export_dir", target):
        raise InputError(f"export_dir: {target} is a file; give a directory")
    if target.is_mount():
        raise InputError(f"export_dir: {target} is a mount point, which cannot be replaced; give a directory in it")
    names = {path.name for path in target.iterdir()}
    if names and not {MODEL_FILE, FILE_NAME} <= names:
        raise InputError(f"export_dir: {target} holds something other than a model; give another directory")
    variables = target / VARIABLES
    foreign_names = sorted(names - EXPORTED_NAMES)
    foreign_names += [f"{ASSETS}/{path.name}" for path in _entries(target / ASSETS)]
    foreign_names += [
        f"{VARIABLES}/{path.name}" for path in _entries(variables) if not path.name.startswith("variables.")
    ]
    if foreign_names:
        raise InputError(
            f"export_dir: {target} holds more than a model: {foreign_names[0]}; move it away, or give another directory"
        )


def _entries(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _remove_if_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):
        directory.rmdir()


def _exchange(first: Path, second: Path) -> bool:
    """Swaps two directories' names atomically; returns False where the system or the file system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    current_directory, rename_exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of renameat2(2)
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    return renameat2 is not None and not renameat2(
        current_directory, os.fsencode(first), current_directory, os.fsencode(second), rename_exchange
    )
