"""Conversions of exported models: what the converted files compute, what the report says, and what is refused."""

import dataclasses
import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
from faults.programs import Finished, run_program
from runtimes import RUNTIMES, WORKING_FORMATS, Tensors, every_format, needs_openvino, run_onnx, run_openvino

import deconv_ae
from deconv_ae import Architecture, Autoencoder, conversion
from deconv_ae.conversion.portable import Part, parts
from deconv_ae.conversion.verification import Reference, Runner
from deconv_ae.data import ImageDataset, scale
from deconv_ae.errors import InputError, RunError
from deconv_ae.saved_model import exporting
from deconv_ae.saved_model.keras_file import load_keras_model
from deconv_ae.saved_model.model_card import FILE_NAME, KERAS_FILE, ModelCard
from deconv_ae.saved_model.serving import Encoded, ServedAutoencoder
from deconv_ae.saved_model.signatures import SIGNATURES, Function, Model, Signature, Specs
from deconv_ae.training import TrainingResult

PARTS = ("autoencoder", "encoder", "decoder")
TOLERANCE = 1e-5


def expected_tensors(served: ServedAutoencoder, images: np.ndarray) -> Tensors:
    """The inputs and outputs of all parts: the scaled images, and what the SavedModel computes from the images."""
    encoded = served.encode(images)
    switches = {f"switches_{number}": values for number, values in enumerate(encoded.switches, start=1)}
    scaled = images.astype(np.float32) / 256
    return {"images": scaled, "code": encoded.code, **switches, "reconstruction": served.decode(encoded)}


def inputs_of(part: str, tensors: Tensors) -> Tensors:
    names = ["code", *(name for name in tensors if name.startswith("switches"))] if part == "decoder" else ["images"]
    return {name: tensors[name] for name in names}


def part_of(model: Autoencoder, name: str) -> Part:
    (part,) = (each for each in parts(model, channels_first=False) if each.name == name)
    return part


@pytest.fixture(scope="module")
def served(exported: Path) -> ServedAutoencoder:
    return ServedAutoencoder(exported)


@pytest.fixture(scope="module")
def converted(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Path]:
    """Runs convert.py on a model of one stage, and returns how the program ended and the folder with the files."""
    folder = tmp_path_factory.mktemp("converted")
    arguments = [f"--model={exported}", "--output_dir=files", f"--format={','.join(WORKING_FORMATS)}"]
    return run_program("convert.py", arguments, folder), folder / "files"


@pytest.mark.parametrize("part", PARTS)
@every_format
def test_every_part_agrees_with_the_saved_model_in_every_runtime(
    converted: tuple[Finished, Path], served: ServedAutoencoder, digits: ImageDataset, format_name: str, part: str
) -> None:
    suffix, run = RUNTIMES[format_name]
    for count in (1, 5):
        tensors = expected_tensors(served, digits.test[:count])
        outputs = run(converted[1] / format_name / f"{part}{suffix}", inputs_of(part, tensors))
        for name, values in outputs.items():
            assert values.dtype == tensors[name].dtype
            tolerance = 0 if name.startswith("switches") else TOLERANCE
            np.testing.assert_allclose(values, tensors[name], rtol=0, atol=tolerance, err_msg=name)
    assert (
        set(outputs)
        == {
            "autoencoder": {"code", "reconstruction"},
            "encoder": {"code", "switches_1"},
            "decoder": {"reconstruction"},
        }[part]
    )


@pytest.mark.filterwarnings("error::UserWarning")
def test_model_of_colour_images_converts_to_every_format(
    exported_in_colour: Path, colour_images: ImageDataset, tmp_path: Path
) -> None:
    written = conversion.convert(
        exported_in_colour, list(WORKING_FORMATS), tmp_path, colour_images.test, calibration_images=colour_images.train
    )
    assert all(entry.agreement.is_exact for entry in written if entry.variant == "float32")
    tensors = expected_tensors(ServedAutoencoder(exported_in_colour), colour_images.test[:3])
    for format_name, (suffix, run) in WORKING_FORMATS.items():
        encoded = run(tmp_path / format_name / f"encoder{suffix}", inputs_of("encoder", tensors))
        decoded = run(tmp_path / format_name / f"decoder{suffix}", encoded)["reconstruction"]
        np.testing.assert_allclose(decoded, tensors["reconstruction"], rtol=0, atol=TOLERANCE)


def test_model_of_five_bands_converts_only_from_python(tmp_path: Path) -> None:
    bands = np.random.default_rng(0).integers(0, 256, (50, 12, 8, 5), np.uint8)
    trained = deconv_ae.train(bands, filters=(4, 2), pool_sizes=(2, 2), kernel_size=3, epochs=1, verbose=False)
    trained.export(tmp_path / "model", anyway=True)
    written = conversion.convert(tmp_path / "model", list(WORKING_FORMATS), tmp_path / "converted", bands, bands)
    assert all(entry.agreement.is_exact for entry in written if entry.variant == "float32")
    tensors = expected_tensors(ServedAutoencoder(tmp_path / "model"), bands[:3])
    for format_name, (suffix, run) in WORKING_FORMATS.items():
        file = tmp_path / "converted" / format_name / f"autoencoder{suffix}"
        reconstruction = run(file, inputs_of("autoencoder", tensors))["reconstruction"]
        np.testing.assert_allclose(reconstruction, tensors["reconstruction"], rtol=0, atol=TOLERANCE)
    for program in ("evaluate.py", "visualize.py", "convert.py"):
        finished = run_program(program, ["--model=model"], tmp_path)
        (line,) = finished.error_lines
        assert finished.status == 2
        assert "was trained on an array in Python, which no file holds; programs read images of 1 or 3" in line


def test_model_with_averages_converts_exactly_for_sizes_not_divisible_by_4(
    colour_images: ImageDataset, tmp_path: Path
) -> None:
    options = {"filters": 3, "pool_sizes": 4, "averages": 5, "epochs": 1, "batch_size": 8, "verbose": False}
    trained = deconv_ae.train(colour_images.train, test_images=colour_images.test, **options)
    trained.export(tmp_path / "model", anyway=True)
    written = conversion.convert(
        tmp_path / "model", list(WORKING_FORMATS), tmp_path / "files", colour_images.test, colour_images.test
    )
    exact = [entry.agreement.is_exact for entry in written if entry.variant == "float32"]
    assert exact == [True] * 3 * len(WORKING_FORMATS)


@needs_openvino
def test_openvino_has_one_name_for_each_output(tmp_path: Path) -> None:
    # With images of one pixel, reshapes do nothing, and OpenVINO merges their inputs with their outputs.
    import openvino

    from deconv_ae.conversion import to_openvino

    model = Autoencoder(Architecture((1,), (1,), 1), (1, 1, 1))
    autoencoder = next(part for part in parts(model, channels_first=True) if part.name == "autoencoder")
    to_openvino.write(autoencoder, "float32", {}, tmp_path)
    compiled = openvino.Core().compile_model(str(tmp_path / "autoencoder.xml"), "CPU")
    assert [output.names for output in compiled.outputs] == [{"code"}, {"reconstruction"}]


def test_litert_files_have_no_tensorflow_operations(converted: tuple[Finished, Path]) -> None:
    files = list((converted[1] / "litert").iterdir())
    assert len(files) == 9
    # In LiteRT files, the names of TensorFlow's operations begin with Flex.
    assert not any(b"Flex" in file.read_bytes() for file in files)


def test_report_has_agreement_and_cost_of_each_file(converted: tuple[Finished, Path]) -> None:
    finished, folder = converted
    assert (finished.status, finished.stderr) == (0, "")
    report = json.loads((folder / "conversion_report.json").read_text())
    entries = {(entry["format"], entry["variant"], entry["part"]): entry for entry in report["files"]}
    assert {key[:2] for key in entries} == {
        *((format_name, "float32") for format_name in WORKING_FORMATS),
        ("litert", "float16"),
        ("litert", "int8"),
    }
    for (_, variant, part), entry in entries.items():
        assert (folder / entry["file"]).is_file()
        assert entry["file"] in finished.stdout
        agreement = entry["agreement"]
        assert (agreement["switches"] is None) == (part != "encoder")
        warning = f"{entry['file']}: {agreement['switches'] or 0:,} switches do not point to a maximum"
        assert (warning in finished.stdout) == bool(agreement["switches"])
        assert abs(agreement["rmse_cost"]) < (1e-6 if variant == "float32" else 0.01)
    # Rounded weights and integer arithmetic change the results.
    assert entries["litert", "int8", "decoder"]["agreement"]["reconstruction"] > TOLERANCE
    packages = {"onnx": "onnxruntime", "litert": "ai_edge_litert", "openvino": "openvino"}
    assert {"tensorflow", *(packages[format_name] for format_name in WORKING_FORMATS)} <= set(report["versions"])


@needs_openvino
@pytest.mark.parametrize("precision", [None, "f32", "bf16"])
def test_openvino_computes_in_float32_whatever_precision_is_asked_for(
    converted: tuple[Finished, Path], served: ServedAutoencoder, digits: ImageDataset, precision: str | None
) -> None:
    tensors = expected_tensors(served, digits.test[:5])
    outputs = run_openvino(converted[1] / "openvino" / "autoencoder.xml", inputs_of("autoencoder", tensors), precision)
    for name, values in outputs.items():
        np.testing.assert_allclose(values, tensors[name], rtol=0, atol=TOLERANCE, err_msg=name)
    for entry in json.loads((converted[1] / "conversion_report.json").read_text())["files"]:
        assert (entry["by_default"] is None) == (entry["format"] != "openvino")
        if entry["by_default"] is not None:
            assert entry["by_default"]["relative"] <= TOLERANCE
            assert abs(entry["by_default"]["rmse_cost"]) < 1e-6


def test_tolerance_is_relative_to_the_values(trained: TrainingResult, digits: ImageDataset, tmp_path: Path) -> None:
    large = tmp_path / "large"
    model = Autoencoder.from_config(trained.model.get_config())
    *weights, last = trained.model.get_weights()
    model.set_weights([*weights, last * 10_000])
    exporting.export(dataclasses.replace(trained, model=model), digits, str(large))
    served = ServedAutoencoder(large)
    reference = Reference(served, model, digits.test[:10])

    def off_by(relative: float) -> Runner:
        def decode(inputs: Tensors) -> Tensors:
            decoded = served.decode(Encoded(inputs["code"], (inputs["switches_1"],)))
            return {"reconstruction": decoded * np.float32(1 + relative)}

        return decode

    for relative, is_exact in ((5e-6, True), (2e-5, False)):
        agreement = reference.compare("decoder", off_by(relative), part_of(model, "decoder"))
        assert agreement.reconstruction > 100 * TOLERANCE
        assert agreement.is_exact == is_exact


def test_switches_may_move_only_among_tied_maxima(served: ServedAutoencoder) -> None:
    flat = np.full((2, 28, 28, 1), 128, np.uint8)
    flat[0, 12:16, 12:16] = np.arange(16, dtype=np.uint8).reshape(4, 4, 1) * 15  # One window is not flat.
    model = load_keras_model(served)
    reference = Reference(served, model, flat)
    autoencoder, encoder = (part_of(model, name) for name in ("autoencoder", "encoder"))

    def encoder_with_moved_switch(image: int) -> Runner:
        def encode(inputs: Tensors) -> Tensors:
            encoded = {name: np.array(values) for name, values in served.encode_scaled(inputs["images"]).items()}
            switches = encoded["switches_1"]
            is_chosen = np.all(inputs["images"] == reference.tensors["images"][image], axis=(1, 2, 3))
            switches[is_chosen, 3, 3] = (switches[is_chosen, 3, 3] + 7) % 16
            return encoded

        return encode

    assert reference.compare("encoder", encoder_with_moved_switch(1), encoder).is_exact
    assert reference.compare("encoder", encoder_with_moved_switch(0), encoder).switches == 1

    def autoencoder_with_moved_switch(image: int, brighter: float = 0) -> Runner:
        def autoencode(inputs: Tensors) -> Tensors:
            encoded = encoder_with_moved_switch(image)(inputs)
            decoded = served.decode(Encoded(encoded["code"], (encoded["switches_1"],)))
            return {"code": encoded["code"], "reconstruction": decoded + np.float32(brighter)}

        return autoencode

    assert reference.compare("autoencoder", autoencoder_with_moved_switch(1), autoencoder).is_exact
    # Image 0 has a clear maximum in the window, and the moved switch puts it in a wrong place. Image 1 is flat: each
    # place of the window is right, but brighter pixels are wrong.
    assert reference.compare("autoencoder", autoencoder_with_moved_switch(0), autoencoder).reconstruction > 0.01
    assert not reference.compare("autoencoder", autoencoder_with_moved_switch(1, brighter=0.1), autoencoder).is_exact


@pytest.mark.parametrize("change", ["missing", "added"])
def test_part_with_other_outputs_is_refused(served: ServedAutoencoder, digits: ImageDataset, change: str) -> None:
    model = load_keras_model(served)

    def encode(inputs: Tensors) -> Tensors:
        outputs = dict(served.encode_scaled(inputs["images"]))
        if change == "missing":
            del outputs["switches_1"]
        else:
            outputs["switches_2"] = outputs["switches_1"]
        return outputs

    with pytest.raises(RunError, match=r"file: has the outputs code.*, the SavedModel's are code, switches_1;"):
        Reference(served, model, digits.test[:2]).compare("file", encode, part_of(model, "encoder"))


def without_keras_checksum(model_dir: Path) -> Path:
    """Removes the checksum of the Keras file from the model card, so that tests can replace the file."""
    card = ModelCard.read(model_dir)
    others = {name: checksum for name, checksum in card.checksums.items() if name != KERAS_FILE}
    (model_dir / FILE_NAME).write_text(dataclasses.replace(card, checksums=others).to_json())
    return model_dir


def test_added_signature_converts_where_the_export_has_it(
    exported: Path, trained: TrainingResult, digits: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = SIGNATURES["encode"]

    def half_spec(architecture: Architecture, image_shape: Sequence[int]) -> Specs:
        return {"half": encode.outputs(architecture, image_shape)["code"]}

    def halve(model: Model) -> Function:
        return lambda images: {"half": model.encode(images)[0] / 2}

    halved = Signature("halve", encode.inputs, half_spec, halve, converted="halver")
    monkeypatch.setitem(SIGNATURES, "halve", halved)
    exporting.export(trained, digits, tmp_path / "model")
    for model_dir, file_count in ((tmp_path / "model", 4), (exported, 3)):
        written = conversion.convert(model_dir, ["onnx"], tmp_path / f"{file_count} files", digits.test, digits.train)
        assert len(written) == file_count
        assert all(entry.agreement.is_exact for entry in written)
    outputs = run_onnx(tmp_path / "4 files" / "onnx" / "halver.onnx", {"images": np.asarray(scale(digits.test[:2]))})
    np.testing.assert_allclose(outputs["half"] * 2, ServedAutoencoder(exported).encode(digits.test[:2]).code, atol=1e-5)


def test_file_that_disagrees_is_not_written(exported: Path, digits: ImageDataset, tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt"
    without_keras_checksum(shutil.copytree(exported, spoilt))
    model = keras.models.load_model(spoilt / KERAS_FILE)
    model.set_weights([weights * 1.5 for weights in model.get_weights()])
    model.save(spoilt / KERAS_FILE)
    with pytest.raises(RunError) as raised:
        conversion.convert(spoilt, list(WORKING_FORMATS), tmp_path / "files", digits.test, digits.train)
    for format_name, (suffix, _) in WORKING_FORMATS.items():
        message = rf"{format_name}: autoencoder{suffix} differs from the SavedModel's autoencoder: code off by [^;]*;"
        assert re.search(f"{message} not written", str(raised.value))
    assert list((tmp_path / "files").iterdir()) == []


def test_failed_conversion_keeps_earlier_files(
    converted: tuple[Finished, Path], exported: Path, digits: ImageDataset, tmp_path: Path
) -> None:
    shutil.copytree(converted[1], tmp_path / "files")
    before = {file: file.read_bytes() for file in (tmp_path / "files").rglob("*") if file.is_file()}
    (tmp_path / "model").mkdir()
    without_keras_checksum(shutil.copytree(exported, tmp_path / "model", dirs_exist_ok=True))
    model = keras.models.load_model(exported / KERAS_FILE)
    model.set_weights([-weights for weights in model.get_weights()])
    model.save(tmp_path / "model" / KERAS_FILE)
    with pytest.raises(RunError, match="not written"):
        conversion.convert(tmp_path / "model", ["onnx"], tmp_path / "files", digits.test, digits.train)
    assert {file: file.read_bytes() for file in (tmp_path / "files").rglob("*") if file.is_file()} == before


def test_report_has_files_written_before_an_unwritable_format(
    exported: Path, digits: ImageDataset, tmp_path: Path
) -> None:
    (tmp_path / "litert").write_text("not a directory")
    with pytest.raises(RunError, match=r"output_dir: .* cannot be written: File exists"):
        conversion.convert(exported, ["onnx", "litert"], tmp_path, digits.test, digits.train)
    report = json.loads((tmp_path / "conversion_report.json").read_text())
    assert {entry["file"] for entry in report["files"]} == {f"onnx/{part}.onnx" for part in PARTS}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "model: not given"),
        (["--model=nowhere"], "nowhere does not exist"),
        (["--model=MODEL", "--format=onnx,coreml"], "format: unknown 'coreml'; choose one of litert, onnx, openvino"),
        (["--model=MODEL", "--format="], "format: is empty"),
        (["--model=MODEL", "--dataset=folder:nowhere"], "nowhere is not a folder"),
    ],
)
def test_bad_input_gives_one_line_and_no_files(
    exported: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    finished = run_program("convert.py", [text.replace("MODEL", str(exported)) for text in arguments], tmp_path)
    assert finished.status == 2
    assert len(finished.error_lines) == 1
    assert message in finished.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("format_name", "package"),
    [("onnx", "tf2onnx"), ("litert", "ai_edge_litert"), ("openvino", "openvino"), ("openvino", "onnxruntime")],
)
def test_error_names_the_missing_package(monkeypatch: pytest.MonkeyPatch, format_name: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"{format_name} needs packages that are not installed: {package}; run pip install 'deconv_ae\[convert\]'"
    with pytest.raises(InputError, match=message):
        conversion.check_formats([format_name])


@pytest.fixture(scope="module")
def model_without_checksum(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> ServedAutoencoder:
    """A copy of the export without the Keras file's checksum, so that tests may replace that file."""
    copy = tmp_path_factory.mktemp("model_without_checksum") / "model"
    return ServedAutoencoder(without_keras_checksum(shutil.copytree(exported, copy)))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.unlink(), "has no autoencoder.keras"),
        (lambda file: file.write_bytes(b"no archive"), "is damaged"),
        (lambda file: keras.Sequential([keras.Input((2,))]).save(file), "holds a Sequential"),
    ],
)
def test_spoilt_keras_file_gives_one_line(model_without_checksum: ServedAutoencoder, spoil, message: str) -> None:
    spoil(model_without_checksum.path / KERAS_FILE)
    with pytest.raises(InputError, match=message) as raised:
        conversion.load_keras_model(model_without_checksum)
    assert "\n" not in str(raised.value)
