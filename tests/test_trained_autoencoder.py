"""`deconv_ae.train` and `deconv_ae.load`: inputs that they accept or refuse, and models that they return."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import deconv_ae
from deconv_ae.data import ImageDataset, Source
from deconv_ae.errors import InputError, RunError
from deconv_ae.options import options_of
from deconv_ae.saved_model.serving import ServedAutoencoder
from deconv_ae.training import TrainingOptions

PICTURES = np.random.default_rng(0).integers(0, 256, (50, 12, 9, 3), np.uint8)
QUICK = {"filters": (4, 2), "pool_sizes": (2, 2), "kernel_size": 3, "epochs": 1, "verbose": False}


@pytest.mark.filterwarnings("error")
def test_run_with_checkpoints_and_export_does_not_warn(tmp_path: Path) -> None:
    trained = deconv_ae.train(PICTURES, name="noise", run_dir=tmp_path / "run", **QUICK)
    trained.export(tmp_path / "model")


# An accepted value of each option, and refused values.
OPTION_VALUES = {
    "epochs": (np.int64(1), ["3", 2.5, 2.0, True, [3], -1, 10**400, np.bool_(True), np.array([1])]),
    "batch_size": (np.uint8(200), ["4", 0, True, 4.0]),
    "seed": (np.int64(3), [None, "0", False, -1, 2**40]),
    "validate_every": (np.int32(0), ["1", True, None, 1.5]),
    "checkpoint_every": (None, [True, 0, "1"]),
    "learning_rate": (np.float32(0.01), [True, "0.1", 0, -1, float("nan"), float("inf"), 10**400, 1j]),
    "worker_timeout": (np.int8(9), [None, "1", -1, 10**400, True]),
    "recipe": ("cntk", [None, 5, [], "magic"]),
    "strategy": ("none", [None, [], {}]),
    "mixed_precision": ("none", [None, False]),
    "jit_compile": ("auto", [True, None]),
    "resume": (False, ["yes", 1, None, np.bool_(False)]),
    "run_dir": (None, [5, b"x", [], "", "gs://x"]),
    "filters": (np.array([4, 2]), ["4", True, [4.0, 2], None, {}, ["4", "2"]]),
    "pool_sizes": (np.array([2, 2]), [2.0, True, None, [[2], [True]]]),
    "kernel_size": (np.int32(3), [None, True, 3.0]),
    "name": ("n" * 1000, [Path("x"), ["a"], None, "", "n" * 1001, "a\n", 5]),
    "verbose": (False, ["no", 0, None]),
}


@pytest.mark.parametrize(
    ("option", "value"), [(option, value) for option, (_, values) in OPTION_VALUES.items() for value in values]
)
def test_wrong_option_value_is_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(InputError, match=f"^{option}: ") as error:
        deconv_ae.train(PICTURES, **QUICK | {option: value})
    assert str(error.value).isprintable()


def test_numpy_numbers_survive_training_and_export(tmp_path: Path) -> None:
    trained = deconv_ae.train(PICTURES, **QUICK | {option: value for option, (value, _) in OPTION_VALUES.items()})
    trained.export(tmp_path / "model", anyway=True)
    card = ServedAutoencoder(tmp_path / "model").card
    assert (card.recipe.epochs, card.recipe.batch_size, card.seed) == (1, 200, 3)
    assert card.recipe.other_options == {"jit_compile": "auto"}
    assert card.recipe.learning_rate == pytest.approx(0.01)


@pytest.mark.filterwarnings("error::UserWarning")
def test_array_becomes_saved_model_with_the_reported_rmse(tmp_path: Path) -> None:
    trained = deconv_ae.train(PICTURES, name="noise", **QUICK)
    card = trained.export(tmp_path / "model")
    served = ServedAutoencoder(tmp_path / "model")
    assert (card.dataset.training_images, card.dataset.test_images) == (40, 10)
    assert served.rmse(trained.dataset.test) == pytest.approx(trained.test_rmse, rel=1e-5)
    # Every picture is in one split.
    all_images = np.concatenate([trained.dataset.train, trained.dataset.test]).reshape(50, -1)
    assert sorted(map(bytes, all_images)) == sorted(map(bytes, PICTURES.reshape(50, -1)))


def test_test_images_may_be_given() -> None:
    trained = deconv_ae.train(PICTURES[:40], test_images=PICTURES[40:], **QUICK | {"epochs": 0})
    np.testing.assert_array_equal(trained.dataset.train, PICTURES[:40])
    np.testing.assert_array_equal(trained.dataset.test, PICTURES[40:])


REFUSED_ARRAYS = {
    "pixels from 0 to 1": (PICTURES / 255, r"float64, not uint8; they are from 0 to 1: np.round\(images \* 255\)"),
    "pixels from -1 to 1": (PICTURES / 127.5 - 1, r"from -1 to 1: np.round\(\(images \+ 1\) \* 127.5\)"),
    "floats from 0 to 255": (PICTURES.astype(np.float32), r"float32, not .*from 0 to 255: np.round\(images\).astype"),
    "floats of no usual range": (PICTURES * 4.0, "from 0 to 1020; give numbers from 0 to 255, such as"),
    "NaN": (PICTURES * np.nan, "from nan to nan; give numbers"),
    "0 to 255 in 64 bits": (PICTURES.astype(np.int64), r"int64, not .*from 0 to 255: images.astype\(np.uint8\)"),
    "pixels in 16 bits": (PICTURES.astype(np.uint16) * 257, r"from 0 to 65535: np.round\(images / 257\)"),
    "truth values": (PICTURES > 128, r"bool, not uint8; images.astype\(np.uint8\) \* 255 makes"),
    "complex numbers": (PICTURES * 1j, "complex128, not uint8; give numbers from 0 to 255"),
    "texts": (PICTURES.astype(str), "not uint8; give numbers from 0 to 255"),
    "pictures divided by 255": (
        (PICTURES / 255).astype(np.uint8),
        "the brightest pixel is 1 of 255, so that all images are black",
    ),
    "masks of 0 and 1": ((PICTURES > 128).astype(np.uint8), "multiply masks of 0 and 1 by 255"),
    "black": (PICTURES * 0, "the brightest pixel is 0 of 255"),
    "no channels": (PICTURES[..., 0], r"\(50, 12, 9\) is not .*newaxis"),
    "no batch and no channels": (PICTURES[0, ..., 0], r"\(12, 9\) is not .*stack"),
    "channels first": (np.zeros((9, 3, 12, 12), np.uint8), r"channels first; images.transpose\(0, 2, 3, 1\)"),
    "no pictures": (PICTURES[:0], "holds no pixels"),
    "one picture": (PICTURES[:1], "cannot be divided"),
    "a list": (PICTURES.tolist(), "a list is not a NumPy array"),
}


@pytest.mark.parametrize(("images", "message"), REFUSED_ARRAYS.values(), ids=REFUSED_ARRAYS)
def test_wrong_array_is_refused_with_remedy(images, message: str) -> None:
    with pytest.raises(InputError, match=f"^images: .*{message}"):
        deconv_ae.train(images, **QUICK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epoch": 3}, "options: .*'epoch'"),
        ({"filters": (4, 2, 1)}, "pool_sizes: 2 given for 3 filters"),
        ({"pool_sizes": (2, 20)}, "pool_sizes: "),
        ({"recipe": "best"}, "recipe: unknown 'best'"),
        ({"test_images": PICTURES[:, :8]}, r"training images of \(12, 9, 3\) and test images of \(8, 9, 3\)"),
        ({"test_images": PICTURES / 255}, "test_images: pixels are float64"),
        ({"test_images": (PICTURES / 255).astype(np.uint8)}, "test_images: the brightest pixel is 1 of 255"),
    ],
)
def test_unknown_or_unsuitable_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        deconv_ae.train(PICTURES, **QUICK | options)


def test_images_of_three_rows_are_not_channels_first() -> None:
    strips = np.full((5, 3, 7, 12), 128, np.uint8)
    assert ImageDataset("strips", strips[:4], strips[4:]).image_shape == (3, 7, 12)


def test_model_with_problem_is_returned_with_warning_but_not_exported(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="no better than the mean training image"):
        trained = deconv_ae.train(PICTURES, **QUICK | {"recipe": "cntk", "epochs": 0})
    assert trained.problem is not None
    with pytest.raises(RunError, match=r"no better than the mean .*; .*anyway=True"):
        trained.export(tmp_path / "model")
    assert not list(tmp_path.iterdir())
    trained.export(tmp_path / "model", anyway=True)
    assert ServedAutoencoder(tmp_path / "model").card.test_rmse == trained.test_rmse


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / "mine"
    deconv_ae.train(PICTURES, **QUICK).export(directory)
    return directory


def test_loaded_model_computes_the_same_as_its_saved_model(model_dir: Path) -> None:
    model, served = deconv_ae.load(model_dir), ServedAutoencoder(model_dir)
    encoded, expected = model.encode(PICTURES), served.encode(PICTURES)
    np.testing.assert_allclose(encoded.code, expected.code, atol=1e-5)
    assert model.reconstruct(PICTURES).dtype == np.uint8
    difference = model.decode(encoded).astype(int) - np.clip(np.round(served.decode(expected) * 256), 0, 255)
    assert np.abs(difference).max() <= 1
    assert "the mean over these images" in model.evaluate(PICTURES).table()
    assert model.evaluate(PICTURES).rmse["these"] == pytest.approx(served.rmse(PICTURES), rel=1e-4)


def test_evaluate_uses_weights_of_fitted_keras_model(model_dir: Path) -> None:
    model, scaled = deconv_ae.load(model_dir), PICTURES.astype(np.float32) / 256
    before = model.evaluate(PICTURES).rmse["these"]
    model.keras_model.fit(scaled, scaled, epochs=3, verbose=0)
    assert model.evaluate(PICTURES).rmse["these"] < before


@pytest.mark.parametrize("method", ["encode", "reconstruct", "evaluate", "plot"])
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (PICTURES / 256, "pixels are float64, not uint8"),
        (PICTURES[0], r"one image is not a batch; pass image\[np.newaxis\]"),
        (PICTURES[:, :8], "8x9x3 each, and mine was made for 12x9x3"),
        (PICTURES[:0], "the array holds no image; give at least one"),
    ],
)
def test_images_of_wrong_type_shape_or_number_are_refused(model_dir: Path, method: str, images, message: str) -> None:
    with pytest.raises(InputError, match=f"^images: {message}"):
        getattr(deconv_ae.load(model_dir), method)(images)


def test_plot_displays_as_png_in_a_notebook(model_dir: Path) -> None:
    assert deconv_ae.load(model_dir).plot(PICTURES[:2])._repr_png_().startswith(b"\x89PNG")


def test_figure_title_begins_with_name_folder_or_architecture(tmp_path: Path) -> None:
    for number, picture in enumerate(PICTURES[:10]):
        (tmp_path / "holidays").mkdir(exist_ok=True)
        Image.fromarray(picture).save(tmp_path / "holidays" / f"{number}.png")
    untrained = QUICK | {"epochs": 0}
    for images, options, title in (
        (PICTURES[:10], {"name": "noise"}, "noise"),
        (PICTURES[:10], {}, "filters 4, 2; pools 2x2, 2x2"),
        (tmp_path / "holidays", {"cache_dir": ""}, "holidays"),
    ):
        figure = deconv_ae.train(images, **untrained, **options).plot(PICTURES[:5])
        assert " ".join(figure.get_suptitle().split()).startswith(f"{title}, test RMSE")


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_code_that_is_not_finite_is_refused(model_dir: Path, number: float) -> None:
    model = deconv_ae.load(model_dir)
    encoded = model.encode(PICTURES[:2])
    encoded.code[1, 0, 0, 0] = number
    with pytest.raises(InputError, match=r"^code: has numbers that are infinite or NaN; give finite numbers$"):
        model.decode(encoded)


def test_switch_outside_of_its_window_is_refused(model_dir: Path) -> None:
    model = deconv_ae.load(model_dir)
    encoded = model.encode(PICTURES[:2])
    with pytest.raises(InputError, match=r"^switches_1: 1[0-2] is outside of its window; give positions from 0 to 3$"):
        model.decode(replace(encoded, switches=(encoded.switches[0] + 9, encoded.switches[1])))


def test_mixed_or_incomplete_results_of_encode_are_refused(model_dir: Path) -> None:
    model = deconv_ae.load(model_dir)
    encoded = model.encode(PICTURES[:2])
    with pytest.raises(InputError, match=r"^switches_1: is of 2 images, but the code is of 1; give equally many$"):
        model.decode(replace(encoded, code=encoded.code[:1]))
    with pytest.raises(InputError, match=r"^encoded: is of type ndarray; give the result of `encode`$"):
        model.decode(encoded.code)
    with pytest.raises(InputError, match=r"^code: is a list; give a NumPy array$"):
        model.decode(replace(encoded, code=encoded.code.tolist()))
    with pytest.raises(InputError, match=r"^switches: .* arrays is 1, but the model's number of poolings is 2"):
        model.decode(replace(encoded, switches=encoded.switches[:1]))


def test_resumed_run_extends_its_history(tmp_path: Path) -> None:
    run = QUICK | {"run_dir": tmp_path / "run"}
    deconv_ae.train(PICTURES, **run)
    resumed = deconv_ae.train(PICTURES, **run | {"epochs": 2, "resume": True})
    assert [epoch.number for epoch in resumed.history] == [0, 1, 2]


def test_evaluating_the_training_folder_gives_the_same_test_rmse(tmp_path: Path) -> None:
    for number, picture in enumerate(PICTURES):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    trained = deconv_ae.train(tmp_path, **QUICK)
    assert trained.card.dataset.training_images + trained.card.dataset.test_images == len(PICTURES)
    assert trained.evaluate(tmp_path).rmse["test"] == pytest.approx(trained.test_rmse, rel=1e-4)


def test_options_for_reading_a_folder_apply(tmp_path: Path) -> None:
    for number, picture in enumerate(PICTURES[:20]):
        folder = tmp_path / f"scene {number % 4}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(picture[number % 3 :]).save(folder / f"{number}.png")
    reading = {"image_size": (8, 6), "color_mode": "grayscale", "split_by": "folder", "fit": "pad", "cache_dir": ""}
    trained = deconv_ae.train(tmp_path, **QUICK | reading | {"epochs": 0, "filters": 2, "pool_sizes": 2})
    assert (trained.dataset.image_shape, trained.card.dataset.fit) == ((8, 6, 1), "pad")
    assert (trained.card.dataset.split_by, trained.card.dataset.test_images % 5) == ("folder", 0)


WRONG_FOR_FOLDERS = {
    "image_size": ("large", 0, (4, 5, 6), True, 10**6),
    "color_mode": ("sepia", None, 3),
    "split_by": ("month",),
    "fit": ("zoom",),
    "background": (5, "mauve"),
    "skip_bad_images": (1,),
    "load_truncated_images": ("yes",),
    "max_pixels": (0,),
    "cache_dir": (5,),
    "data_dir": ("data",),
    "manual_dir": ("archives",),
    "name": ("holidays",),
    "test_images": (PICTURES,),
}


def test_every_option_is_tested_with_wrong_values() -> None:
    assert options_of(TrainingOptions).keys() <= OPTION_VALUES.keys()
    assert options_of(Source).keys() <= WRONG_FOR_FOLDERS.keys()


@pytest.mark.parametrize(
    ("option", "value"), [(option, value) for option, values in WRONG_FOR_FOLDERS.items() for value in values]
)
def test_option_wrong_for_a_folder_is_refused_by_name(option: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^{option}: "):
        deconv_ae.train(tmp_path, **QUICK | {option: value})


def test_folder_options_are_refused_for_an_array() -> None:
    with pytest.raises(InputError, match=r"^image_size: is for a folder"):
        deconv_ae.train(PICTURES, **QUICK, image_size=8)


@pytest.mark.parametrize("method", ["predict", "fit", "evaluate"])
def test_keras_model_refuses_uint8_pixels_and_then_takes_floats(model_dir: Path, method: str) -> None:
    model = deconv_ae.load(model_dir).keras_model
    argument_count = 1 if method == "predict" else 2
    with pytest.raises(InputError, match=r"^images: pixels are uint8, .* images / 256, .*`reconstruct`") as error:
        getattr(model, method)(*[PICTURES] * argument_count, verbose=0)
    assert "\n" not in str(error.value)
    getattr(model, method)(*[PICTURES / 256] * argument_count, verbose=0)
    with pytest.raises(InputError, match=r"^images: pixels are uint8"):
        model.encoder(PICTURES)


def test_dir_lists_public_names() -> None:
    assert {"load", "train", "__version__", "MaxUnpooling2D"} <= set(dir(deconv_ae))


def test_train_without_tensorflow_raises_error_with_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("trained_autoencoder", "data", "data.batches"):
        monkeypatch.delitem(sys.modules, f"deconv_ae.{name}", raising=False)
    monkeypatch.delattr(deconv_ae, "trained_autoencoder", raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    message = "deconv_ae.train: needs tensorflow, which is not installed; run pip install deconv_ae, which installs"
    with pytest.raises(InputError, match=f"^{message} all missing packages$"):
        _ = deconv_ae.train
