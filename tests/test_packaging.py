"""The wheel: the library, its programs, and nothing else."""

import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import pytest

ROOT = Path(__file__).parents[1]
PAGE_FILES = ("page.html", "page.css", "page.js", "canvas.js", "code.js", "unpooling.js")
DATA_FILES = {"deconv_ae/py.typed"} | {f"deconv_ae/playground/{name}" for name in PAGE_FILES}


# `pip install keras tensorflow && pip install --no-deps .` does not install these.
NOT_IN_LIGHT_INSTALL = ("PIL", "filelock", "matplotlib", "platformdirs", "tensorboard", "tensorflow_datasets")
LIGHT_PROGRAM = f"""
import sys
sys.modules.update(dict.fromkeys({NOT_IN_LIGHT_INSTALL}))
import keras, numpy as np, deconv_ae
model = keras.models.load_model(sys.argv[1])
model.compile("adam", "mse")
model.fit(np.zeros((2, 28, 28, 1)), np.zeros((2, 28, 28, 1)), verbose=0)
for name in ("load", "train"):
    try:
        getattr(deconv_ae, name)
    except deconv_ae.InputError as error:
        print(error)
from deconv_ae_programs import commands
sys.argv = ["deconv-ae", "train", "--dataset=mnist", "--preset=cmap1_pool4", "--export_dir=model"]
commands.main()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The project's wheel. It is built from a copy, since building leaves files behind."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        copy(ROOT / name, folder)
    for name in ("deconv_ae", "deconv_ae_programs", "scripts", "tests"):
        copytree(ROOT / name, folder / name, ignore=ignore_patterns("__pycache__"))
    command = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", ".")
    subprocess.run([sys.executable, "-m", "pip", *command], cwd=folder, check=True, capture_output=True)
    return zipfile.ZipFile(next((folder / "dist").glob("*.whl")))


def metadata_file(wheel: zipfile.ZipFile, name: str) -> bytes:
    return wheel.read(next(file for file in wheel.namelist() if file.endswith(f".dist-info/{name}")))


def test_wheel_holds_only_library_and_programs(wheel: zipfile.ZipFile) -> None:
    folders = (ROOT / "deconv_ae", ROOT / "deconv_ae_programs")
    modules = {str(file.relative_to(ROOT)) for folder in folders for file in folder.rglob("*.py")}
    installed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert installed == modules | DATA_FILES


def test_wheel_installs_the_deconv_ae_command(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    entry_points = metadata_file(wheel, "entry_points.txt").decode()
    assert entry_points.split() == ["[console_scripts]", "deconv-ae", "=", "deconv_ae_programs.commands:main"]
    wheel.extractall(tmp_path)
    code = "import sys; sys.path.insert(0, '.'); from deconv_ae_programs.commands import main; main()"
    for arguments, status, message in ((["train", "--nope"], 2, "'nope'"), (["evaluate"], 2, "model: not given")):
        done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, message in done.stderr, len(done.stderr.splitlines())) == (status, True, 1), (
            done.stderr
        )


def test_light_install_trains_and_names_remedy_for_missing_packages(tmp_path: Path) -> None:
    keras_file = ROOT / "saved_models" / "reference" / "cmap1_pool4" / "autoencoder.keras"
    done = subprocess.run(
        [sys.executable, "-c", LIGHT_PROGRAM, keras_file], cwd=tmp_path, capture_output=True, text=True
    )
    remedy = ", which is not installed; run pip install deconv_ae, which installs all missing packages"
    for line, name in zip(done.stdout.splitlines(), ("load", "train"), strict=True):
        assert line.startswith(f"deconv_ae.{name}: needs ")
        assert line.endswith(remedy)
    *_, error = done.stderr.splitlines()
    assert error.startswith("error: train needs ") and error.endswith(remedy), done.stderr
    assert done.returncode == 2


def test_metadata_has_readme_and_licence_but_no_project_url(wheel: zipfile.ZipFile) -> None:
    metadata = message_from_bytes(metadata_file(wheel, "METADATA"))
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata["License"] == "Apache-2.0"
    assert metadata.get_payload().strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()
    assert metadata["Home-page"] is None
    assert metadata.get_all("Project-URL") is None


def test_no_module_in_wheel_is_longer_than_450_lines(wheel: zipfile.ZipFile) -> None:
    lengths = {name: len(wheel.read(name).splitlines()) for name in wheel.namelist() if name.endswith(".py")}
    assert {name: length for name, length in lengths.items() if length > 450} == {}
