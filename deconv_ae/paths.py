"""What a path may be that a caller hands over, and what lies there: the one place that asks the disk.

A path is local, is not empty and has a name that can be printed. `~` is the home directory, links are followed.
Where something is to be written, it is found out before any work is done for it.
"""

import os
import stat
import tempfile
import unicodedata
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path

from deconv_ae.errors import InputError, first_line
from deconv_ae.files import PARTIAL

PATTERN = "*?[\\"
"""What stands for other letters in the names of files, where TensorFlow looks for one."""


def given(argument: str, text: str | os.PathLike[str]) -> Path:
    """A path as a caller wrote it, `~` expanded.

    Raises:
        InputError: if it is empty, an address such as gs://bucket, or no text that a file system and a model
            card can hold.

    >>> given("export_dir", "gs://bucket/model")
    Traceback (most recent call last):
    deconv_ae.errors.InputError: export_dir: gs://bucket/model is an address; give a path on this machine
    """
    text = os.fspath(text)
    if not text:
        raise InputError(f"{argument}: is empty, as from a variable that is not set; give a path, or leave it out")
    if "://" in text:
        raise InputError(f"{argument}: {text} is an address; give a path on this machine")
    if not is_plain(text):
        raise InputError(f"{argument}: {text!a} holds control characters or no UTF-8; give another name")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(f"{argument}: {text} names the home of nobody here; give the whole path") from error


def is_plain(text: str) -> bool:
    """Whether a name can be printed and written to a file as UTF-8.

    Control characters can redraw a terminal; bytes that are no UTF-8 come from the command line as lone surrogates.
    """
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def check_no_pattern(argument: str, path: Path) -> None:
    """Raises InputError for a path that TensorFlow takes for a pattern where it reads a SavedModel's variables: it
    finds none, or those of another model.

    >>> check_no_pattern("model", Path("models[old]/mine"))
    Traceback (most recent call last):
    deconv_ae.errors.InputError: model: models[old]/mine holds a [, which TensorFlow takes for a pattern's; rename it
    """
    character = next((each for each in str(path) if each in PATTERN), None)
    if character is not None:
        raise InputError(f"{argument}: {path} holds a {character}, which TensorFlow takes for a pattern's; rename it")


def state(argument: str, path: str | os.PathLike[str]) -> os.stat_result | None:
    """What the disk knows of a path, links followed; None where nothing lies there.

    Raises:
        InputError: if the disk does not say: a name that is too long, a directory on the way that may not be entered,
            links that lead back to themselves.
    """
    try:
        return os.stat(path)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{argument}: {path} cannot be read: {first_line(error)}; give another") from error


def exists(argument: str, path: str | os.PathLike[str]) -> bool:
    """Whether anything lies there, other than a link to nothing. Raises as `state`."""
    return state(argument, path) is not None


def is_directory(argument: str, path: str | os.PathLike[str]) -> bool:
    """Raises as `state`."""
    found = state(argument, path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def is_file(argument: str, path: str | os.PathLike[str]) -> bool:
    """Whether a file lies there: no directory, pipe or device. Raises as `state`."""
    found = state(argument, path)
    return found is not None and stat.S_ISREG(found.st_mode)


def directory_to_read(argument: str, text: str | os.PathLike[str], advice: str) -> Path:
    """A directory that exists, can be listed and is not empty; `advice` says what to give instead.

    Raises:
        InputError: if it is not.
    """
    path = given(argument, text)
    try:
        empty = not any(path.iterdir())
    except NotADirectoryError as error:
        raise InputError(f"{argument}: {path} is a file; {advice}") from error
    except FileNotFoundError as error:
        raise InputError(f"{argument}: {path} does not exist; {advice}") from error
    except OSError as error:
        raise InputError(f"{argument}: {path} cannot be read: {first_line(error)}; {advice}") from error
    if empty:
        raise InputError(f"{argument}: {path} is empty; {advice}")
    return path


def directory_to_write(argument: str, text: str | os.PathLike[str]) -> Path:
    """A directory, whole and with links followed, in which files can be made, or which can be made.

    Nothing is left behind. Whatever can only be known by trying is tried: permissions, a file system that is
    read-only or full, the length of names.

    Raises:
        InputError: if it is something else, a link to nothing, or cannot be written.
    """
    path = resolved(argument, text)
    missing: list[str] = []
    existing = path
    while not exists(argument, existing):
        missing.append(existing.name)
        existing = existing.parent
    if not is_directory(argument, existing):
        raise InputError(f"{argument}: {path} cannot be written: {existing} is a file; give another directory")
    try:
        with tempfile.TemporaryDirectory(dir=existing, prefix=PARTIAL) as trial:
            for name in missing:
                (Path(trial) / name).mkdir()
    except OSError as error:
        raise InputError(f"{argument}: {existing} cannot be written: {first_line(error)}; give another") from error
    return path


def resolved(argument: str, text: str | os.PathLike[str]) -> Path:
    """The whole path with every link in it followed; it need not exist.

    Raises:
        InputError: if it is a link to nothing, or the disk cannot be asked.
    """
    path = given(argument, text)
    found = state(argument, path)
    try:
        followed = path.resolve()
    except (OSError, RuntimeError) as error:
        raise InputError(f"{argument}: {path} cannot be used: {first_line(error)}; give another") from error
    if found is None and path.is_symlink():
        raise InputError(f"{argument}: {path} is a link to {followed}, which does not exist; make it, or give it")
    return followed


def check_apart(given_paths: Mapping[str, str | os.PathLike[str] | None]) -> None:
    """Raises InputError if, of directories by the names of their arguments, one is another, or lies in it.

    What is None has not been given.
    """
    directories = {argument: resolved(argument, text) for argument, text in given_paths.items() if text is not None}
    for (argument, path), (other_argument, other) in permutations(directories.items(), 2):
        if path == other:
            raise InputError(f"{argument}: {path} is {other_argument} as well; give each a directory of its own")
        if path.is_relative_to(other):
            raise InputError(f"{argument}: {path} lies in {other_argument}, {other}; give a directory outside of it")
