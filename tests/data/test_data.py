"""The sample, TFDS data sets and folders of pictures, and their batches."""

import os
import socket
import sys
import time
import types
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from deconv_ae.data import (
    EvaluationBatches,
    Source,
    kinds,
    load_dataset,
    load_split,
    replica_batches,
    scale,
    training_batches,
)
from deconv_ae.data.cache import Reading
from deconv_ae.errors import InputError

RANDOM = np.random.default_rng(0)


def save_picture(file: Path, size: tuple[int, int] = (8, 6), mode: str = "L") -> np.ndarray:
    """Saves a picture of random pixels, and returns the pixels; size is (height, width)."""
    shape = size if mode == "L" else (*size, len(mode))
    pixels = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels, mode=mode).save(file)
    return pixels


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Ten grey 8x6 PNGs in one folder."""
    for index in range(10):
        save_picture(tmp_path / "pictures" / f"{index}.png")
    return tmp_path / "pictures"


@pytest.mark.parametrize("name", ["mnist_5k", "folder:photos", "mnist"])
def test_every_kind_has_a_reader(name: str) -> None:
    assert callable(kinds.reader(Source(name)))


def test_kind_can_be_added_by_a_module_and_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(source: Source, split: str) -> Reading:
        shades = np.arange(int(source.name.removeprefix("shades:")), dtype=np.uint8)
        return Reading(
            "1", len(shades), lambda: iter([np.broadcast_to(shades[:, None, None, None], (len(shades), 4, 4, 1))])
        )

    module = types.ModuleType("shades")
    module.read = read
    monkeypatch.setitem(sys.modules, "deconv_ae.data.shades", module)
    shades_kind = kinds.Kind("shades:COUNT", "shades", lambda source: None, prefix="shades:")
    monkeypatch.setattr(kinds, "KINDS", (*kinds.KINDS, shades_kind))
    source = Source("shades:9", cache_dir=str(tmp_path / "cache"))
    for _ in range(2):  # The second load reads from the cache.
        np.testing.assert_array_equal(load_dataset(source).test[:, 0, 0, 0], range(9))
    # The text after the prefix of the added kind is not a path.
    assert kinds.directory(source) is None
    assert kinds.with_resolved_path(source) == source


# ------------------------------------------------------------------------------- The sample


def test_sample_is_split_four_to_one_without_overlap() -> None:
    dataset = load_dataset(Source("mnist_5k"))
    assert dataset.train.shape == (4000, 28, 28, 1)
    assert dataset.test.shape == (1000, 28, 28, 1)
    assert dataset.train.dtype == np.uint8
    assert dataset.train.max() == 255
    seen = {image.tobytes() for image in dataset.train}
    assert not any(image.tobytes() in seen for image in dataset.test)
    # Digits of different classes alternate, so the first five test images differ.
    assert len({image.tobytes() for image in dataset.test[:5]}) == 5
    np.testing.assert_array_equal(dataset.test, load_split(Source("mnist_5k"), "test"))


def test_images_are_resized_and_recoloured_on_request() -> None:
    images = load_split(Source("mnist_5k", image_size=(14, 20), color_mode="rgb", fit="stretch"), "test")
    assert images.shape == (1000, 14, 20, 3)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images[..., 0], images[..., 2])
    original = load_split(Source("mnist_5k"), "test")
    assert images.mean() == pytest.approx(original.mean(), rel=0.02)


# ------------------------------------------------------------------------------- Folders


def test_flat_folder_is_always_split_the_same_way(pictures: Path) -> None:
    first, second = (load_dataset(Source(f"folder:{pictures}", cache_dir="")) for _ in range(2))
    assert first.train.shape == (8, 8, 6, 1)
    assert first.test.shape == (2, 8, 6, 1)
    np.testing.assert_array_equal(first.train, second.train)
    all_images = np.concatenate([first.train, first.test])
    assert len({image.tobytes() for image in all_images}) == 10


def test_train_and_test_folders_are_the_splits(tmp_path: Path) -> None:
    train = save_picture(tmp_path / "train" / "cats" / "a.png", mode="RGB")
    test = save_picture(tmp_path / "test" / "b.png", mode="RGB")
    (tmp_path / "train" / ".hidden").write_text("ignored")
    dataset = load_dataset(Source(f"folder:{tmp_path}"))
    np.testing.assert_array_equal(dataset.train, train[None])
    np.testing.assert_array_equal(dataset.test, test[None])


def test_formats_sizes_and_modes_become_one_shape(tmp_path: Path) -> None:
    save_picture(tmp_path / "0.png", (9, 5), "RGBA")
    save_picture(tmp_path / "1.jpg", (40, 30), "RGB")
    save_picture(tmp_path / "2.jpeg", (16, 16), "L")
    dataset = load_dataset(Source(f"folder:{tmp_path}", image_size=(12, 10), color_mode="rgb"))
    assert (dataset.train.shape, dataset.test.shape) == ((2, 12, 10, 3), (1, 12, 10, 3))


def test_pictures_are_turned_upright(tmp_path: Path) -> None:
    pixels = save_picture(tmp_path / "train" / "a.png", (4, 6))
    with Image.open(tmp_path / "train" / "a.png") as picture:
        exif = picture.getexif()
        exif[0x0112] = 3  # The orientation: upside down.
        picture.save(tmp_path / "train" / "a.png", exif=exif)
    save_picture(tmp_path / "test" / "b.png", (4, 6))
    np.testing.assert_array_equal(load_split(Source(f"folder:{tmp_path}"), "train")[0, :, :, 0], pixels[::-1, ::-1])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("notes.txt", b"some text", "is not a picture in a known format"),
        ("fake.png", b"some text", "is not a picture in a known format"),
        ("empty.png", b"", "is not a picture in a known format"),
        ("cut.png", None, "cannot be decoded"),
    ],
)
def test_damaged_pictures_are_named_or_left_out(
    pictures: Path, name: str, content: bytes | None, message: str, capsys: pytest.CaptureFixture
) -> None:
    file = pictures / name
    if content is None:
        save_picture(file, (60, 60))
        content = file.read_bytes()[:1500]
    file.write_bytes(content)
    with pytest.raises(InputError) as raised:
        load_dataset(Source(f"folder:{pictures}"))
    assert message in str(raised.value)
    assert str(file) in str(raised.value)
    dataset = load_dataset(Source(f"folder:{pictures}", skip_bad_images=True))
    assert len(dataset.train) + len(dataset.test) == 10
    assert str(file) in capsys.readouterr().out


def test_huge_picture_is_refused_by_its_header(pictures: Path) -> None:
    file = pictures / "bomb.png"
    # A real 1-bit PNG of 20,000 x 20,000 black pixels: 50 kB on disk, 400 million pixels.
    Image.new("1", (20_000, 20_000)).save(file, optimize=True)
    started = time.process_time()  # This process's time, which does not depend on the load of the machine.
    with pytest.raises(InputError, match=r"bomb\.png is too large"):
        load_dataset(Source(f"folder:{pictures}"))
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: None, "is not a folder"),
        (lambda folder: folder.mkdir(), "is empty"),
        (lambda folder: save_picture(folder / "a.png"), "at least 2"),
        (lambda folder: save_picture(folder / "train" / "a.png"), "test is missing"),
        (lambda folder: [save_picture(folder / f"{n}.png", (n, n)) for n in (4, 5, 6)], "give --image_size"),
    ],
)
def test_unusable_folders_are_refused(tmp_path: Path, prepare, message: str) -> None:
    folder = tmp_path / "folder"
    prepare(folder)
    with pytest.raises(InputError, match=message):
        load_dataset(Source(f"folder:{folder}"))


# ------------------------------------------------------------------------------- TFDS


class ManyHeights(tfds.core.GeneratorBasedBuilder):
    """A TFDS data set of images of different heights, made without a network."""

    VERSION = tfds.core.Version("1.0.0")
    name = "many_heights"

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(None, None, 3))})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        return {"train": self._generate_examples(12), "validation": self._generate_examples(5)}

    def _generate_examples(self, count: int):
        for index in range(count):
            yield index, {"image": np.full((10 + index, 8, 3), index, np.uint8)}


def test_tfds_data_set_is_prepared_and_resized(tmp_path: Path) -> None:
    source = Source("many_heights", data_dir=str(tmp_path), image_size=(6, 4))
    dataset = load_dataset(source)
    assert dataset.train.shape == (12, 6, 4, 3)
    # The data set has no `test`, so `validation` is the test split.
    assert sorted(image.max() for image in dataset.test) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(load_split(source, "train"), dataset.train)


def test_images_of_different_sizes_need_a_size(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="differ in size; give --image_size"):
        load_split(Source("many_heights", data_dir=str(tmp_path)), "train")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_, **__):
        raise socket.gaierror("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_missing_tfds_data_is_refused_quickly_with_three_remedies(tmp_path: Path, no_network: None) -> None:
    started = time.perf_counter()
    with pytest.raises(InputError) as raised:
        load_dataset(Source("mnist", data_dir=str(tmp_path)))
    assert time.perf_counter() - started < 15
    for remedy in ("network", "--manual_dir", "--data_dir"):
        assert remedy in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "lacks t10k-images-idx3-ubyte.gz"), (b"altered", "does not match its checksum")]
)
def test_missing_or_altered_archives_are_reported(
    tmp_path: Path, no_network: None, content: bytes | None, message: str
) -> None:
    archives = tmp_path / "archives"
    archives.mkdir()
    if content is not None:
        for split in ("train", "t10k"):
            for kind in ("images-idx3", "labels-idx1"):
                (archives / f"{split}-{kind}-ubyte.gz").write_bytes(content)
    with pytest.raises(InputError) as raised:
        load_dataset(Source("mnist", data_dir=str(tmp_path / "data"), manual_dir=str(archives)))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["no_such_data_set", "", "Folder:x", "mnist_5K"])
def test_unknown_data_set_is_refused_with_the_choices(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mnist_5k, folder:PATH"):
        load_dataset(Source(name, data_dir=str(tmp_path)))


# ------------------------------------------------------------------------------- Batches


def numbered(count: int) -> np.ndarray:
    """Images with one number each: all pixels of an image are its number."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 2, 2, 1)).copy()


def image_numbers(batches: tf.data.Dataset, count: int) -> list[list[int]]:
    """The numbers of the images in the first `count` batches of `numbered` images."""
    return [np.round(images[:, 0, 0, 0].numpy() * 256).astype(int).tolist() for images, _ in batches.take(count)]


def test_pixels_are_divided_by_256() -> None:
    np.testing.assert_array_equal(scale(tf.constant([0, 1, 255], tf.uint8)), np.float32([0, 1 / 256, 255 / 256]))


def test_every_epoch_has_every_image_in_another_order() -> None:
    batches = image_numbers(training_batches(numbered(10), batch_size=4, seed=3), 6)
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    first, second = (list(chain(*epoch)) for epoch in (batches[:3], batches[3:]))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_the_order_follows_the_seed() -> None:
    orders = [image_numbers(training_batches(numbered(50), 50, seed), 1) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("first_step", [0, 1, 2, 3, 4, 5, 7])
def test_batches_resume_at_any_step(first_step: int) -> None:
    all_batches = image_numbers(training_batches(numbered(10), 4, seed=1), 12)
    resumed = image_numbers(training_batches(numbered(10), 4, seed=1, first_step=first_step), 5)
    assert resumed == all_batches[first_step:][:5]


def test_evaluation_reads_everything_once_in_order() -> None:
    batches = EvaluationBatches(numbered(10), batch_size=4)
    np.testing.assert_array_equal(np.concatenate(list(batches)), scale(numbered(10)))
    assert len(batches) == len(list(batches)) == 3


def test_batches_have_no_autotuning_and_no_optimizations() -> None:
    images = numbered(4)
    for batches in (
        training_batches(images, 4, seed=0),
        replica_batches(images, 4, 0, 0, range(1), 1),
    ):
        assert batches.options().autotune.enabled is False
        # The optimizations copy the whole split.
        assert batches.options().experimental_optimization.apply_default_optimizations is False


def test_input_and_target_are_the_same_image() -> None:
    images, targets = next(iter(training_batches(numbered(4), 4, seed=0)))
    np.testing.assert_array_equal(images, targets)
    assert images.dtype == tf.float32


# ------------------------------------------------------------------------------- Pipes and links in folders


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no os.mkfifo")
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("nowhere")], ids=["pipe", "broken link"])
def test_pipes_and_broken_links_are_reported(pictures: Path, capfd, make) -> None:
    make(pictures / "99.png")
    with pytest.raises(InputError, match=r"99.png is not a file: a broken link, a pipe or a device; mend or"):
        load_dataset(Source(f"folder:{pictures}"))
    load_dataset(Source(f"folder:{pictures}", skip_bad_images=True))
    assert "99.png is not a file" in capfd.readouterr().out


def test_folder_with_a_link_to_itself_is_refused(pictures: Path) -> None:
    (pictures / "again").symlink_to(".", target_is_directory=True)
    with pytest.raises(
        InputError, match=r"again leads to .*, so that its pictures would be read twice; remove the link"
    ):
        load_dataset(Source(f"folder:{pictures}"))
