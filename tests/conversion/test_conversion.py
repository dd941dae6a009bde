"""Models for other runtimes: each format run for real in its own, by code that knows nothing of deconv_ae."""

import dataclasses
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from faults.programs import Finished, run_program

import deconv_ae
from deconv_ae import Architecture, Autoencoder, conversion
from deconv_ae.conversion.portable import parts
from deconv_ae.conversion.verification import Reference, Runner
from deconv_ae.data import ImageDataset
from deconv_ae.errors import InputError, RunError
from deconv_ae.saved_model import exporting
from deconv_ae.saved_model.keras_file import load_keras_model
from deconv_ae.saved_model.model_card import FILE_NAME, KERAS_FILE, ModelCard
from deconv_ae.saved_model.serving import Encoded, ServedAutoencoder
from deconv_ae.training import TrainingResult

PARTS = ("autoencoder", "encoder", "decoder")
TOLERANCE = 1e-5

Tensors = dict[str, np.ndarray]


def run_onnx(file: Path, inputs: Tensors) -> Tensors:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, inputs)))


def run_litert(file: Path, inputs: Tensors) -> Tensors:
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_path=str(file)).get_signature_runner("serving_default")(**inputs)


def run_openvino(file: Path, inputs: Tensors, precision: str | None = None) -> Tensors:
    """As a user opens it; or told to compute in a precision, whether or not this CPU would choose that by itself."""
    import openvino

    hint = {} if precision is None else {"INFERENCE_PRECISION_HINT": precision}
    compiled = openvino.Core().compile_model(str(file), "CPU", hint)
    outputs = compiled(inputs)
    return {output.get_any_name(): outputs[output] for output in compiled.outputs}


RUNTIMES: dict[str, tuple[str, Callable[[Path, Tensors], Tensors]]] = {
    "onnx": (".onnx", run_onnx),
    "litert": (".tflite", run_litert),
    "openvino": (".xml", run_openvino),
}


def expected_tensors(served: ServedAutoencoder, images: np.ndarray) -> Tensors:
    """What goes in and out of every part, from the SavedModel."""
    encoded = served.encode(images)
    switches = {f"switches_{number}": values for number, values in enumerate(encoded.switches, start=1)}
    scaled = images.astype(np.float32) / 256
    return {"images": scaled, "code": encoded.code, **switches, "reconstruction": served.decode(encoded)}


def inputs_of(part: str, tensors: Tensors) -> Tensors:
    given = ["code", *(name for name in tensors if name.startswith("switches"))] if part == "decoder" else ["images"]
    return {name: tensors[name] for name in given}


@pytest.fixture(scope="module")
def served(exported: Path) -> ServedAutoencoder:
    return ServedAutoencoder(exported)


@pytest.fixture(scope="module")
def converted(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Path]:
    """The program's way: one stage, in every format."""
    folder = tmp_path_factory.mktemp("converted")
    return run_program("convert.py", [f"--model={exported}", "--output_dir=files"], folder), folder / "files"


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("format_name", RUNTIMES)
def test_every_part_computes_in_its_runtime_what_the_saved_model_computes(
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
def test_several_stages_in_colour_convert_to_every_format(
    exported_in_colour: Path, colour_images: ImageDataset, tmp_path: Path
) -> None:
    written = conversion.convert(
        exported_in_colour, list(RUNTIMES), tmp_path, colour_images.test, calibration_images=colour_images.train
    )
    assert all(entry.agreement.is_exact for entry in written if entry.variant == "float32")
    tensors = expected_tensors(ServedAutoencoder(exported_in_colour), colour_images.test[:3])
    for format_name, (suffix, run) in RUNTIMES.items():
        encoded = run(tmp_path / format_name / f"encoder{suffix}", inputs_of("encoder", tensors))
        decoded = run(tmp_path / format_name / f"decoder{suffix}", encoded)["reconstruction"]
        np.testing.assert_allclose(decoded, tensors["reconstruction"], rtol=0, atol=TOLERANCE)


def test_an_array_of_bands_that_programs_do_not_read_converts_from_python(tmp_path: Path) -> None:
    bands = np.random.default_rng(0).integers(0, 256, (50, 12, 8, 5), np.uint8)
    trained = deconv_ae.train(bands, filters=(4, 2), pool_sizes=(2, 2), kernel_size=3, epochs=1, verbose=False)
    trained.export(tmp_path / "model", anyway=True)
    written = conversion.convert(tmp_path / "model", list(RUNTIMES), tmp_path / "converted", bands, bands)
    assert all(entry.agreement.is_exact for entry in written if entry.variant == "float32")
    tensors = expected_tensors(ServedAutoencoder(tmp_path / "model"), bands[:3])
    for format_name, (suffix, run) in RUNTIMES.items():
        file = tmp_path / "converted" / format_name / f"autoencoder{suffix}"
        made = run(file, inputs_of("autoencoder", tensors))["reconstruction"]
        np.testing.assert_allclose(made, tensors["reconstruction"], rtol=0, atol=TOLERANCE)
    for program in ("evaluate.py", "visualize.py", "convert.py"):
        refused = run_program(program, ["--model=model"], tmp_path)
        (line,) = refused.error_lines
        assert refused.status == 2
        assert "was trained on an array in Python, which is in no file; programs read images of 1 or 3" in line


def test_openvino_has_one_name_for_each_output(tmp_path: Path) -> None:
    # Of one pixel, reshapes do nothing, and OpenVINO merges what goes in with what comes out.
    import openvino

    from deconv_ae.conversion import to_openvino

    model = Autoencoder(Architecture((1,), (1,), 1), (1, 1, 1))
    whole = next(part for part in parts(model, channels_first=True) if part.name == "autoencoder")
    to_openvino.write(whole, "float32", {}, tmp_path)
    compiled = openvino.Core().compile_model(str(tmp_path / "autoencoder.xml"), "CPU")
    assert [output.names for output in compiled.outputs] == [{"code"}, {"reconstruction"}]


def test_litert_needs_no_operations_of_tensorflow(converted: tuple[Finished, Path]) -> None:
    files = list((converted[1] / "litert").iterdir())
    assert len(files) == 9
    assert not any(b"Flex" in file.read_bytes() for file in files)


def test_the_report_says_how_well_each_file_agrees_and_what_fewer_bits_cost(converted: tuple[Finished, Path]) -> None:
    finished, folder = converted
    assert (finished.status, finished.stderr) == (0, "")
    report = json.loads((folder / "conversion_report.json").read_text())
    entries = {(entry["format"], entry["variant"], entry["part"]): entry for entry in report["files"]}
    assert {key[:2] for key in entries} == {
        ("onnx", "float32"),
        ("openvino", "float32"),
        ("litert", "float32"),
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
    # Rounded weights and whole-number arithmetic do change something.
    assert entries["litert", "int8", "decoder"]["agreement"]["reconstruction"] > TOLERANCE
    assert {"tensorflow", "onnxruntime", "openvino", "ai_edge_litert"} <= set(report["versions"])


@pytest.mark.parametrize("precision", [None, "f32", "bf16"])
def test_openvino_computes_in_float32_whatever_the_cpu_would_choose(
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


def test_tolerance_is_relative_to_the_scale_of_the_values(
    trained: TrainingResult, digits: ImageDataset, tmp_path: Path
) -> None:
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
        agreement = reference.compare("decoder", off_by(relative), ["code", "switches_1"])
        assert agreement.reconstruction > 100 * TOLERANCE
        assert agreement.is_exact == is_exact


def test_of_equal_values_a_runtime_may_choose_any_and_no_other(served: ServedAutoencoder) -> None:
    flat = np.full((2, 28, 28, 1), 128, np.uint8)
    flat[0, 12:16, 12:16] = np.arange(16, dtype=np.uint8).reshape(4, 4, 1) * 15  # But for this window of the first.
    reference = Reference(served, load_keras_model(served), flat)

    def choosing(image: int) -> Runner:
        def encode(inputs: Tensors) -> Tensors:
            encoded = {name: np.array(values) for name, values in served.encode_scaled(inputs["images"]).items()}
            switches = encoded["switches_1"]
            chosen = np.all(inputs["images"] == reference.tensors["images"][image], axis=(1, 2, 3))
            switches[chosen, 3, 3] = (switches[chosen, 3, 3] + 7) % 16
            return encoded

        return encode

    assert reference.compare("encoder", choosing(1), ["images"]).is_exact
    assert reference.compare("encoder", choosing(0), ["images"]).switches == 1

    def whole(image: int, brighter: float = 0) -> Runner:
        def autoencode(inputs: Tensors) -> Tensors:
            encoded = choosing(image)(inputs)
            decoded = served.decode(Encoded(encoded["code"], (encoded["switches_1"],)))
            return {"code": encoded["code"], "reconstruction": decoded + np.float32(brighter)}

        return autoencode

    assert reference.compare("autoencoder", whole(1), ["images"]).is_exact
    # Of clear maxima there is one choice, and no choice of unclear ones gives just any pixel.
    assert reference.compare("autoencoder", whole(0), ["images"]).reconstruction > 0.01
    assert not reference.compare("autoencoder", whole(1, brighter=0.1), ["images"]).is_exact


def without_its_keras_files_checksum(model_dir: Path) -> Path:
    card = ModelCard.read(model_dir)
    others = {name: checksum for name, checksum in card.checksums.items() if name != KERAS_FILE}
    (model_dir / FILE_NAME).write_text(dataclasses.replace(card, checksums=others).to_json())
    return model_dir


def test_a_file_that_is_off_is_not_written_in_any_format(exported: Path, digits: ImageDataset, tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt"
    without_its_keras_files_checksum(shutil.copytree(exported, spoilt))
    model = keras.models.load_model(spoilt / KERAS_FILE)
    model.set_weights([weights * 1.5 for weights in model.get_weights()])
    model.save(spoilt / KERAS_FILE)
    with pytest.raises(RunError) as raised:
        conversion.convert(spoilt, list(RUNTIMES), tmp_path / "files", digits.test, digits.train)
    for format_name, (suffix, _) in RUNTIMES.items():
        said = (
            rf"{format_name}: autoencoder{suffix} is not the SavedModel's autoencoder: code off by [^;]*; not written"
        )
        assert re.search(said, str(raised.value))
    assert list((tmp_path / "files").iterdir()) == []


def test_files_of_an_earlier_conversion_survive_one_that_fails(
    converted: tuple[Finished, Path], exported: Path, digits: ImageDataset, tmp_path: Path
) -> None:
    shutil.copytree(converted[1], tmp_path / "files")
    before = {file: file.read_bytes() for file in (tmp_path / "files").rglob("*") if file.is_file()}
    (tmp_path / "model").mkdir()
    without_its_keras_files_checksum(shutil.copytree(exported, tmp_path / "model", dirs_exist_ok=True))
    model = keras.models.load_model(exported / KERAS_FILE)
    model.set_weights([-weights for weights in model.get_weights()])
    model.save(tmp_path / "model" / KERAS_FILE)
    with pytest.raises(RunError, match="not written"):
        conversion.convert(tmp_path / "model", ["onnx"], tmp_path / "files", digits.test, digits.train)
    assert {file: file.read_bytes() for file in (tmp_path / "files").rglob("*") if file.is_file()} == before


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
def test_bad_input_is_one_line(exported: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    finished = run_program("convert.py", [text.replace("MODEL", str(exported)) for text in arguments], tmp_path)
    assert finished.status == 2
    assert len(finished.error_lines) == 1
    assert message in finished.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("format_name", "package"), [("onnx", "tf2onnx"), ("litert", "ai_edge_litert"), ("openvino", "openvino")]
)
def test_a_runtime_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, format_name: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"{format_name} needs {package}, which is not installed; run pip install 'deconv_ae\[convert\]'"
    with pytest.raises(InputError, match=message):
        conversion.check_formats([format_name])


@pytest.fixture(scope="module")
def unguarded(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> ServedAutoencoder:
    """A copy whose Keras file may be any other."""
    copy = tmp_path_factory.mktemp("unguarded") / "model"
    return ServedAutoencoder(without_its_keras_files_checksum(shutil.copytree(exported, copy)))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.unlink(), "has no autoencoder.keras"),
        (lambda file: file.write_bytes(b"no archive"), "is damaged"),
        (lambda file: keras.Sequential([keras.Input((2,))]).save(file), "holds a Sequential"),
    ],
)
def test_a_spoilt_keras_file_is_one_line(unguarded: ServedAutoencoder, spoil, message: str) -> None:
    spoil(unguarded.path / KERAS_FILE)
    with pytest.raises(InputError, match=message) as raised:
        conversion.load_keras_model(unguarded)
    assert "\n" not in str(raised.value)
