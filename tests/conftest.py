"""What several test files need: a small data set, and one model trained and exported on it."""

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

# In the fixtures only: the process that hands out the tests, and waits for the others, does not need TensorFlow.
if TYPE_CHECKING:
    from deconv_ae.data import ImageDataset
    from deconv_ae.training import TrainingResult

MadeOnce = Callable[[str, Callable[[Path], None]], Path]
ROOT = Path(__file__).parents[1]
# What a first answer asks: the rooms that others build on, in one process, without a trained model.
FAST = (
    "deconv_ae",
    "tests/data/test_cache.py",
    "tests/data/test_data.py",
    "tests/data/test_decoding.py",
    "tests/layers/test_pooling_and_unpooling.py",
    "tests/model",
)
# A file runs in one process. These take longest: the last of them must not keep one busy while the others are done.
FIRST = (
    "tests/training/test_training.py",
    "tests/conversion",
    "tests/ops/test_other_backends.py",
    "tests/benchmarks",
    "tests/layers",
    "tests/faults",
    "tests/programs",
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where only fast tests are asked for, the others are not even read: what they import takes as long as to run."""
    if config.option.markexpr != "fast" or collection_path.is_dir():
        return None
    return None if any(collection_path.is_relative_to(ROOT / room) for room in FAST) else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of the rooms in FAST as fast, and brings those in FIRST to the front."""

    def place(item: pytest.Item) -> int:
        return next((n for n, room in enumerate(FIRST) if item.path.is_relative_to(ROOT / room)), len(FIRST))

    for item in items:
        if any(item.path.is_relative_to(ROOT / room) for room in FAST):
            item.add_marker(pytest.mark.fast)
    items.sort(key=place)


# TensorFlow is imported while tests are collected, in every process. Other modules import matplotlib, and Keras its
# backend, which is JAX where someone runs tests/ops/test_every_backend.py on it.
_needed = {"matplotlib", os.environ.get("KERAS_BACKEND")}
_without = contextlib.ExitStack()
_without.enter_context(library.without(tuple(set(library.FOR_OTHERS) - _needed)))


def pytest_collection_finish() -> None:
    """Tracing a graph makes so many objects that collecting garbage as often as Python does, and reading every module's
    and test's own each time, takes a sixteenth of all tests."""
    _without.close()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


# Of the tests' own, and one for all processes of a run: they inherit the environment.
CACHE_DIR = os.environ.setdefault("DECONV_AE_CACHE_DIR", tempfile.mkdtemp(prefix="deconv_ae-tests-"))


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(CACHE_DIR, ignore_errors=True)


@pytest.fixture
def bfloat16() -> None:
    """Skips where the CPU, or what oneDNN is told of it, has no convolutions in it."""
    from deconv_ae.errors import InputError
    from deconv_ae.training.run import check_mixed_precision

    try:
        check_mixed_precision("mixed_bfloat16")
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def digits() -> ImageDataset:
    """Real digits, few of them."""
    from deconv_ae.data import ImageDataset, Source, load_dataset

    dataset = load_dataset(Source("mnist_5k"))
    return ImageDataset(dataset.name, dataset.train[:640], dataset.test[:100], source=dataset.source)


@pytest.fixture(scope="session")
def colour_images() -> ImageDataset:
    """Blobs in colour, of a size that no pooling of 2 divides."""
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
    """The smallest preset after a few epochs."""
    from deconv_ae.model.presets import PRESETS
    from deconv_ae.training import TrainingOptions, train

    return train(digits, TrainingOptions(PRESETS["cmap1_pool4"].architecture, epochs=8, batch_size=32))


@pytest.fixture(scope="session")
def exported(made_once: MadeOnce, digits: ImageDataset, request: pytest.FixtureRequest) -> Path:
    """Its SavedModel; tests read it only."""
    from deconv_ae.saved_model import exporting

    def make(directory: Path) -> None:
        exporting.export(request.getfixturevalue("trained"), digits, str(directory), preset="cmap1_pool4")

    return made_once("cmap1_pool4", make)


@pytest.fixture(scope="session")
def exported_in_colour(made_once: MadeOnce, colour_images: ImageDataset) -> Path:
    """A SavedModel of two stages in colour, an even kernel, and sizes that the windows do not divide; read only."""
    from deconv_ae import Architecture
    from deconv_ae.saved_model import exporting
    from deconv_ae.training import TrainingOptions, train

    def make(directory: Path) -> None:
        options = TrainingOptions(Architecture((4, 2), (2, (3, 2)), kernel_size=(4, 3)), epochs=1, batch_size=8)
        exporting.export(train(colour_images, options), colour_images, str(directory))

    return made_once("colour", make)


@pytest.fixture(scope="session")
def made_once(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Gives a directory by its name, which the first process that wants it makes."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if hasattr(request.config, "workerinput") else own) / "exported"

    def made(name: str, make: Callable[[Path], None]) -> Path:
        folder.mkdir(exist_ok=True)
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / name).exists():
                make(folder / name)
        return folder / name

    return made
