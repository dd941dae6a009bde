"""What `import deconv_ae` and nothing else does: it warns of nothing, and all that was saved can be loaded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deconv_ae.data import ImageDataset
from deconv_ae.model.presets import PRESETS
from deconv_ae.training import TrainingOptions, train

REFERENCE = Path(__file__).parents[1] / "saved_models" / "reference"

# All in one process: importing TensorFlow takes longer than what is asked here.
PROGRAM = """
import json, sys, warnings
import deconv_ae
print("imported", file=sys.stderr)
warnings.resetwarnings()
import keras
from keras.src.saving.object_registration import GLOBAL_CUSTOM_OBJECTS
registered = lambda: sorted(name for name in GLOBAL_CUSTOM_OBJECTS if name.startswith("deconv_ae"))
seen = {"by importing": registered(), "loaded": [type(keras.models.load_model(file)).__name__ for file in sys.argv[1:]]}
import importlib, pkgutil
for module in pkgutil.walk_packages(deconv_ae.__path__, "deconv_ae."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        assert not error.name.startswith("deconv_ae"), error  # An extra that is not installed.
print(json.dumps(seen | {"by every module": registered()}))
"""


@pytest.fixture(scope="module")
def saved(exported: Path, colour_images: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Reference models, an export and the checkpoints of a run, and the class of what each holds."""
    run_dir = tmp_path_factory.mktemp("run")
    architecture = PRESETS["cmap1_pool4"].architecture
    train(colour_images, TrainingOptions(architecture, epochs=1, batch_size=8, run_dir=str(run_dir)))
    checkpoints = sorted(run_dir.rglob("*.keras"))
    models = [*sorted(REFERENCE.glob("*/*.keras")), exported / "autoencoder.keras"]
    assert checkpoints
    assert len(models) > len(PRESETS)
    return {str(file): "Autoencoder" for file in models} | {str(file): "CountedAutoencoder" for file in checkpoints}


@pytest.fixture(scope="module")
def fresh(saved: dict[str, str]) -> subprocess.CompletedProcess:
    """A process that turns every warning of the import into an error."""
    return subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM, *saved], capture_output=True, text=True)


def test_importing_it_warns_of_nothing(fresh: subprocess.CompletedProcess) -> None:
    assert fresh.returncode == 0, fresh.stderr
    assert "Warning" not in fresh.stderr.partition("imported")[0]


def test_importing_it_registers_all_that_its_modules_register(fresh: subprocess.CompletedProcess) -> None:
    seen = json.loads(fresh.stdout)
    assert seen["by importing"] == seen["by every module"] != []


def test_reference_models_exports_and_checkpoints_load(
    fresh: subprocess.CompletedProcess, saved: dict[str, str]
) -> None:
    assert json.loads(fresh.stdout)["loaded"] == list(saved.values())
