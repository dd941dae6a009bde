"""Damaged TFDS data and wrong names of data sets are refused in one line."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from deconv_ae.data import Source, load_dataset
from deconv_ae.errors import InputError


class Shades(tfds.core.GeneratorBasedBuilder):
    """A TFDS data set of a few images, each of one shade."""

    VERSION = tfds.core.Version("1.0.0")
    name = "shades"

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(4, 4, 3))})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        return {"train": self._generate_examples(12), "test": self._generate_examples(5)}

    def _generate_examples(self, count: int):
        for index in range(count):
            yield index, {"image": np.full((4, 4, 3), 9 * index, np.uint8)}


@pytest.fixture(scope="module")
def prepared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    load_dataset(Source("shades", data_dir=str(folder), cache_dir=""))
    return folder


def record_file(folder: Path) -> Path:
    return next(folder.glob("shades/1.0.0/*train.tfrecord*"))


def info_file(folder: Path) -> Path:
    return folder / "shades/1.0.0/dataset_info.json"


def set_counts(*counts: str) -> Callable[[Path], object]:
    """Returns a function that writes these numbers of images per shard into the description of a data set."""

    def edit(folder: Path) -> None:
        fields = json.loads(info_file(folder).read_text())
        for split in fields["splits"]:
            split["shardLengths"] = list(counts)
        info_file(folder).write_text(json.dumps(fields))

    return edit


def replacement(make: Callable[[Path], object], find_file: Callable[[Path], Path]) -> Callable[[Path], object]:
    """Returns a function that deletes the file that `find_file` returns, and calls `make` with the file's path."""

    def replace(folder: Path) -> None:
        file = find_file(folder)
        file.unlink()
        make(file)

    return replace


DAMAGE: dict[str, Callable[[Path], object]] = {
    "an empty record file": lambda folder: record_file(folder).write_bytes(b""),
    "a truncated record file": lambda folder: os.truncate(record_file(folder), 200),
    "an altered record file": lambda folder: record_file(folder).write_bytes(500 * b"x"),
    "no record file": lambda folder: record_file(folder).unlink(),
    "a directory for a record file": replacement(Path.mkdir, record_file),
    "a pipe for a record file": replacement(os.mkfifo, record_file),
    "an empty description": lambda folder: info_file(folder).write_bytes(b""),
    "a description that is no JSON": lambda folder: info_file(folder).write_text("{"),
    "a description that is a list": lambda folder: info_file(folder).write_text("[]"),
    "a directory for a description": replacement(Path.mkdir, info_file),
    "a pipe for a description": replacement(os.mkfifo, info_file),
    "counts too high": set_counts("3000"),
    "counts too low": set_counts("3"),
    "counts of 0": set_counts("0"),
    "negative counts": set_counts("-5"),
    "counts that are text": set_counts("x"),
    "no shards": set_counts(),
}


@pytest.mark.skipif(os.name != "posix", reason="pipes are POSIX's")
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_to_tfds_data_gives_one_line(
    prepared_folder: Path, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(prepared_folder, folder)
    damage(folder)
    with pytest.raises(InputError, match=r"^dataset: [^\n]*$"):
        load_dataset(Source("shades", data_dir=str(folder), cache_dir=""))


NAMES = {
    "mnist:9.9.9": "cannot be opened: .*mnist",
    "mnist/x=1": "cannot be opened: .*mnist",
    "mnist/no_such_config": "cannot be opened: .*BuilderConfig",
    "mnist:1.*.*": "cannot be opened",
    "mnist[": "cannot be opened",
    "glue": "holds no uint8 images",
    "huggingface:mnist": "cannot be opened: ",
    "kaggle:x": "unknown 'kaggle:x'; give mnist_5k, folder:PATH",
    "/tmp": "is a path; give folder:/tmp",
    "/no/such/folder": "is a path; give folder:/no/such/folder",
    "./": "is a path; give folder:./",
    "x" * 300: "unknown 'x+'; give mnist_5k",
}


@pytest.mark.parametrize("name", NAMES)
def test_wrong_names_give_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(InputError, match=NAMES[name]) as raised:
        load_dataset(Source(name, data_dir=str(tmp_path), cache_dir=""))
    assert "\n" not in str(raised.value)
    assert not capsys.readouterr().out
