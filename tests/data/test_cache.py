"""Splits are decoded once and memory-mapped.

Whatever happens to the files, the pixels equal freshly decoded ones, or an error names the cause.
"""

import fcntl
import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from deconv_ae.data import (
    EvaluationBatches,
    ImageDataset,
    Source,
    cache,
    load_dataset,
    load_split,
    picture_folder,
)
from deconv_ae.data.batches import as_tensor, training_batches
from deconv_ae.data.kinds import directory
from deconv_ae.data.split import which_are_for_testing
from deconv_ae.errors import InputError, RunError
from deconv_ae.files import partial_beside, read_with_checksum, with_checksum

RANDOM = np.random.default_rng(0)


def draw(folder: Path, count: int, size: tuple[int, int] = (8, 6)) -> Path:
    """Saves grey PNGs of random pixels; returns the folder."""
    folder.mkdir(exist_ok=True)
    for index in range(count):
        Image.fromarray(RANDOM.integers(0, 256, size, dtype=np.uint8)).save(folder / f"{index:04d}.png")
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Ten pictures with their own cache."""
    return Source(f"folder:{draw(tmp_path / 'pictures', 10)}", cache_dir=str(tmp_path / "cache"))


def load_uncached(source: Source, split: str = "train") -> np.ndarray:
    return load_split(Source(source.name, cache_dir=""), split)


def cache_file(source: Source, pattern: str) -> Path:
    """The only file of the source's cache that matches a pattern."""
    (file,) = Path(str(source.cache_dir)).glob(pattern)
    return file


# ------------------------------------------------------------------------------- Decoding

PIXELS = np.zeros((2, 4, 4, 1), np.uint8)
WRONG_BATCHES = {
    "floats": ([PIXELS / 256], 2, TypeError, "must be uint8"),
    "two sizes": ([PIXELS, PIXELS[:, :2]], 4, TypeError, "must be uint8"),
    "too few": ([PIXELS], 400, InputError, "holds 2 images but promises 400"),
}


@pytest.mark.parametrize("to_file", [True, False])
@pytest.mark.parametrize("case", WRONG_BATCHES)
def test_batches_of_wrong_type_size_or_number_are_refused(tmp_path: Path, case: str, to_file: bool) -> None:
    batches, count, error, message = WRONG_BATCHES[case]
    reading = cache.Reading("made of", count, lambda: iter(batches))
    with pytest.raises(error, match=message):
        if to_file:
            cache.map_split(tmp_path, "name", "train", lambda: reading)
        else:
            cache.decode_into_memory(lambda: reading, lambda size: None)
    assert not list(tmp_path.glob("*.uint8*"))


class Numbered(tfds.core.GeneratorBasedBuilder):
    """A TFDS data set in which all pixels of an image are its number."""

    VERSION = tfds.core.Version("1.0.0")
    name = "numbered"

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(4, 4, 3))})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        return {"train": self._generate_examples(30), "test": self._generate_examples(7)}

    def _generate_examples(self, count: int):
        for index in range(count):
            yield index, {"image": np.full((4, 4, 3), index, np.uint8)}


@pytest.mark.parametrize("name", ["mnist_5k", "numbered", "folder"])
def test_mapped_pixels_equal_decoded_ones_and_are_decoded_once(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    if name == "folder":
        name = f"folder:{draw(tmp_path / 'pictures', 10)}"
    decoded = load_dataset(Source(name, data_dir=str(tmp_path), cache_dir=""))
    source = Source(name, data_dir=str(tmp_path), cache_dir=str(tmp_path / "cache"))
    first = load_dataset(source)
    assert capsys.readouterr().out.count("decoding") == 2
    second = load_dataset(source)
    assert "decoding" not in capsys.readouterr().out
    for dataset in (first, second):
        np.testing.assert_array_equal(dataset.train, decoded.train)
        np.testing.assert_array_equal(dataset.test, decoded.test)
    assert (decoded.place, second.place) == ("memory", source.cache_dir)


def test_spellings_of_a_path_share_a_cache_file(
    source: Source, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_split(source, "train")
    assert "decoding" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    for name in ("folder:pictures", "folder:./pictures/", f"folder:../{tmp_path.name}/pictures"):
        load_split(Source(name, cache_dir=source.cache_dir), "train")
        assert "decoding" not in capsys.readouterr().out
    monkeypatch.chdir(tmp_path / "pictures")
    load_split(Source("folder:.", cache_dir=source.cache_dir), "train")
    assert "decoding" not in capsys.readouterr().out


def test_processes_decode_in_order(tmp_path: Path) -> None:
    source = Source(f"folder:{draw(tmp_path / 'many', 640, (3, 2))}", cache_dir=str(tmp_path / "cache"))
    (tmp_path / "many" / "0100.png").write_bytes(b"no picture")
    lenient_source = Source(source.name, cache_dir=source.cache_dir, skip_bad_images=True)
    names = [f"{number:04d}.png" for number in range(640) if number != 100]
    for_training = [name for name, is_for_testing in zip(names, which_are_for_testing(names)) if not is_for_testing]
    expected = [np.asarray(Image.open(tmp_path / "many" / name))[..., None] for name in for_training]
    np.testing.assert_array_equal(load_split(lenient_source, "train"), expected)
    with pytest.raises(InputError, match=r"0100\.png is not a picture"):
        load_dataset(source)


def test_left_out_files_are_listed_at_every_use(source: Source, capsys: pytest.CaptureFixture) -> None:
    (Path(str(directory(source))) / "zzz.png").write_bytes(b"no picture")
    lenient_source = Source(source.name, cache_dir=source.cache_dir, skip_bad_images=True)
    for _ in range(2):
        assert sum(len(load_split(lenient_source, split)) for split in ("train", "test")) == 10
        assert "zzz.png" in capsys.readouterr().out


def test_sizes_and_colours_have_separate_files(source: Source) -> None:
    small = Source(source.name, cache_dir=source.cache_dir, image_size=(4, 3), color_mode="rgb")
    shapes = [load_split(each, "test").shape for each in (source, small, source)]
    assert shapes == [(2, 8, 6, 1), (2, 4, 3, 3), (2, 8, 6, 1)]


def repaint(folder: Path) -> None:
    """Shifts the pixels of a picture and restores its file's modification time."""
    file = folder / "0005.png"
    old_status = file.stat()
    pixels = np.asarray(Image.open(file))
    Image.fromarray(np.roll(pixels, 1, axis=1)).save(file)
    os.utime(file, ns=(old_status.st_atime_ns, old_status.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        repaint,
        lambda folder: (folder / "0003.png").unlink(),
        lambda folder: shutil.copy(folder / "0001.png", folder / "new.png"),
        lambda folder: (folder / "0001.png").rename(folder / "zzzz.png"),
    ],
    ids=["repainted", "removed", "added", "renamed"],
)
def test_changed_folder_is_decoded_again(source: Source, change: Callable[[Path], object]) -> None:
    load_dataset(source)
    change(Path(str(directory(source))))
    for split in ("train", "test"):
        np.testing.assert_array_equal(load_split(source, split), load_uncached(source, split))
    assert len(list(Path(str(source.cache_dir)).glob("*.uint8"))) == 2  # The new files replaced the old ones.


def test_writes_to_images_stay_in_the_process(source: Source) -> None:
    images = load_split(source, "train")
    images[:] = 0
    np.testing.assert_array_equal(load_split(source, "train"), load_uncached(source))


def test_tensorflow_reads_mapped_images_without_a_copy(source: Source) -> None:
    images = load_split(source, "train")
    tensor = as_tensor(images)
    images[0] = 77
    assert tensor.numpy()[0].min() == 77
    batches = EvaluationBatches(images, batch_size=3, first=1, end=6)
    np.testing.assert_array_equal(np.concatenate(list(batches)), images[1:6] / 256)


@pytest.mark.parametrize("offset", [0, 1, 16, 63])
def test_unaligned_and_read_only_arrays_can_be_batched(offset: int) -> None:
    buffer = np.arange(600, dtype=np.uint8)
    images = buffer[offset : offset + 512].reshape(32, 4, 4, 1)
    images.flags.writeable = offset != 16  # One of the four arrays is read-only.
    (batch,) = EvaluationBatches(images)
    np.testing.assert_array_equal(batch, images / 256)
    shuffled, _ = next(iter(training_batches(images, 32, seed=0)))
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), np.sort(images / 256, axis=0))


# ------------------------------------------------------------------------------- Damage


def flip_bit(file: Path) -> None:
    """Flips one bit and restores the file's modification time."""
    old_status, content = file.stat(), bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(old_status.st_atime_ns, old_status.st_mtime_ns))


def edit(record_file: Path, **fields: object) -> None:
    """Changes fields of a cache record, and renews the checksum of the record's own text."""
    record_file.write_text(with_checksum(read_with_checksum(record_file) | fields))


@pytest.mark.parametrize(
    ("pattern", "damage", "message"),
    [
        ("*-train.uint8", flip_bit, "its checksum differs"),
        ("*-train.uint8", lambda file: os.truncate(file, 100), "100 bytes instead of 384"),
        ("*-train.uint8", lambda file: os.truncate(file, 1000), "1,000 bytes instead of 384"),
        ("*-train.uint8", Path.unlink, ""),
        ("*-train.json", flip_bit, "cannot be used"),
        ("*-train.json", lambda file: os.truncate(file, 30), "cannot be used"),
        ("*-train.json", lambda file: file.write_bytes(b"\xff\x00"), "cannot be used"),
        ("*-train.json", lambda file: file.write_text("[]"), "cannot be used"),
        ("*-train.json", Path.unlink, ""),
        ("*-train.json", partial(edit, shape=[8.0, 8, 6, 1]), "shape[0] is 8.0"),
        ("*-train.json", partial(edit, shape=[-8, 8, 6, 1]), "shape[0] is -8"),
        ("*-train.json", partial(edit, shape=[True, 8, 6, 1]), "shape[0] is True"),
        ("*-train.json", partial(edit, shape=[0, 8, 6, 1]), "shape[0] is 0"),
        ("*-train.json", partial(edit, left_out=5), "left_out is 5"),
        ("*-train.json", partial(edit, checksum=5), "checksum is 5"),
        ("*-train.json", partial(edit, stamp=[1, 2]), "stamp is"),
        ("*-train.json", partial(edit, version=0), ""),
    ],
)
@pytest.mark.parametrize("always_checked_bytes", [0, cache.ALWAYS_CHECKED_BYTES])
def test_damaged_cache_files_are_reported_and_written_again(
    source: Source,
    pattern: str,
    damage: Callable[[Path], object],
    message: str,
    always_checked_bytes: int,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache, "ALWAYS_CHECKED_BYTES", always_checked_bytes)
    load_split(source, "train")
    damage(cache_file(source, pattern))
    capsys.readouterr()
    np.testing.assert_array_equal(load_split(source, "train"), load_uncached(source))
    printed = capsys.readouterr()
    assert message in printed.out
    assert len(printed.out.splitlines()) == 1 + bool(message)
    assert str(cache_file(source, "*-train.uint8")) in printed.out
    load_split(source, "train")
    assert capsys.readouterr().out == ""


def test_copied_cache_is_used_without_decoding(source: Source, capsys: pytest.CaptureFixture) -> None:
    load_split(source, "train")
    shutil.copytree(str(source.cache_dir), f"{source.cache_dir}-copy")
    capsys.readouterr()
    copied = Source(source.name, cache_dir=f"{source.cache_dir}-copy")
    np.testing.assert_array_equal(load_split(copied, "train"), load_uncached(source))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("suffix", ["uint8", "json"])
def test_directory_in_place_of_a_cache_file_is_refused(source: Source, suffix: str) -> None:
    load_split(source, "train")
    file = cache_file(source, f"*-train.{suffix}")
    file.unlink()
    (file / "something").mkdir(parents=True)
    with pytest.raises(InputError, match=f"cache_dir: .*-train.{suffix} cannot be used"):
        load_split(source, "train")


@pytest.mark.parametrize("directory", ["a_file", "a_file/below", "/proc/no_such_place", "gs://bucket"])
def test_unusable_cache_dir_is_refused_with_advice(source: Source, directory: str, tmp_path: Path) -> None:
    (tmp_path / "a_file").write_text("")
    place = directory if ":" in directory else str(tmp_path / directory)
    with pytest.raises(InputError, match=r"cache_dir: .*; give"):
        load_split(Source(source.name, cache_dir=place), "train")


def test_deleted_cache_stays_mapped(source: Source) -> None:
    images = load_split(source, "train")
    shutil.rmtree(str(source.cache_dir))
    np.testing.assert_array_equal(images, load_uncached(source))


@pytest.mark.parametrize("cached", [True, False])
def test_folder_that_changes_during_decoding_is_refused(source: Source, cached: bool) -> None:
    def read() -> cache.Reading:
        reading = picture_folder.read(source, "train")
        batches = reading.batches

        def change_after_last_batch():
            yield from batches()
            repaint(Path(str(directory(source))))

        reading.batches = change_after_last_batch
        return reading

    with pytest.raises(InputError, match="changed while it was decoded"):
        if cached:
            cache.map_split(Path(str(source.cache_dir)), "name", "train", read)
        else:
            list(cache.decode(read, read()))
    assert not cached or [file.name for file in Path(str(source.cache_dir)).iterdir()] == ["name.lock"]


# ------------------------------------------------------------------------------- Other programs


def test_one_program_decodes_while_others_wait(source: Source, capsys: pytest.CaptureFixture) -> None:
    with ThreadPoolExecutor(4) as threads:  # Threads stand for programs: each takes the lock.
        splits = list(threads.map(lambda _: load_split(source, "train"), range(4)))
    assert capsys.readouterr().out.count("decoding") == 1
    for images in splits:
        np.testing.assert_array_equal(images, splits[0])


def test_waiting_for_a_lock_ends(
    source: Source, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "WAIT_SECONDS", 0.2)
    load_split(source, "train")
    with cache_file(source, "*.lock").open() as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        capsys.readouterr()
        with pytest.raises(RunError, match="held by another program for"):
            load_split(source, "train")
    assert capsys.readouterr().out.count("waiting for another program") == 1


def test_partial_files_of_killed_programs_are_deleted(source: Source) -> None:
    load_split(source, "train")
    pixels = cache_file(source, "*-train.uint8")
    partial_file = partial_beside(pixels)
    partial_file.write_bytes(b"half")
    cache_file(source, "*-train.json").unlink()
    load_split(source, "train")
    assert not partial_file.exists()


# ------------------------------------------------------------------------------- Places


@pytest.mark.skipif(sys.platform != "linux", reason="the expected paths are Linux's")
@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "/home/me/.cache/deconv_ae"),
        ({"XDG_CACHE_HOME": "/caches"}, "/caches/deconv_ae"),
        ({"DECONV_AE_CACHE_DIR": "/own"}, "/own"),
    ],
)
def test_default_cache_follows_the_environment(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CACHE_HOME", "DECONV_AE_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **environment}.items():
        monkeypatch.setenv(name, value)
    assert cache.default_cache_dir() == Path(expected)


def test_str_of_data_set_gives_name_counts_shape_and_place(digits: ImageDataset) -> None:
    assert str(digits) == "mnist_5k: 640 training and 100 test images of 28x28x1, in memory"
