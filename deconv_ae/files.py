"""Files that are whole or not there, whatever happens while they are written."""

import os
from pathlib import Path


def flush_to_disk(path: Path) -> None:
    """Waits until a file, or a directory's list of names, is on the disk: a rename alone outlives a
    kill of the process, but not a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_beside(file: Path, text: str) -> None:
    """Writes a text file under another name and renames it, so that it is never seen half-written."""
    partial = file.with_name(f".partial-{file.name}")
    partial.write_text(text, encoding="utf-8")
    flush_to_disk(partial)
    partial.replace(file)
    flush_to_disk(file.parent)


def flush_tree_to_disk(directory: Path) -> None:
    """`flush_to_disk` for a directory and all that is in it."""
    for path in (*directory.rglob("*"), directory):
        flush_to_disk(path)
