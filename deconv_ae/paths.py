"""Checks of the caller's paths and of the files there, all in one place.

A path must be local and not empty, and have a printable name. `~` is the home directory, and links are followed.
Before the work starts, the checks try to write to the paths of its results.
"""

import os
import stat
import tempfile
import unicodedata
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path

from deconv_ae.cleanup import delay_signals
from deconv_ae.errors import InputError, first_line
from deconv_ae.files import PARTIAL

WILDCARDS = "*?[\\"
"""The wildcards of the patterns by which TensorFlow looks for a file, and the backslash that escapes a wildcard."""


def checked_path(argument: str, text: str | os.PathLike[str]) -> Path:
    """Checks a caller's path and expands `~`.

    Args:
        argument: the name of the caller's argument, for errors.
        text: the caller's path.

    Returns:
        The path.

    Raises:
        InputError: if the path is empty, is an address such as gs://bucket, has control characters, cannot be written
            as UTF-8, or begins with the home of an unknown user.

    >>> checked_path("export_dir", "gs://bucket/model")
    Traceback (most recent call last):
    deconv_ae.errors.InputError: export_dir: gs://bucket/model is an address; give a path on this machine
    """
    text = os.fspath(text)
    if not text:
        raise InputError(f"{argument}: is empty, perhaps from a variable that is not set; give a path, or leave it out")
    if "://" in text:
        raise InputError(f"{argument}: {text} is an address; give a path on this machine")
    if not is_plain(text):
        raise InputError(f"{argument}: {text!a} has control characters or is not UTF-8; give another name")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(f"{argument}: {text} begins with the home of an unknown user; give the whole path") from error


def is_plain(text: str) -> bool:
    """Whether a name can be printed and written to a file as UTF-8.

    Control characters can redraw a terminal. Bytes that are not UTF-8 come from the command line as lone surrogates.
    """
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def check_no_wildcard(argument: str, path: Path) -> None:
    """Raises InputError for a path that has a character of `WILDCARDS`.

    TensorFlow takes a SavedModel's path for a pattern, and then finds no variables, or another model's variables.

    >>> check_no_wildcard("model", Path("models[old]/mine"))
    Traceback (most recent call last):
    deconv_ae.errors.InputError: model: models[old]/mine has a [, which TensorFlow takes for a wildcard; rename it
    """
    character = next((each for each in str(path) if each in WILDCARDS), None)
    if character is not None:
        raise InputError(f"{argument}: {path} has a {character}, which TensorFlow takes for a wildcard; rename it")


def stat_or_none(argument: str, path: str | os.PathLike[str]) -> os.stat_result | None:
    """Follows links and returns `os.stat` of a path, or None if nothing is there.

    Args:
        argument: the name of the caller's argument, for errors.
        path: the path to look at.

    Returns:
        What `os.stat` returns, or None.

    Raises:
        InputError: if the system cannot tell: the name is too long, a directory above may not be entered, or links
            lead back to themselves.
    """
    try:
        return os.stat(path)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{argument}: {path} cannot be read: {first_line(error)}; give another") from error


def exists(argument: str, path: str | os.PathLike[str]) -> bool:
    """Whether anything is there, other than a broken link. Raises the errors of `stat_or_none`."""
    return stat_or_none(argument, path) is not None


def is_directory(argument: str, path: str | os.PathLike[str]) -> bool:
    """Whether a directory is there. Raises the errors of `stat_or_none`."""
    status = stat_or_none(argument, path)
    return status is not None and stat.S_ISDIR(status.st_mode)


def is_file(argument: str, path: str | os.PathLike[str]) -> bool:
    """Whether a regular file is there, not a directory, pipe or device. Raises the errors of `stat_or_none`."""
    status = stat_or_none(argument, path)
    return status is not None and stat.S_ISREG(status.st_mode)


def directory_to_read(argument: str, text: str | os.PathLike[str], advice: str) -> Path:
    """Checks that a directory exists, can be listed and is not empty.

    Args:
        argument: the name of the caller's argument, for errors.
        text: the caller's path.
        advice: what to give instead.

    Returns:
        The path.

    Raises:
        InputError: if `checked_path` raises it, or if the directory does not exist, is a file, cannot be listed or is
            empty.
    """
    path = checked_path(argument, text)
    try:
        is_empty = not any(path.iterdir())
    except NotADirectoryError as error:
        raise InputError(f"{argument}: {path} is a file; {advice}") from error
    except FileNotFoundError as error:
        raise InputError(f"{argument}: {path} does not exist; {advice}") from error
    except OSError as error:
        raise InputError(f"{argument}: {path} cannot be read: {first_line(error)}; {advice}") from error
    if is_empty:
        raise InputError(f"{argument}: {path} is empty; {advice}")
    return path


def directory_to_write(argument: str, text: str | os.PathLike[str]) -> Path:
    """Checks that a directory can be made or written to, and returns its absolute path without links.

    The check makes a temporary directory there and deletes it, because only a trial shows a lack of permission, a
    read-only or full file system, or a name that is too long.

    Args:
        argument: the name of the caller's argument, for errors.
        text: the caller's path.

    Returns:
        The absolute path.

    Raises:
        InputError: if `checked_path` raises it, if a file or a broken link is there, or if the directory cannot be
            written.
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
        with delay_signals(), tempfile.TemporaryDirectory(dir=existing, prefix=PARTIAL) as trial_dir:
            for name in missing:
                (Path(trial_dir) / name).mkdir()
    except OSError as error:
        raise InputError(f"{argument}: {existing} cannot be written: {first_line(error)}; give another") from error
    return path


def resolved(argument: str, text: str | os.PathLike[str]) -> Path:
    """Returns the absolute path without links; it need not exist.

    Args:
        argument: the name of the caller's argument, for errors.
        text: the caller's path.

    Returns:
        The absolute path.

    Raises:
        InputError: if `checked_path` or `stat_or_none` raises it, or if the path is a broken link.
    """
    path = checked_path(argument, text)
    status = stat_or_none(argument, path)
    try:
        absolute = path.resolve()
    except (OSError, RuntimeError) as error:
        raise InputError(f"{argument}: {path} cannot be used: {first_line(error)}; give another") from error
    if status is None and path.is_symlink():
        raise InputError(
            f"{argument}: {path} is a link to {absolute}, which does not exist; make that, or give another"
        )
    return absolute


def check_disjoint(given_paths: Mapping[str, str | os.PathLike[str] | None]) -> None:
    """Raises InputError if two of several directories are the same, or one lies in another.

    The keys are the arguments' names. None stands for an argument that was not given.
    """
    directories = {argument: resolved(argument, text) for argument, text in given_paths.items() if text is not None}
    for (argument, path), (other_argument, other) in permutations(directories.items(), 2):
        if path == other:
            raise InputError(f"{argument}: {path} is {other_argument} as well; give each a directory of its own")
        if path.is_relative_to(other):
            raise InputError(f"{argument}: {path} lies in {other_argument}, {other}; give a directory outside of it")
