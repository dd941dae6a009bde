"""What an installation holds: what runs a model, and nothing else."""

import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import pytest

ROOT = Path(__file__).parents[1]
DATA_FILES = {"deconv_ae/py.typed"} | {
    f"deconv_ae/playground/{name}" for name in ("page.html", "page.css", "page.js", "canvas.js", "code.js")
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The project's wheel, built from a copy: building leaves files behind."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        copy(ROOT / name, folder)
    for name in ("deconv_ae", "scripts", "tests"):
        copytree(ROOT / name, folder / name, ignore=ignore_patterns("__pycache__"))
    command = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", ".")
    subprocess.run([sys.executable, "-m", "pip", *command], cwd=folder, check=True, capture_output=True)
    return zipfile.ZipFile(next((folder / "dist").glob("*.whl")))


def metadata_file(wheel: zipfile.ZipFile, name: str) -> bytes:
    return wheel.read(next(file for file in wheel.namelist() if file.endswith(f".dist-info/{name}")))


def test_a_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    modules = {str(file.relative_to(ROOT)) for file in (ROOT / "deconv_ae").rglob("*.py")}
    installed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert installed == modules | DATA_FILES


def test_its_metadata_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    metadata = message_from_bytes(metadata_file(wheel, "METADATA"))
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata["License"] == "Apache-2.0"
    assert metadata.get_payload().strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()
    # None that leads nowhere.
    assert metadata["Home-page"] is None
    assert metadata.get_all("Project-URL") is None


def test_no_file_of_the_package_is_longer_than_one_reads(wheel: zipfile.ZipFile) -> None:
    lengths = {name: len(wheel.read(name).splitlines()) for name in wheel.namelist() if name.endswith(".py")}
    assert {name: length for name, length in lengths.items() if length > 450} == {}
