"""Files load after `import deconv_ae` and nothing else."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from deconv_ae.data import ImageDataset
from deconv_ae.model.presets import PRESETS
from deconv_ae.training import TrainingOptions, train

REFERENCE = Path(__file__).parents[1] / "saved_models" / "reference"

LOADING = """
import sys, deconv_ae, keras
for file in sys.argv[1:]:
    print(type(keras.models.load_model(file)).__name__)
"""
NAMED_BY_IMPORTING = """
import deconv_ae
from keras.src.saving.object_registration import GLOBAL_CUSTOM_OBJECTS
print(*(name for name in GLOBAL_CUSTOM_OBJECTS if name.startswith("deconv_ae")))
"""
NAMED_BY_EVERY_MODULE = """
import importlib, pkgutil, deconv_ae
for module in pkgutil.walk_packages(deconv_ae.__path__, "deconv_ae."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        assert not error.name.startswith("deconv_ae"), error  # An extra that is not installed.
from keras.src.saving.object_registration import GLOBAL_CUSTOM_OBJECTS
print(*(name for name in GLOBAL_CUSTOM_OBJECTS if name.startswith("deconv_ae")))
"""


def words(program: str, arguments: Sequence[object] = ()) -> list[str]:
    """What a program prints, in a process of its own."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()


def test_importing_the_package_registers_all_that_its_modules_register() -> None:
    assert set(words(NAMED_BY_IMPORTING)) == set(words(NAMED_BY_EVERY_MODULE))


def test_reference_models_exports_and_checkpoints_load_where_nothing_else_is_imported(
    exported: Path, colour_images: ImageDataset, tmp_path: Path
) -> None:
    architecture = PRESETS["cmap1_pool4"].architecture
    train(colour_images, TrainingOptions(architecture, epochs=1, batch_size=8, run_dir=str(tmp_path / "run")))
    checkpoints = sorted((tmp_path / "run").rglob("*.keras"))
    assert checkpoints
    files = [*sorted(REFERENCE.glob("*/*.keras")), exported / "autoencoder.keras"]
    assert len(files) == len(PRESETS) + 1
    expected = ["Autoencoder"] * len(files) + ["CountedAutoencoder"] * len(checkpoints)
    assert words(LOADING, [*files, *checkpoints]) == expected
