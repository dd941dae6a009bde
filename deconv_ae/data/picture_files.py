"""Lists the files of a folder of pictures, by split."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

from deconv_ae import paths
from deconv_ae.data.source import SPLITS
from deconv_ae.errors import InputError, first_line

Answer = TypeVar("Answer")
Identity = tuple[int, int]
"""The device and the inode of a folder, which all paths to it share."""
SYSTEM_FILES = {
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "picasa.ini", "zbthumbnail.info"),
    *("__macosx", "@eadir", "#recycle", "@recycle", "$recycle.bin", "system volume information", "lost+found"),
}
"""Files and folders of file managers and network storage, in lower case. Some hold thumbnails."""


class File(NamedTuple):
    """A file below a folder.

    Attributes:
        name: its path below the folder, with the system's separators.
        size: in bytes.
        modified: the time of the last write, in nanoseconds.
        changed: the time of the last change of any kind, which cannot be set back.
    """

    name: str
    size: int
    modified: int
    changed: int


@dataclass(frozen=True)
class Folder:
    """A folder's files.

    Attributes:
        path: the folder.
        files: the files of each split, or all under "" if the folder has no train/ and test/; sorted by name.
        ignored_paths: the paths of ignored files and folders, except hidden ones.
    """

    path: Path
    files: dict[str, list[File]]
    ignored_paths: list[str] = field(default_factory=list)


def check_folder(folder: Path) -> None:
    """Raises InputError if a folder is missing or empty, or has only one split or an empty one. Opens no file."""
    first_paths: dict[Identity, str] = {}
    for split_folder in _split_folders(folder, []).values():
        if next(_walk(split_folder, [], first_paths), None) is None:
            raise _empty_error(split_folder)


def list_folder(folder: Path) -> Folder:
    """Lists all files of a folder that may be pictures.

    Args:
        folder: the folder.

    Returns:
        Its files.

    Raises:
        InputError: as `check_folder`; also if a subfolder cannot be read, or if a link leads to a folder that is read
            under another path, too.
    """
    ignored_paths: list[str] = []
    split_folders = _split_folders(folder, ignored_paths)
    first_paths: dict[Identity, str] = {}
    files = {split: _files(folder, path, ignored_paths, first_paths) for split, path in split_folders.items()}
    return Folder(folder, files, sorted(ignored_paths))


def _split_folders(folder: Path, ignored_paths: list[str]) -> dict[str, Path]:
    """The folder of each split, or `{"": folder}` if it has no splits. Adds ignored entries to `ignored_paths`."""
    if not paths.is_directory("dataset", folder):
        raise InputError(f"dataset: {folder} is not a folder; give folder:PATH of a folder with pictures")
    split_folders: dict[str, Path] = {}
    others = []
    for entry in _entries(str(folder)):
        split = entry.name.lower()
        if split not in SPLITS or not _is_directory(entry):
            others.append(entry)
        elif split in split_folders:
            raise InputError(
                f"dataset: {split_folders[split]} and {entry.path} are both {split}; keep only one of them"
            )
        else:
            split_folders[split] = Path(entry.path)
    if not split_folders:
        return {"": folder}
    missing = [str(folder / split) for split in SPLITS if split not in split_folders]
    if missing:
        raise InputError(f"dataset: {missing[0]} is missing beside its counterpart; add it, or use one flat folder")
    ignored_paths += [entry.path for entry in others]
    return {split: split_folders[split] for split in SPLITS}


def _files(root: Path, folder: Path, ignored_paths: list[str], first_paths: dict[Identity, str]) -> list[File]:
    files, prefix_length = [], len(os.path.join(root, ""))  # noqa: PTH118
    for path in _walk(folder, ignored_paths, first_paths):
        # Path.rglob and Path.stat would take 2 s for 70,000 files at every start, four times as long as this code.
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError:  # Decoding refuses a broken link, or leaves it out with a message.
            status = _query(os.lstat, path)
        files.append(File(path[prefix_length:], status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    if not files:
        raise _empty_error(folder)
    return sorted(files, key=lambda file: file.name.split(os.sep))  # noqa: PTH206


def _walk(folder: Path, ignored_paths: list[str], first_paths: dict[Identity, str]) -> Iterator[str]:
    """Yields the paths of all files that are neither hidden nor system files, also behind links to folders.

    Adds the paths of system files to `ignored_paths`. Does not use os.walk, because Python 3.11's os.walk recurses once
    for each level of folders.
    """
    pending = [str(folder)]
    _refuse_second_path(str(folder), first_paths)
    while pending:
        for entry in _entries(pending.pop()):
            if entry.name.lower() in SYSTEM_FILES:
                ignored_paths.append(entry.path)
            elif _is_directory(entry):
                _refuse_second_path(entry.path, first_paths)
                pending.append(entry.path)
            else:
                yield entry.path


def _refuse_second_path(folder: str, first_paths: dict[Identity, str]) -> None:
    """Raises InputError if another path has led to the folder, in the same split or in the other."""
    first_path = first_paths.setdefault(_identity(folder), folder)
    if first_path != folder:
        link, other = (folder, first_path) if Path(folder).is_symlink() else (first_path, folder)
        raise InputError(f"dataset: {link} leads to {other}, so that its pictures would be read twice; remove the link")


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """The entries of a folder that are not hidden, sorted by name."""
    with _query(os.scandir, folder) as entries:
        return sorted((each for each in entries if not each.name.startswith(".")), key=lambda each: each.name)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # Decoding refuses a link that may not be followed.
        return False


def _identity(folder: str) -> Identity:
    status = _query(os.stat, folder)
    return status.st_dev, status.st_ino


def _query(function: Callable[[str], Answer], path: str) -> Answer:
    try:
        return function(path)
    except OSError as error:
        raise InputError(f"dataset: {path} cannot be read: {first_line(error)}; mend or move it") from error


def _empty_error(folder: Path) -> InputError:
    return InputError(f"dataset: {folder} is empty; put pictures there")
