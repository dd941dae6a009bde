"""The programs' order of imports."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from deconv_ae_programs import library


def test_unneeded_packages_are_hidden_until_the_block_ends(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "not_needed.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with library.hide_packages(("not_needed", "pytest")):
        with pytest.raises(ModuleNotFoundError):
            import not_needed
        # A package that is already loaded stays.
        assert sys.modules["pytest"] is pytest
    import not_needed

    assert not_needed.__file__ == str(tmp_path / "not_needed.py")
    assert sys.modules["pytest"] is pytest
    del sys.modules["not_needed"]


# Modules that programs load to check flags. None may load TensorFlow, which takes seconds.
WITHOUT_TENSORFLOW = (
    "deconv_ae.conversion.formats",
    "deconv_ae.data.kinds",
    "deconv_ae.data.source",
    "deconv_ae.errors",
    "deconv_ae.files",
    "deconv_ae.messages",
    "deconv_ae.model.architecture",
    "deconv_ae.model.presets",
    "deconv_ae.model.recipes",
    "deconv_ae.numbers",
    "deconv_ae.options",
    "deconv_ae.paths",
    "deconv_ae.pictures.choices",
    "deconv_ae.records",
    "deconv_ae.saved_model.export_directory",
    "deconv_ae.saved_model.model_card",
    "deconv_ae.training.cluster",
    "deconv_ae.training.history",
    "deconv_ae.training.options",
    "deconv_ae.training.run_record",
    "deconv_ae.cleanup",
    "deconv_ae_programs.option_flags",
    "deconv_ae_programs.command_line",
)


def test_flag_checks_load_no_tensorflow_or_keras() -> None:
    code = (
        "import sys, importlib; from deconv_ae_programs import library; library.defer();"
        f"[importlib.import_module(name) for name in {WITHOUT_TENSORFLOW}];"
        "print([name for name in ('tensorflow', 'keras', 'matplotlib', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# `bash scripts/demo.sh` does not install these.
EXTRA_PACKAGES = (
    "ai_edge_litert",
    "constriction",
    "onnx",
    "onnxruntime",
    "openvino",
    "starlette",
    "tf2onnx",
    "uvicorn",
)


def test_library_loads_without_packages_of_extras() -> None:
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({EXTRA_PACKAGES}));"
        "from deconv_ae_programs import library; library.defer(); library.load();"
        "import deconv_ae.compression, deconv_ae.conversion"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_defer_leaves_an_imported_library_as_it_is() -> None:
    code = (
        "import deconv_ae; from deconv_ae_programs import library; library.defer();"
        "from deconv_ae import compression, conversion; print(conversion.convert, compression.Compressor)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_test_imports_a_script_that_prepares_the_process() -> None:
    """Such a script creates `deconv_ae` without its names.

    A test file that imports the script before `deconv_ae` cannot be collected.
    """
    scripts = Path(__file__).parents[2] / "scripts"
    programs = {file.stem for file in scripts.glob("*.py") if re.search(r"^installed\.", file.read_text(), re.M)}
    assert {"launch_local_workers", "torture", "train"} <= programs
    importing = {
        (file.name, name)
        for file in Path(__file__).parents[1].rglob("*.py")
        for name in re.findall(r"^(?:from|import) (\w+)", file.read_text(), re.M)
        if name in programs
    }
    assert importing == set()


def test_library_module_has_at_most_60_lines() -> None:
    assert len(Path(library.__file__).read_text(encoding="utf-8").splitlines()) <= 60
