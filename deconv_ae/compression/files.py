"""Reads input files, and names and writes output files."""

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from deconv_ae import paths
from deconv_ae.cleanup import cleanup_on_signal
from deconv_ae.errors import InputError, RunError, first_line
from deconv_ae.files import flush_to_disk, flush_tree_to_disk, move_together, open_to_read, partial_directory

ENDING = ".dcae"
MOST_BYTES = 2**28
"""The largest size of a compressed picture's file, in bytes."""


def output_paths(files: Sequence[Path], folder: Path, ending: str) -> list[Path]:
    """Names the output file of each input file: the same name with another ending.

    Args:
        files: the input files.
        folder: the folder of the output files.
        ending: the ending of their names.

    Returns:
        The output files' paths, in the order of the input files.

    Raises:
        InputError: if two output files would have the same name.
    """
    by_name: dict[str, Path] = {}
    for file in files:
        name = file.stem + ending
        if name in by_name:
            raise InputError(f"output_dir: {by_name[name]} and {file} would both become {name}; rename one")
        by_name[name] = file
    return [folder / name for name in by_name]


def check_targets(targets: Iterable[Path], overwrite: bool) -> None:
    """Raises InputError if a target is a directory, or if it exists and `overwrite` is false."""
    for target in targets:
        if paths.is_directory("output_dir", target):
            raise InputError(f"output_dir: {target} is a directory; give another")
        if paths.exists("output_dir", target) and not overwrite:
            raise InputError(f"output_dir: {target} exists; pass --overwrite to replace it, or another directory")


def read(file: Path) -> bytes:
    """Reads a compressed picture's file; raises InputError if it cannot be read or is too large."""
    try:
        with open_to_read(file) as opened:
            content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"files: {file} cannot be read: {first_line(error)}; give another") from error
    if len(content) > MOST_BYTES:
        raise InputError(f"files: {file} is too large for a compressed picture; give a file that compress made")
    return content


def write_together(folder: Path, contents: Iterable[tuple[str, bytes]]) -> int:
    """Writes all files to a temporary folder, and then moves them to `folder`.

    Args:
        folder: the folder, created if it does not exist.
        contents: the files' names and bytes.

    Returns:
        The number of bytes in all files.

    Raises:
        RunError: if a file cannot be written, and then none of these files is in `folder`; or if a move fails, and then
            the files that were moved before stay there.
    """
    size = 0
    try:
        with _ensure_folder(folder), partial_directory(folder / "files") as partial:
            moves = []
            for name, content in contents:
                moves.append((partial / name, folder / name))
                moves[-1][0].write_bytes(content)
                size += len(content)
            flush_tree_to_disk(partial)
            move_together(moves)
            flush_to_disk(folder)
    except OSError as error:
        raise RunError(f"output_dir: {folder} cannot be written: {first_line(error)}") from error
    return size


@contextlib.contextmanager
def _ensure_folder(folder: Path) -> Iterator[None]:
    """A context in which a folder exists. At its end, the context removes the empty folders that it made."""
    missing = list(itertools.takewhile(lambda each: not each.exists(), (folder, *folder.parents)))

    def clear() -> None:
        with contextlib.suppress(OSError):
            for each in missing:
                each.rmdir()

    with cleanup_on_signal(clear):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            yield
        finally:
            clear()
