"""Pictures are resized to another aspect ratio, and programs that use a model resize as its training did."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from faults.programs import run_program
from PIL import Image

from deconv_ae import Architecture
from deconv_ae.data import FITS, ImageDataset, Source, load_split
from deconv_ae.data.resizing import fit_image
from deconv_ae.errors import InputError
from deconv_ae.saved_model.model_card import ModelCard
from deconv_ae.training import TrainingOptions, train

RANDOM = np.random.default_rng(0)


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, channels), np.uint8)


def fitted(image: np.ndarray, size: tuple[int, int], fit: str, background: str = "white") -> np.ndarray:
    return fit_image(image, Source("made", image_size=size, fit=fit, background=background)).numpy()


@pytest.mark.parametrize(
    ("shape", "size", "part"),
    [
        ((20, 50), (10, 10), np.s_[:, 15:35]),
        ((50, 20), (10, 10), np.s_[15:35]),
        ((20, 51), (10, 10), np.s_[:, 15:35]),
        ((30, 40), (10, 20), np.s_[5:25]),
        ((5, 9), (20, 20), np.s_[:, 2:7]),
        ((3, 1000), (4, 4), np.s_[:, 498:501]),
    ],
)
def test_crop_keeps_the_middle_undistorted(shape: tuple[int, int], size: tuple[int, int], part: tuple) -> None:
    image = picture(*shape)
    np.testing.assert_array_equal(fitted(image, size, "crop"), fitted(image[part], size, "stretch"))


@pytest.mark.parametrize(
    ("shape", "size", "inner_size", "place"),
    [
        ((20, 50), (10, 10), (4, 10), np.s_[3:7]),
        ((50, 20), (10, 10), (10, 4), np.s_[:, 3:7]),
        ((30, 40), (10, 20), (10, 13), np.s_[:, 3:16]),
        ((1, 1000), (5, 5), (1, 5), np.s_[2:3]),
    ],
)
@pytest.mark.parametrize(
    ("channels", "background", "fill"),
    [(3, "white", 255), (1, "black", 0), (3, "#ff8000", (255, 128, 0)), (1, "#ff8000", 151)],
)
def test_pad_keeps_the_whole_image(
    shape: tuple[int, int],
    size: tuple[int, int],
    inner_size: tuple[int, int],
    place: tuple,
    channels: int,
    background,
    fill,
) -> None:
    image = picture(*shape, channels)
    expected = np.full((*size, channels), fill, np.uint8)
    expected[place] = fitted(image, inner_size, "stretch")
    np.testing.assert_array_equal(fitted(image, size, "pad", background), expected)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("shape", "size"), [((28, 28), (28, 28)), ((28, 28), (14, 14)), ((30, 45), (20, 30))])
def test_all_fits_agree_for_equal_aspect_ratios(shape: tuple[int, int], size: tuple[int, int], fit: str) -> None:
    image = picture(*shape, 1)
    resized = tf.round(tf.clip_by_value(tf.image.resize(image, size, antialias=True), 0, 255))
    np.testing.assert_array_equal(fitted(image, size, fit), resized)


@pytest.mark.parametrize("fit", FITS)
def test_images_of_unknown_size_are_fitted_in_a_graph(fit: str) -> None:
    images = [picture(20, 50), picture(7, 5)]
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(images), output_signature=tf.TensorSpec((None, None, 3), tf.uint8)
    )
    fitted_images = dataset.map(lambda image: fit_image(image, Source("made", image_size=(6, 8), fit=fit)))
    for image, found in zip(images, fitted_images):
        np.testing.assert_array_equal(found, fitted(image, (6, 8), fit))


def test_unknown_fit_is_refused() -> None:
    with pytest.raises(InputError, match="fit: unknown 'squeeze'; choose one of crop, pad, stretch"):
        Source("made", fit="squeeze")


@pytest.fixture
def wide_pictures(tmp_path: Path) -> Path:
    """Twelve pictures of 24x48, each with a blurred spot at a random place."""
    folder = tmp_path / "wide"
    folder.mkdir()
    rows, columns = np.mgrid[0:24, 0:48]
    for number in range(12):
        row, column = RANDOM.uniform((4, 4), (20, 44))
        spot = 255 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 40)
        Image.fromarray(np.stack([spot, spot // 2, 255 - spot], axis=-1).astype(np.uint8)).save(
            folder / f"{number}.png"
        )
    return folder


def test_cache_keeps_the_splits_of_each_fit_apart(wide_pictures: Path) -> None:
    name = f"folder:{wide_pictures}"
    sources = [Source(name, image_size=(12, 12), fit=fit, cache_dir=str(wide_pictures.parent)) for fit in FITS]
    splits = [load_split(source, "test") for source in (*sources, *sources)]
    for first, second in zip(splits[:3], splits[3:]):
        np.testing.assert_array_equal(first, second)
    assert len({split.tobytes() for split in splits}) == 3


def test_resume_refuses_another_fit(colour_images: ImageDataset, tmp_path: Path) -> None:
    def run(fit: str | None, resume: bool = True) -> None:
        source = None if fit is None else Source("blobs", image_size=(17, 13), fit=fit)
        dataset = ImageDataset("blobs", colour_images.train, colour_images.test, source=source)
        train(dataset, TrainingOptions(Architecture((1,), (4,)), epochs=0, run_dir=str(tmp_path), resume=resume))

    run("crop", resume=False)
    run("crop")
    with pytest.raises(InputError, match="holds a run with fit crop, not stretch"):
        run("stretch")
    with pytest.raises(InputError, match="holds a run with fit crop, not None"):
        run(None)


def test_evaluate_uses_the_fit_of_the_model_card_by_default(wide_pictures: Path) -> None:
    folder, dataset_flags = wide_pictures.parent, ("--dataset=folder:wide", "--image_size=12")
    training_flags = [*dataset_flags, "--fit=pad", "--filters=2", "--pool_sizes=2", "--epochs=3", "--export_dir=model"]
    trained = run_program("train.py", [*training_flags, "--export_anyway"], folder)
    assert trained.status == 0, trained.stderr
    card = ModelCard.read(folder / "model")
    assert card.dataset.fit == card.source("folder:wide").fit == "pad"

    def test_rmse(*flags: str) -> float:
        lines = run_program("evaluate.py", ["--model=model", *flags], folder).stdout.splitlines()
        return float(next(line for line in lines if line.startswith("test RMSE")).split()[2].rstrip(","))

    assert test_rmse() == pytest.approx(card.test_rmse, abs=1e-6)
    assert test_rmse("--fit=crop") != pytest.approx(card.test_rmse, abs=1e-4)
