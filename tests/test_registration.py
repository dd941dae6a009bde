"""A SavedModel serves without deconv_ae; `import deconv_ae` does not warn, and registers all saved classes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deconv_ae.data import ImageDataset
from deconv_ae.model.presets import PRESETS
from deconv_ae.training import TrainingOptions, train

REFERENCE = Path(__file__).parents[1] / "saved_models" / "reference"

# One process for all tests: importing TensorFlow takes longer than the tests.
PROGRAM = """
import sys, warnings
import keras, numpy as np, tensorflow as tf
print("TensorFlow and Keras are imported", file=sys.stderr)
with warnings.catch_warnings(action="default"):
    images = np.random.default_rng(0).uniform(size=(3, 28, 28, 1)).astype("float32")
    loaded = tf.saved_model.load(sys.argv[1])
    outputs = loaded.signatures["serving_default"](images=images)
    assert sorted(outputs) == ["code", "reconstruction"], outputs
    encoded = loaded.signatures["encode"](images=images)
    assert (encoded["code"].dtype, encoded["switches_1"].dtype) == (tf.float32, tf.uint8)
    layer = keras.layers.TFSMLayer(sys.argv[1], call_endpoint="serving_default")
    np.testing.assert_array_equal(layer(images)["reconstruction"], outputs["reconstruction"])
    assert loaded.signatures["serving_default"](images=images[:0])["code"].shape == (0, 7, 7, 1)
    assert not any(name.split(".")[0] == "deconv_ae" for name in sys.modules)
print("the model was served", file=sys.stderr)

import deconv_ae
print("deconv_ae is imported", file=sys.stderr)
warnings.resetwarnings()
import json
from keras.src.saving.object_registration import GLOBAL_CUSTOM_OBJECTS
registered = lambda: sorted(name for name in GLOBAL_CUSTOM_OBJECTS if name.startswith("deconv_ae"))
seen = {"by importing": registered(), "loaded": [type(keras.models.load_model(file)).__name__ for file in sys.argv[2:]]}
import importlib, pkgutil
for module in pkgutil.walk_packages(deconv_ae.__path__, "deconv_ae."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        assert not error.name.startswith("deconv_ae"), error  # An extra that is not installed.
print(json.dumps(seen | {"by every module": registered()}))
"""


@pytest.fixture(scope="module")
def saved_files(
    exported: Path, colour_images: ImageDataset, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The paths of .keras files (of reference models, an export and checkpoints), each with its model's class name."""
    run_dir = tmp_path_factory.mktemp("run")
    architecture = PRESETS["cmap1_pool4"].architecture
    train(colour_images, TrainingOptions(architecture, epochs=1, batch_size=8, run_dir=str(run_dir)))
    checkpoints = sorted(run_dir.rglob("*.keras"))
    models = [*sorted(REFERENCE.glob("*/*.keras")), exported / "autoencoder.keras"]
    assert checkpoints
    assert len(models) > len(PRESETS)
    return dict.fromkeys(map(str, [*models, *checkpoints]), "Autoencoder")


@pytest.fixture(scope="module")
def fresh_process(exported: Path, saved_files: dict[str, str]) -> subprocess.CompletedProcess:
    """The finished process of PROGRAM. Any warning raises an error while TensorFlow, Keras or deconv_ae is imported."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(exported), *saved_files]
    return subprocess.run(command, capture_output=True, text=True)


def test_saved_model_serves_without_deconv_ae_and_without_gradient_warning(
    fresh_process: subprocess.CompletedProcess,
) -> None:
    output, served, _ = fresh_process.stderr.partition("the model was served\n")
    assert served, fresh_process.stderr
    assert "gradient" not in output


def test_importing_tensorflow_and_deconv_ae_does_not_warn(fresh_process: subprocess.CompletedProcess) -> None:
    assert fresh_process.returncode == 0, fresh_process.stderr
    importing_tensorflow, _, rest = fresh_process.stderr.partition("TensorFlow and Keras are imported\n")
    _, _, rest = rest.partition("the model was served\n")
    importing_deconv_ae, _, _ = rest.partition("deconv_ae is imported\n")
    assert "Warning" not in importing_tensorflow + importing_deconv_ae


def test_importing_deconv_ae_registers_every_class(fresh_process: subprocess.CompletedProcess) -> None:
    names = json.loads(fresh_process.stdout)
    assert names["by importing"] == names["by every module"] != []


def test_exports_checkpoints_and_reference_models_load(
    fresh_process: subprocess.CompletedProcess, saved_files: dict[str, str]
) -> None:
    assert json.loads(fresh_process.stdout)["loaded"] == list(saved_files.values())
