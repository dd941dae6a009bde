"""Reads any image data set of TensorFlow Datasets, by its name."""

import contextlib
import io
import math
import os
import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import requests

from deconv_ae import paths
from deconv_ae.data.batches import without_autograph, without_optimizations
from deconv_ae.data.cache import Reading
from deconv_ae.data.kinds import unknown_name_error
from deconv_ae.data.resizing import fit_image
from deconv_ae.data.source import Source
from deconv_ae.errors import InputError, Interrupted, RunError, first_line

NETWORK_TIMEOUT_SECONDS = 5
TEST_SPLITS = ("test", "validation")
DECODING_BATCH = 1000
LONGEST_REASON = 200
DECODING_BYTES = 1 << 25


def read(source: Source, split: str) -> Reading:
    """Opens a split, and first downloads and prepares the data set if necessary.

    The test split is the data set's `test`, or `validation` if it has no `test`.

    Args:
        source: the data set, and how its images are read.
        split: "train" or "test".

    Returns:
        The split, not decoded yet.

    Raises:
        InputError: if TFDS does not know the data set; if the data set has no uint8 images or no such split; if the
            images differ in size and source has no image_size; if an archive does not match its checksum; or if the
            data set is neither prepared, nor in manual_dir, nor downloadable.
    """
    builder = _builder(source)
    key, feature = _image_feature(source, builder)
    with _errors_as_input_errors(source, "cannot be read"):
        if not builder.is_prepared():
            _prepare(source, builder)
        available = builder.info.splits
        names = ("train",) if split == "train" else TEST_SPLITS
        name = next((name for name in names if name in available), None)
        if name is None:
            raise InputError(
                f"dataset: {source.name} has no {split} split, only {', '.join(sorted(available))}; use another"
            )
        count = available[name].num_examples
        if count < 1:
            raise ValueError(f"its {name} split has {count:,} examples; remove the data set to prepare it again")
        # The time of preparation is a part of `made_of`, because a data set's author may have prepared the same version
        # again with other images.
        preparation_time = (builder.data_path / "dataset_info.json").stat().mtime
        made_of = [builder.info.full_name, name, str(builder.data_path), preparation_time]
        image_bytes = math.prod(_image_shape(source, feature))
    return Reading(made_of, count, partial(_images, source, builder, name, key, image_bytes))


@contextlib.contextmanager
def _errors_as_input_errors(source: Source, problem: str, remedy: str = "") -> Iterator[None]:
    """Turns any error of TFDS into an InputError of one line, with TFDS's own reason.

    TFDS raises errors of many types, from an AssertionError for a wrong version to the network's errors. This project's
    own errors pass unchanged, and so does a lack of memory, because the data set does not cause it.
    """
    try:
        yield
    except (InputError, RunError, Interrupted, MemoryError):
        raise
    except Exception as error:
        if type(error).__name__ == "ResourceExhaustedError":
            raise
        raise InputError(f"dataset: {source.name} {problem}: {first_line(error)[:LONGEST_REASON]}{remedy}") from error


def _images(source: Source, builder: Any, name: str, key: str, image_bytes: int) -> Iterator[np.ndarray]:
    import tensorflow_datasets as tfds

    problem = f"under {builder.data_path} is damaged"
    with _errors_as_input_errors(source, problem, "; remove it to prepare it again"):
        # The images are read once, but TFDS would keep a small data set in memory for a second reading.
        read_config = tfds.ReadConfig(try_autocache=False)
        examples = builder.as_dataset(split=name, shuffle_files=False, read_config=read_config)
        fit = without_autograph(lambda example: fit_image(example[key], source))
        images = examples.map(fit, num_parallel_calls=os.cpu_count() or 1)
        # Images are passed from C++ to Python in batches, because passing each one alone would take five times as long.
        batch_size = max(1, min(DECODING_BATCH, DECODING_BYTES // image_bytes))
        yield from without_optimizations(images.batch(batch_size).prefetch(1)).as_numpy_iterator()


def _builder(source: Source) -> Any:
    with _errors_as_input_errors(source, "cannot be opened"):
        # The import is not at the top of the file, because it takes half a second, and neither `import deconv_ae` nor
        # `mnist_5k` needs it.
        import tensorflow_datasets as tfds

        _check_files(Path(source.data_dir or tfds.core.constants.DATA_DIR) / re.split("[:/]", source.name)[0])
        try:
            # TFDS prints advice of several lines about packages that are missing, before it raises an error.
            with contextlib.redirect_stdout(io.StringIO()):
                return tfds.builder(source.name, data_dir=source.data_dir)
        except tfds.core.registered.DatasetNotFoundError as error:
            raise unknown_name_error(source) from error


def _check_files(prepared_folder: Path) -> None:
    """Raises InputError for a pipe or device among a data set's files: TFDS would read it for ever."""
    for file in prepared_folder.rglob("*"):
        if not (file.is_file() or file.is_dir()) and file.exists():
            raise InputError(f"dataset: {file} is not a file; remove {prepared_folder} to prepare it again")


def _image_feature(source: Source, builder: Any) -> tuple[str, Any]:
    import tensorflow_datasets as tfds

    with _errors_as_input_errors(source, "cannot be read"):
        for key, feature in builder.info.features.items():
            if isinstance(feature, tfds.features.Image) and feature.np_dtype == np.uint8:
                return key, feature
    raise InputError(f"dataset: {source.name} holds no uint8 images; use an image data set")


def _image_shape(source: Source, feature: Any) -> tuple[int, int, int]:
    height, width, channels = feature.shape
    height, width = source.image_size or (height, width)
    if height is None or width is None:
        raise InputError(f"dataset: the images of {source.name} differ in size; give --image_size")
    return height, width, channels or 3


def _prepare(source: Source, builder: Any) -> None:
    import tensorflow_datasets as tfds

    if not _has_archives(source, builder) and not _is_any_server_reachable(builder):
        raise InputError(
            f"dataset: {source.name} is not prepared under {builder.data_dir} and its archives cannot be downloaded; "
            "connect to the network, give --manual_dir with the archives, or --data_dir with a prepared copy "
            "(or use --dataset=mnist_5k, which needs none of these)"
        )
    if not sys.stderr.isatty():
        # Progress bars redraw themselves, which would fill a log file.
        tfds.disable_progress_bar()
    print(f"preparing {source.name} under {builder.data_dir}", flush=True)
    with _errors_as_input_errors(source, "could not be prepared"):
        try:
            config = tfds.download.DownloadConfig(manual_dir=source.manual_dir)
            builder.download_and_prepare(download_config=config)
        except tfds.core.download.download_manager.NonMatchingChecksumError as error:
            raise InputError(
                f"manual_dir: an archive of {source.name} does not match its checksum: it is truncated or altered; "
                f"fetch it again ({first_line(error)})"
            ) from error


def _has_archives(source: Source, builder: Any) -> bool:
    """Whether manual_dir has all archives; raises InputError if it lacks some and the network is unreachable."""
    if source.manual_dir is None:
        return False
    folder = Path(source.manual_dir)
    names = [info.filename for info in _archive_infos(builder).values()]
    missing = sorted(name for name in names if not paths.is_file("manual_dir", folder / name))
    if missing and not _is_any_server_reachable(builder):
        raise InputError(
            f"manual_dir: {folder} lacks {', '.join(missing)} of {source.name}, and the network cannot be reached"
        )
    return not missing


def _is_any_server_reachable(builder: Any) -> bool:
    """Whether one of the data set's first two servers answers, with any status; True if it has no servers.

    TFDS itself gives up only after ten retries of every archive, which take over 200 seconds.
    """
    url_by_host = {url.split("/")[2]: url for url in _archive_infos(builder) if url.startswith("http")}
    for url in list(url_by_host.values())[:2]:
        try:
            requests.head(url, timeout=NETWORK_TIMEOUT_SECONDS)
        except requests.RequestException:
            continue
        return True
    return not url_by_host


def _archive_infos(builder: Any) -> dict[str, Any]:
    """TFDS's information on the data set's archives, by address; empty for a data set without downloads."""
    return builder.url_infos or {}
