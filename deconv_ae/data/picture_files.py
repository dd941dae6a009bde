"""The files of a folder of pictures, and which of them are of which split."""

import os
from collections.abc import Iterator
from pathlib import Path

from deconv_ae.data.source import SPLITS
from deconv_ae.errors import InputError

File = tuple[str, int, int, int]
"""Its name, its size and the times of its last change; the second of them cannot be set back."""


def check_folder(folder: Path) -> None:
    """Raises InputError if a folder has no files to read, or only one of `train/` and `test/`. No file is opened."""
    for part in _parts(folder).values():
        if next(_walk(part), None) is None:
            raise _empty(part)


def split_files(folder: Path, split: str) -> list[File]:
    """Every file of one split, sorted by name; see `picture_folder.read`.

    Raises:
        InputError: as `check_folder`, or if one file cannot be divided, or a folder in it cannot be read.
    """
    from deconv_ae.data.split import split_numbers  # Which needs NumPy; what `check_folder` says, is said without.

    parts = _parts(folder)
    files = _files(parts.get(split, folder))
    if parts.keys() == set(SPLITS):
        return files
    if len(files) < 2:
        raise InputError(
            f"dataset: {folder} holds {len(files)} file; at least 2 pictures are needed, one of them to test on"
        )
    return [files[number] for number in split_numbers(len(files), split)]


def _parts(folder: Path) -> dict[str, Path]:
    """The folder of each split, or the one for both."""
    if not folder.is_dir():
        raise InputError(f"dataset: {folder} is not a folder; give folder:PATH of a folder with pictures")
    parts = {name: folder / name for name in SPLITS}
    if not any(part.is_dir() for part in parts.values()):
        return {"": folder}
    missing = [str(part) for part in parts.values() if not part.is_dir()]
    if missing:
        raise InputError(f"dataset: {missing[0]} is missing beside its counterpart; add it, or use one flat folder")
    return parts


def _files(folder: Path) -> list[File]:
    found = []
    for file in _walk(folder):
        # Not Path.rglob and Path.stat, which take four times as long: 2 s for 70,000 files, at every start.
        try:
            state = os.stat(file)  # noqa: PTH116
        except OSError:  # A link to nothing, say. It is decoding that refuses it, or leaves it out and says so.
            state = os.lstat(file)
        found.append((file, state.st_size, state.st_mtime_ns, state.st_ctime_ns))
    if not found:
        raise _empty(folder)
    return sorted(found, key=lambda each: each[0].split(os.sep))  # noqa: PTH206


def _walk(folder: Path) -> Iterator[str]:
    for parent, folders, names in os.walk(folder, onerror=_refuse_unreadable, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in folders:
            _refuse_circle(parent, os.path.join(parent, name))  # noqa: PTH118
        for name in names:
            if not name.startswith("."):
                yield os.path.join(parent, name)  # noqa: PTH118


def _empty(folder: Path) -> InputError:
    return InputError(f"dataset: {folder} is empty; put pictures there")


def _refuse_unreadable(error: OSError) -> None:
    raise InputError(f"dataset: {error.filename} cannot be read: {error.strerror}; mend or move it") from error


def _refuse_circle(parent: str, folder: str) -> None:
    if os.path.islink(folder) and Path(parent).resolve().is_relative_to(Path(folder).resolve()):  # noqa: PTH114
        raise InputError(f"dataset: {folder} is a link to a folder that it lies in; remove it")
