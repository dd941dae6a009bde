"""The README's programs run as written, in its order, and its pictures and files are there."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.splitlines()[-1][:40])
def test_python_runs(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(program, "README.md", "exec"), {})


def test_files_that_are_linked_or_run_exist() -> None:
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", prose) if "://" not in link]
    programs = re.findall(r"(?:python|bash) (scripts/\w+\.\w+)", README)
    assert links
    assert programs
    assert [path for path in links + programs if not (ROOT / path).exists()] == []


@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="asks git what it ignores")
def test_what_its_programs_write_is_ignored_by_git() -> None:
    written = re.findall(r"--(?:run|export|output)_dir=(?!saved_models/reference)([\w/]+)", README)
    written += re.findall(r"export\(\"([\w/]+)", README) + re.findall(r"as `(models/\w+/1)/`", README)
    # As train.py names it for what comes next.
    written += [f"{place}-pictures" for place in re.findall(r"--export_dir=([\w/]+)", README)]
    assert len(written) > 8
    for place in written:
        ignored = subprocess.run(["git", "check-ignore", "--quiet", f"{place}/file"], cwd=ROOT)
        assert ignored.returncode == 0, place


def repeated(values: Any) -> Any:
    """A list whose last element is "to 28 rows" or the like as one of so many, its elements over and over."""
    if not isinstance(values, list):
        return values
    *values, last = values
    if not isinstance(last, str):
        return [repeated(each) for each in (*values, last)]
    count = int(last.split()[1])
    return [repeated(values[number % len(values)]) for number in range(count)]


def test_the_request_of_tensorflow_serving_fits_the_signature_and_its_answer_the_decoders() -> None:
    # TensorFlow Serving itself is no Python package; what it makes of JSON is by the signature's names and types.
    (request,) = (json.loads(text) for text in re.findall(r"```json\n(.*?)```", README, re.DOTALL))
    model = tf.saved_model.load(str(ROOT / "saved_models" / "reference" / "cmap1_pool4"))

    def answered(signature_name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        signature = model.signatures[signature_name]
        _, specs = signature.structured_input_signature
        assert inputs.keys() == specs.keys()
        tensors = {name: tf.constant(repeated(value), specs[name].dtype) for name, value in inputs.items()}
        for name, tensor in tensors.items():
            assert specs[name].shape.is_compatible_with(tensor.shape)
        return json.loads(json.dumps({name: value.numpy().tolist() for name, value in signature(**tensors).items()}))

    encoded = answered(**request)
    decoded = answered("decode", encoded)
    assert np.shape(decoded["reconstruction"]) == (1, 28, 28, 1)
    assert (ROOT / "saved_models" / "reference" / "cmap1_pool4" / "saved_model.pb").exists()
