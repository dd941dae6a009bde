"""Fixtures that several test files share: small data sets, and models trained and exported once."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from deconv_ae_programs import library

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Only fixtures import these, since the process that distributes the tests does not need TensorFlow.
if TYPE_CHECKING:
    from deconv_ae.data import ImageDataset
    from deconv_ae.training import TrainingResult

MakeOnce = Callable[[str, Callable[[Path], None]], Path]
ROOT = Path(__file__).parents[1]
# The tests of `-m fast`: those of code that other code builds on. Few of these tests start a process; none uses the
# models made below.
FAST_PATHS = (
    "deconv_ae",
    "tests/data/test_cache.py",
    "tests/data/test_data.py",
    "tests/data/test_decoding.py",
    "tests/layers/test_pooling_and_unpooling.py",
    "tests/model",
    "tests/test_records.py",
)
# Each file runs in one process. These files take longest, and start first, so that all processes end at about the same
# time.
FIRST_PATHS = (
    "tests/training/test_training.py",
    "tests/conversion",
    "tests/ops/test_other_backends.py",
    "tests/benchmarks",
    "tests/layers",
    "tests/faults",
    "tests/programs",
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m fast`, skips files outside of FAST_PATHS: importing them takes as long as running the fast tests."""
    if config.option.markexpr != "fast" or collection_path.is_dir():
        return None
    return None if any(collection_path.is_relative_to(ROOT / path) for path in FAST_PATHS) else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests in FAST_PATHS as fast, and moves those in FIRST_PATHS to the front."""

    def position(item: pytest.Item) -> int:
        return next(
            (n for n, path in enumerate(FIRST_PATHS) if item.path.is_relative_to(ROOT / path)), len(FIRST_PATHS)
        )

    for item in items:
        if any(item.path.is_relative_to(ROOT / path) for path in FAST_PATHS):
            item.add_marker(pytest.mark.fast)
    items.sort(key=position)


# Collecting the tests imports TensorFlow in every process that runs tests. Until the tests are collected, packages that
# TensorFlow would import for itself are hidden, except matplotlib and the backend of Keras, which tests need. The
# backend may be JAX for tests/ops/test_every_backend.py.
_needed = {"matplotlib", os.environ.get("KERAS_BACKEND")}
_package_hiding = contextlib.ExitStack()
_package_hiding.enter_context(library.hide_packages(tuple(set(library.UNNEEDED) - _needed)))


def pytest_collection_finish() -> None:
    """Lets tests import the packages that were hidden during collection, and collects garbage less often.

    Tracing graphs creates many objects, so Python's own settings cost a sixteenth of all tests' time.
    """
    _package_hiding.close()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


# All processes of a run share one cache, because they inherit the environment. It is never the user's cache.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["DECONV_AE_CACHE_DIR"] = tempfile.mkdtemp(prefix="deconv_ae-tests-")
CACHE_DIR = os.environ["DECONV_AE_CACHE_DIR"]


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(CACHE_DIR, ignore_errors=True)


@pytest.fixture
def bfloat16() -> None:
    """Skips the test if the CPU has no bfloat16 convolutions, or ONEDNN_MAX_CPU_ISA keeps oneDNN from using them."""
    from deconv_ae.errors import InputError
    from deconv_ae.training.run import check_mixed_precision

    try:
        check_mixed_precision("mixed_bfloat16")
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def digits() -> ImageDataset:
    """640 real digits for training, 100 for testing."""
    from deconv_ae.data import ImageDataset, Source, load_dataset

    dataset = load_dataset(Source("mnist_5k"))
    return ImageDataset(dataset.name, dataset.train[:640], dataset.test[:100], source=dataset.source)


@pytest.fixture(scope="session")
def colour_images() -> ImageDataset:
    """Images of coloured blobs, 17x13 pixels, which windows of 2x2 do not divide."""
    from deconv_ae.data import ImageDataset

    rows, columns = np.mgrid[0:17, 0:13]
    centres = np.random.default_rng(0).uniform(3, 12, size=(40, 3, 2))
    distances = (rows[..., None] - centres[:, None, None, :, 0]) ** 2 + (
        columns[..., None] - centres[:, None, None, :, 1]
    ) ** 2
    images = (255 * np.exp(-distances / 8)).astype(np.uint8)
    return ImageDataset("blobs", images[:32], images[32:])


@pytest.fixture(scope="session")
def trained(digits: ImageDataset) -> TrainingResult:
    """The preset with the smallest code, trained for 8 epochs."""
    from deconv_ae.model.presets import PRESETS
    from deconv_ae.training import TrainingOptions, train

    return train(digits, TrainingOptions(PRESETS["cmap1_pool4"].architecture, epochs=8, batch_size=32))


@pytest.fixture(scope="session")
def exported(make_once: MakeOnce, digits: ImageDataset, request: pytest.FixtureRequest) -> Path:
    """The SavedModel of `trained`. Tests only read it."""
    from deconv_ae.saved_model import exporting

    def make(directory: Path) -> None:
        exporting.export(request.getfixturevalue("trained"), digits, str(directory), preset="cmap1_pool4")

    return make_once("cmap1_pool4", make)


@pytest.fixture(scope="session")
def exported_in_colour(make_once: MakeOnce, colour_images: ImageDataset) -> Path:
    """A SavedModel for colour images: two stages, 4x3 kernels, windows that do not fit evenly. Tests only read it."""
    from deconv_ae import Architecture
    from deconv_ae.saved_model import exporting
    from deconv_ae.training import TrainingOptions, train

    def make(directory: Path) -> None:
        options = TrainingOptions(Architecture((4, 2), (2, (3, 2)), kernel_size=(4, 3)), epochs=1, batch_size=8)
        exporting.export(train(colour_images, options), colour_images, str(directory))

    return make_once("colour", make)


@pytest.fixture(scope="session")
def make_once(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """Returns a function that makes a directory once for all processes of the test run.

    The function takes a name and `make`, and returns the directory of this name. The first process that calls the
    function with a name also calls `make`, which writes the directory; the other processes wait for that.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if hasattr(request.config, "workerinput") else base) / "exported"

    def directory(name: str, make: Callable[[Path], None]) -> Path:
        folder.mkdir(exist_ok=True)
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / name).exists():
                make(folder / name)
        return folder / name

    return directory
