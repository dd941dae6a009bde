"""The README's programs run as written. Every file that a page links or runs exists."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from deconv_ae import conversion

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FOLDERS = ("deconv_ae", "deconv_ae_programs", "saved_models/reference", "scripts")
PAGES = sorted([ROOT / "README.md", *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])
PROGRAMS_PAGE = (ROOT / "deconv_ae_programs" / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.splitlines()[-1][:40])
def test_python_program_runs(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(program, "README.md", "exec"), {})


def test_onnx_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("onnxruntime")
    (program,) = re.findall(r"```python\n(.*?)```", PROGRAMS_PAGE, re.DOTALL)
    images = np.random.default_rng(0).integers(0, 256, (8, 28, 28, 1), np.uint8)
    conversion.convert(
        ROOT / "saved_models" / "reference" / "cmap1_pool2", ["onnx"], tmp_path / "converted", images, images
    )
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(program, "README.md", "exec"), names)
    assert names["reconstruction"].dtype == np.float32
    assert f"print(reconstruction.shape)  # {capsys.readouterr().out.strip()}, float32" in program


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_links_or_runs_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#]+)\)", prose) + re.findall(r'src="([^"]+)"', prose)
    programs = re.findall(r"(?:python|bash) (scripts/\w+\.\w+)", text)
    files = [page.parent / link for link in links if "://" not in link] + [ROOT / program for program in programs]
    assert [file for file in files if not file.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_linked_headings_exist(page: Path) -> None:
    for linked, heading in re.findall(r"\]\(([^):#]*)#([\w-]+)\)", page.read_text(encoding="utf-8")):
        text = (page.parent / linked if linked else page).read_text(encoding="utf-8")
        headings = [
            re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in re.findall(r"^#+ (.*)", text, re.M)
        ]
        assert heading in headings


def test_readme_is_short_and_links_all_pages_and_notebooks() -> None:
    assert len(README.splitlines()) <= 160
    linked = {(ROOT / link).resolve() for link in re.findall(r"\]\(([^)#]+)", README) if "://" not in link}
    notebooks = set((ROOT / "scripts" / "examples").glob("*.ipynb"))
    assert (set(PAGES) | notebooks) - linked == {ROOT / "README.md"}


def test_layers_import_without_packages_of_the_programs() -> None:
    # The command on the layers page, `pip install keras jax && pip install --no-deps .`, does not install these.
    missing = ("tensorflow", "tensorflow_datasets", "tensorboard", "matplotlib", "PIL", "filelock", "platformdirs")
    program = f"import sys; sys.modules.update(dict.fromkeys({missing})); import deconv_ae, deconv_ae.layers"
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True)


@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="needs git and a checkout")
def test_git_ignores_folders_that_programs_write() -> None:
    text = README + PROGRAMS_PAGE
    folders = re.findall(r"--(?:run|export|output)_dir=(?!saved_models/reference)([\w/]+)", text)
    folders += re.findall(r"export\(\"([\w/]+)", text) + re.findall(r"`(models/\w+/1)/`", text)
    # At its end, train.py prints a command that draws into the folder EXPORT_DIR-pictures.
    folders += [f"{folder}-pictures" for folder in re.findall(r"--export_dir=([\w/]+)", text)]
    assert len(folders) > 8
    for folder in folders:
        ignored = subprocess.run(["git", "check-ignore", "--quiet", f"{folder}/file"], cwd=ROOT)
        assert ignored.returncode == 0, folder


def expanded(values: Any) -> Any:
    """Expands lists that end in text such as "to 28 rows": repeats the elements before the text until there are 28."""
    if not isinstance(values, list):
        return values
    *values, last = values
    if not isinstance(last, str):
        return [expanded(each) for each in (*values, last)]
    count = int(last.split()[1])
    return [expanded(values[number % len(values)]) for number in range(count)]


def test_serving_request_fits_encode_and_its_answer_fits_decode() -> None:
    # TensorFlow Serving is not a Python package. It converts JSON by the signature's names and types, as `serve` does.
    (request,) = (json.loads(text) for text in re.findall(r"```json\n(.*?)```", PROGRAMS_PAGE, re.DOTALL))
    model = tf.saved_model.load(str(ROOT / "saved_models" / "reference" / "cmap1_pool4"))

    def serve(signature_name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        signature = model.signatures[signature_name]
        _, specs = signature.structured_input_signature
        assert inputs.keys() == specs.keys()
        tensors = {name: tf.constant(expanded(value), specs[name].dtype) for name, value in inputs.items()}
        for name, tensor in tensors.items():
            assert specs[name].shape.is_compatible_with(tensor.shape)
        return json.loads(json.dumps({name: value.numpy().tolist() for name, value in signature(**tensors).items()}))

    encoded = serve(**request)
    decoded = serve("decode", encoded)
    assert np.shape(decoded["reconstruction"]) == (1, 28, 28, 1)
