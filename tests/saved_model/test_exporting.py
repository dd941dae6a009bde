"""SavedModels: signatures, model cards, writing and reading."""

import dataclasses
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from faults.programs import run_program

from deconv_ae import Architecture
from deconv_ae.data import ImageDataset, Source, pixels
from deconv_ae.errors import InputError, RunError
from deconv_ae.files import read_with_checksum, with_checksum
from deconv_ae.options import options_of
from deconv_ae.saved_model import export_directory, exporting
from deconv_ae.saved_model.export_directory import ExportDirectory
from deconv_ae.saved_model.model_card import DatasetUsed, ModelCard
from deconv_ae.saved_model.serving import Encoded, ServedAutoencoder
from deconv_ae.saved_model.signatures import SIGNATURES, Function, Model, Signature, Specs, by_name
from deconv_ae.training import TrainingOptions, TrainingResult, train


def files(directory: Path) -> dict[str, bytes]:
    return {str(file.relative_to(directory)): file.read_bytes() for file in directory.rglob("*") if file.is_file()}


def run_saved_model_cli(directory: Path, *arguments: str) -> None:
    cli = Path(sys.executable).with_name("saved_model_cli")
    finished = run_program(str(cli), ["run", *arguments, "--tag_set=serve", "--overwrite"], directory)
    assert finished.status == 0, finished.stderr


def test_encode_and_decode_equal_serving_default_in_saved_model_cli(
    exported: Path, digits: ImageDataset, tmp_path: Path
) -> None:
    images = digits.test[:4].astype(np.float32) / 256
    np.save(tmp_path / "four.npy", images)
    np.save(tmp_path / "one.npy", images[2:3])

    def run(signature: str, inputs: str) -> Path:
        folder = tmp_path / f"{signature}_{len(list(tmp_path.iterdir()))}"
        arguments = ["--dir", str(exported), "--outdir", str(folder), "--signature_def", signature, "--inputs", inputs]
        run_saved_model_cli(tmp_path, *arguments)
        return folder

    served = run("serving_default", f"images={tmp_path / 'four.npy'}")
    encoded = run("encode", f"images={tmp_path / 'four.npy'}")
    decoded = run("decode", f"code={encoded / 'code.npy'};switches_1={encoded / 'switches_1.npy'}")
    expected = np.load(served / "reconstruction.npy")
    np.testing.assert_allclose(np.load(decoded / "reconstruction.npy"), expected, atol=1e-6)
    # One image of the batch is encoded and decoded alone.
    encoded_alone = run("encode", f"images={tmp_path / 'one.npy'}")
    decoded_alone = run("decode", f"code={encoded_alone / 'code.npy'};switches_1={encoded_alone / 'switches_1.npy'}")
    np.testing.assert_allclose(np.load(decoded_alone / "reconstruction.npy"), expected[2:3], atol=1e-6)


def test_colour_model_of_two_stages_serves_the_keras_models_results(
    exported_in_colour: Path, colour_images: ImageDataset
) -> None:
    served = ServedAutoencoder(exported_in_colour)
    encoded = served.encode(colour_images.test)
    assert [switches.shape[1:] for switches in encoded.switches] == [(8, 6, 4), (2, 3, 2)]
    model = keras.models.load_model(exported_in_colour / exporting.KERAS_FILE)
    expected = model(colour_images.test.astype(np.float32) / 256)
    np.testing.assert_allclose(served.decode(encoded), expected, atol=1e-6)
    assert served.card.title == "filters 4, 2; pools 2x2, 3x2"


@pytest.mark.usefixtures("bfloat16")
def test_mixed_precision_model_is_exported_in_float32(digits: ImageDataset, tmp_path: Path) -> None:
    options = TrainingOptions(Architecture((1,), (4,)), epochs=1, mixed_precision="mixed_bfloat16")
    result = train(digits, options)
    exporting.export(result, digits, str(tmp_path / "model"))
    served = ServedAutoencoder(tmp_path / "model")
    assert served.encode(digits.test).code.dtype == np.float32
    assert served.rmse(digits.test) == pytest.approx(served.card.test_rmse, abs=1e-4)


def test_card_describes_the_model(exported: Path, trained: TrainingResult, digits: ImageDataset) -> None:
    card = ModelCard.read(exported)
    assert card.preset == card.title == "cmap1_pool4"
    assert card.architecture.filters == (1,)
    digests = {"fingerprint": digits.fingerprint, "test_pictures": pixels.digests(digits.test)}
    assert card.dataset == DatasetUsed("mnist_5k", 640, 100, **digests)
    assert card.parameters == 51
    assert card.size_per_image.switches_bits == 49 * 4
    assert [layer.name for layer in card.layers] == ["images", "conv1", "pool1", "unpool1", "deconv1"]
    assert set(card.versions) == {"python", "tensorflow", "keras"}
    served = ServedAutoencoder(exported)
    assert served.rmse(digits.test) == pytest.approx(card.test_rmse, abs=1e-6)
    assert served.rmse(digits.train) == pytest.approx(card.training_rmse, abs=1e-6)


def test_keras_file_holds_the_same_model(exported: Path, digits: ImageDataset) -> None:
    model = keras.models.load_model(exported / exporting.KERAS_FILE)
    served = ServedAutoencoder(exported)
    images = digits.test[:3].astype(np.float32) / 256
    np.testing.assert_allclose(model(images), served.decode(served.encode(digits.test[:3])), atol=1e-6)


OTHER_READING = {
    "image_size": (28, 28),
    "color_mode": "grayscale",
    "background": "black",
    "fit": "pad",
    "split_by": "folder",
}


@pytest.mark.parametrize("name", [name for name, (_, each) in options_of(Source).items() if each.decides_result])
def test_card_has_every_option_that_decides_the_pixels(
    trained: TrainingResult, digits: ImageDataset, name: str
) -> None:
    source = Source("folder:photos", **{"image_size": (28, 28)} | {name: OTHER_READING[name]})
    card = exporting.make_card(trained, dataclasses.replace(digits, name=source.name, source=source))
    assert card.source(source.name) == source


@pytest.mark.parametrize("name", ["a[b]c", "a\\b", "a*b", "a?b", "[x]/model"])
def test_path_with_a_wildcard_is_refused(exported: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(exported, tmp_path / name)
    ending = r"has a [*?\[\\], which TensorFlow takes for a wildcard; rename it$"
    with pytest.raises(InputError, match=f"^model: .*{ending}"):
        ServedAutoencoder(tmp_path / name)
    with pytest.raises(InputError, match=f"^export_dir: .*{ending}"):
        export_directory.check_replaceable(tmp_path / f"{name}-new", overwrite=False)
    (tmp_path / "link").symlink_to(tmp_path / name)
    assert ServedAutoencoder(tmp_path / "link").card == ModelCard.read(exported)


def test_tfsm_layer_calls_the_exported_functions(exported: Path, digits: ImageDataset) -> None:
    images = digits.test[:2].astype(np.float32) / 256
    served = keras.layers.TFSMLayer(exported)(images)
    encoded = keras.layers.TFSMLayer(exported, call_endpoint="encode")(images)
    decode = keras.layers.TFSMLayer(exported, call_endpoint="decode")
    decoded = decode(encoded["code"], switches_1=encoded["switches_1"])
    np.testing.assert_allclose(decoded["reconstruction"], served["reconstruction"], atol=1e-6)


@pytest.mark.parametrize("count", [3, 40])
def test_gradient_of_exported_model_is_an_error_not_zeros(exported: Path, digits: ImageDataset, count: int) -> None:
    images = tf.constant(digits.test[:count] / np.float32(256))
    serve = tf.saved_model.load(str(exported)).signatures["serving_default"]
    with tf.GradientTape() as tape, pytest.raises(LookupError, match="an exported autoencoder has no gradient"):
        tape.watch(images)
        tape.gradient(serve(images=images)["reconstruction"], images)


# Writing


def test_existing_model_is_kept_or_replaced_as_a_whole(
    exported: Path, trained: TrainingResult, digits: ImageDataset, tmp_path: Path
) -> None:
    target = shutil.copytree(exported, tmp_path / "model")
    before = files(target)
    with pytest.raises(InputError, match=r"exists; pass --overwrite \(overwrite=True in Python\)"):
        exporting.export(trained, digits, str(target), preset="second")
    assert files(target) == before
    exporting.export(trained, digits, str(target), preset="second", overwrite=True)
    assert ServedAutoencoder(target).card.preset == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_failed_export_leaves_only_the_old_model(
    exported: Path, trained: TrainingResult, digits: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = shutil.copytree(exported, tmp_path / "model")
    before = files(target)

    def disk_full(*_, **__) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras.Model, "save", disk_full)
    with pytest.raises(RunError, match="No space left"):
        exporting.export(trained, digits, str(target), overwrite=True)
    assert files(target) == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_new_model_replaces_the_old_without_renameat2(
    exported: Path, trained: TrainingResult, digits: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    shutil.copytree(exported, tmp_path / "model")
    exporting.export(trained, digits, str(tmp_path / "model"), preset="second", overwrite=True)
    assert ModelCard.read(tmp_path / "model").preset == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_directory_of_other_files_is_never_replaced(
    trained: TrainingResult, digits: ImageDataset, tmp_path: Path
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(InputError, match="something other than a model"):
        exporting.export(trained, digits, str(tmp_path / "thesis"), overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


def test_unwritable_directory_is_refused(tmp_path: Path) -> None:
    # The constructor refuses it, which train.py calls before it trains.
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        ExportDirectory(tmp_path / "file" / "model")


# Reading


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: (path / "model_card.json").unlink(), "has no model_card.json"),
        (lambda path: (path / "model_card.json").write_text("{"), "is not a model card"),
        (lambda path: (path / "model_card.json").write_text("[1]"), "is not a model card"),
        (lambda path: (path / "model_card.json").write_text('{"format_version": 1}'), "is not a model card"),
        (lambda path: (path / "model_card.json").write_text('{"format_version": 99}'), "has format version 99"),
        (lambda path: (path / "saved_model.pb").write_bytes(b"\x00garbage"), "is not the file that was exported"),
        (lambda path: (path / "saved_model.pb").unlink(), "cannot be read: No such file"),
        (lambda path: (path / "variables" / "variables.index").unlink(), "cannot be read: No such file"),
    ],
)
def test_damaged_model_is_refused_in_one_line(exported: Path, tmp_path: Path, damage, message: str) -> None:
    for name, content in files(exported).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    damage(tmp_path)
    with pytest.raises(InputError) as raised:
        ServedAutoencoder(tmp_path)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_images_of_another_shape_are_refused(exported: Path) -> None:
    with pytest.raises(InputError, match=r"^images: 32x32x3 each, and .* was made for 28x28x1"):
        ServedAutoencoder(exported).encode(np.zeros((1, 32, 32, 3), np.uint8))


def test_switches_decode_in_any_batch(exported: Path, digits: ImageDataset) -> None:
    served = ServedAutoencoder(exported)
    encoded = served.encode(digits.test[:6])
    order = [5, 0, 3]
    picked = Encoded(encoded.code[order], tuple(switches[order] for switches in encoded.switches))
    np.testing.assert_allclose(served.decode(picked), served.decode(encoded)[order], atol=1e-6)


def test_card_survives_a_round_trip_through_json(exported: Path, tmp_path: Path) -> None:
    card = ModelCard.read(exported)
    (tmp_path / "model_card.json").write_text(card.to_json())
    assert ModelCard.read(tmp_path) == card


WRONG_REALS = ("0.1", None, [], True, -0.1, 10**400, json.loads("1e999"))
WRONG_COUNTS = ("1", 1.0, True, -1, 10**400)
IMPOSSIBLE_FIELDS = [
    *(("test_rmse", value) for value in WRONG_REALS),
    *(("training_rmse", value) for value in WRONG_REALS),
    *(("recipe.learning_rate", value) for value in WRONG_REALS if value is not None),
    *(("recipe.epochs", value) for value in (*WRONG_COUNTS, None)),
    *(("recipe.batch_size", value) for value in (*WRONG_COUNTS, 0)),
    *(("recipe.extended_after_epochs", value) for value in (1, "1", [None], [10**400])),
    *(("dataset", value) for value in (None, [], {}, "mnist")),
    *(("dataset.name", value) for value in (None, "", 5, "a" * 1001, "a\x1b[2J")),
    *(("dataset.training_images", value) for value in WRONG_COUNTS),
    *(("seed", value) for value in (*WRONG_COUNTS, 2**40)),
    *(("image_shape", value) for value in ([28, 28], [28, 28, -1], [28, 28, True], [3, 3, 1], None)),
    *(("architecture.filters", value) for value in ([], [0], ["1"], [10**400], [1, 1])),
    *(("architecture.kernel_size", value) for value in (5, [5], [5, 0], [5.0, 5])),
    *(("layers", value) for value in (None, {}, [1], [{"name": "conv1"}])),
    *(("versions", value) for value in (None, [], {"python": 3})),
    *(("checksums", value) for value in (None, {"../x": "a"}, {"/etc/passwd": "a"}, {"a": 1})),
    *(("signatures", value) for value in (None, "encode", [5], {})),
    *(("format_version", value) for value in ("2", True, 0, -1, 10**400, None)),
    ("further", 1),
]


@pytest.mark.parametrize(("field", "value"), IMPOSSIBLE_FIELDS)
def test_card_with_an_impossible_field_is_refused(exported: Path, tmp_path: Path, field: str, value: Any) -> None:
    values = read_with_checksum(exported / "model_card.json")
    *path, last = field.split(".")
    place = values
    for name in path:
        place = place[name]
    place[last] = value
    # The checksum matches, as if somebody had edited the card and computed the checksum again. Infinity is not JSON, so
    # the card has 1e999 in its place, which is read as infinity and does not change the checksum.
    (tmp_path / "model_card.json").write_text(with_checksum(values).replace("Infinity", "1e999"))
    with pytest.raises(InputError, match=r"is not a model card \(.*; export the model again") as error:
        ModelCard.read(tmp_path)
    assert str(error.value).isprintable()


def test_export_needs_only_the_required_signatures(exported: Path, tmp_path: Path, digits: ImageDataset) -> None:
    model = shutil.copytree(exported, tmp_path / "model")

    def read(signatures: list[str]) -> ServedAutoencoder:
        values = read_with_checksum(exported / "model_card.json") | {"signatures": signatures}
        (model / "model_card.json").write_text(with_checksum(values))
        return ServedAutoencoder(model)

    assert read(["decode", "encode", "serving_default"]).rmse(digits.test) > 0
    with pytest.raises(InputError, match="has no signature decode; export the model again"):
        read(["encode", "serving_default"])


def test_added_signature_needs_one_entry_and_old_exports_stay_readable(
    exported: Path, trained: TrainingResult, digits: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def inverted_spec(_: Architecture, image_shape: Sequence[int]) -> Specs:
        return {"inverted": tf.TensorSpec((None, *image_shape), tf.float32)}

    def invert(_: Model) -> Function:
        return lambda images: {"inverted": 1 - images}

    inverted = Signature("invert", SIGNATURES["encode"].inputs, inverted_spec, invert, converted=None)
    with monkeypatch.context() as patch:
        patch.setitem(SIGNATURES, "invert", inverted)
        exporting.export(trained, digits, tmp_path / "model")
        assert ServedAutoencoder(exported).rmse(digits.test) > 0
        served = ServedAutoencoder(tmp_path / "model")
    assert served.card.signatures == ("serving_default", "encode", "decode", "invert")
    images = tf.constant(digits.test[:2] / np.float32(256))
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.signatures["invert"](images=images)["inverted"], 1 - images)
    # `SIGNATURES` has lost the entry again, and the export can still be read.
    assert ServedAutoencoder(tmp_path / "model").rmse(digits.test) == served.rmse(digits.test)


@pytest.mark.parametrize("name", ["serve", "signatures", "variables", "name", "two words", ""])
def test_impossible_name_of_a_signature_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"^'{name}' cannot be the name of a signature"):
        dataclasses.replace(SIGNATURES["encode"], name=name)


@pytest.mark.parametrize("field", ["name", "converted"])
def test_signatures_or_files_with_the_same_name_are_refused(field: str) -> None:
    one, other = SIGNATURES["encode"], SIGNATURES["decode"]
    with pytest.raises(ValueError, match=f"^'{getattr(one, field)}' is the name of two"):
        by_name(one, dataclasses.replace(other, **{field: getattr(one, field)}))


def test_unreadable_export_leaves_no_directory(trained: TrainingResult, digits: ImageDataset, tmp_path: Path) -> None:
    # A negative RMSE makes the card unreadable.
    with pytest.raises(RunError, match=r"export_dir: what was written cannot be read back .*test_rmse is -1"):
        exporting.export(dataclasses.replace(trained, test_rmse=-1.0), digits, tmp_path / "model")
    assert not list(tmp_path.iterdir())
