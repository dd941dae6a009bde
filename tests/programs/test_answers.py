"""--help and refusals come at once, without TensorFlow, which takes seconds to load."""

import fcntl
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from faults.programs import SCRIPTS

from deconv_ae.conversion import FORMATS
from deconv_ae.model.presets import PRESETS
from deconv_ae.model.recipes import RECIPES
from deconv_ae.training.distribution import _MAKERS
from deconv_ae.training.options import STRATEGIES
from deconv_ae_programs import commands

COMMANDS = [f"deconv-ae {name}" for name in commands.PROGRAMS]
LAUNCHER = "launch_local_workers.py"
PROGRAMS = [*COMMANDS, *sorted({file.name for file in SCRIPTS.glob("*.py")} - {"installed.py", "markdown_page.py"})]
PROGRAMS_WITH_FLAGS = [program for program in PROGRAMS if program != LAUNCHER]
MODEL = "--model=model"
REFERENCE = SCRIPTS.parent / "saved_models" / "reference"

# A command line, and a part of its error.
REFUSALS = {
    **{f"{program} --dataste=x": "Unknown command line flag 'dataste'" for program in PROGRAMS_WITH_FLAGS},
    "deconv-ae": "no program is given; choose one of train, evaluate, visualize, convert, compress, decompress",
    "deconv-ae tarin --epochs=1": "unknown program 'tarin'",
    "deconv-ae train": "dataset: not given",
    f"deconv-ae convert {MODEL} --format=gif": "format: unknown 'gif'",
    "train.py": "dataset: not given",
    "train.py --dataset=folder:nowhere": "dataset: nowhere is not a folder",
    "train.py --dataset=folder:empty": "dataset: empty is empty",
    "train.py --dataset=folder:half": "half/test is missing beside its counterpart",
    "train.py --dataset=mnist_5k --preset=cmap9": "preset: unknown 'cmap9'",
    "train.py --dataset=mnist_5k --recipe=magic": "recipe: unknown 'magic'",
    "train.py --dataset=mnist_5k --background=#fff": "background: '#fff' is not a colour",
    "train.py --dataset=mnist_5k --filters=1 --pool_sizes=17": "a window of 17x17 has more than the 256 positions",
    "train.py --dataset=mnist_5k --image_size=8 --filters=1,1,1 --pool_sizes=4,4,4": "stage 2 pools 2x2 by 4x4",
    "train.py --dataset=mnist_5k --export_dir=model": "export_dir",
    "train.py --dataset=mnist_5k --run_dir=run": "run_dir: run holds a run already; pass --resume",
    "train.py --dataset=mnist_5k --run_dir=nowhere --resume": "resume: nowhere holds no run",
    "train.py --dataset=mnist_5k --run_dir=run --resume --seed=1": "resume: run holds a run with seed 0, not 1",
    "train.py --dataset=mnist_5k --run_dir=run --resume --epochs=2": "holds a run of 3 epochs, and 2 are fewer",
    "train.py --dataset=mnist_5k --strategy=multi_worker": "TF_CONFIG: is not set; --strategy=multi_worker needs a",
    "evaluate.py": "model: not given",
    "evaluate.py --model=nowhere": "model: nowhere does not exist",
    f"evaluate.py {MODEL}": "model: model has no model_card.json",
    f"visualize.py {MODEL} --num_images=0": "num_images: 0 is below 1",
    f"visualize.py {MODEL} --draw=errors,sketch": "draw: unknown 'sketch'; choose one of autoencoder, comparison",
    "visualize.py --draw=training_curve": "run_dir: not given; the training curve shows a run",
    "visualize.py --run_dir=nowhere": "run_dir: nowhere holds no run",
    "visualize.py --run_dir=run": "run_dir: is for one model, not 4; give only the run's model as --model",
    f"visualize.py --run_dir=run --model={REFERENCE}/two_layer": "run_dir: run holds the run of another model",
    f"visualize.py {MODEL}": "model: model has no model_card.json",
    f"visualize.py --model={REFERENCE}/two_layer --model={REFERENCE}/photos_16_8": "takes images of 64x64x3; give",
    f"evaluate.py --model={REFERENCE}/two_layer --image_size=14": "image_size: two_layer was made for 28x28",
    f"evaluate.py --model={REFERENCE}/two_layer --model={REFERENCE}/cmap1_pool4": "model: several given",
    f"compress.py {MODEL} --quality=6": "quality: 6 is above 5",
    f"compress.py --model={REFERENCE}/two_layer": "pictures: none given",
    f"compress.py --model={REFERENCE}/two_layer nowhere.png": "pictures: nowhere.png is not a file",
    f"compress.py --model={REFERENCE}/two_layer --fit=pad nowhere.png": "fit: is for --learn",
    f"compress.py --model={REFERENCE}/two_layer --learn nowhere.png": "learn: pictures are given as well",
    f"compress.py --model={REFERENCE}/two_layer --learn --quality=3": "quality: is for compressing pictures",
    f"compress.py --model={REFERENCE}/two_layer --learn --output_dir=new": "output_dir: is for compressing pictures",
    f"compress.py --model={REFERENCE}/two_layer --learn --nooverwrite": "overwrite: is for compressing pictures",
    f"decompress.py --model={REFERENCE}/two_layer": "files: none given",
    f"decompress.py --model={REFERENCE}/two_layer run/run.json": "files: run/run.json is not a compressed picture",
    f"decompress.py --model={REFERENCE}/two_layer run/run.json half/run.json": "files: half/run.json is not a file",
    f"convert.py {MODEL} --format=gif": "format: unknown 'gif'",
    f"convert.py {MODEL}": "model: model has no model_card.json",
    f"playground.py {MODEL} --port=0": "port: 0 is below 1",
    "reproduce.py --quick --readme=README.md": "readme: is for --reference_dir; give both",
    "compare_starts.py --dataset=mnist_5k --readme=nowhere/README.md": "readme: nowhere/README.md cannot be read",
    "compare_starts.py --dataset=mnist_5k --readme=run/run.json": "no section <!-- starts-mnist_5k:begin -->",
    "reproduce.py --recipes=magic": "recipes: unknown 'magic'",
    "reproduce.py --dataset=folder:nowhere": "dataset: nowhere is not a folder",
    "benchmark.py --rounds=0": "rounds: 0 is below 1",
    "torture.py --kills=-1": "kills: -1 is below 0",
    "launch_local_workers.py": "usage: launch_local_workers.py NUMBER",
    "train.py --dataset=mnist_5k --run_dir=used": "run_dir: used is in use by another run",
}
UNKNOWN_TO_TFDS = "reproduce.py --dataset=x"
HELP_COMMANDS = ["deconv-ae --help", *(f"{program} {flag}" for program in PROGRAMS for flag in ("--help", "-h"))]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Each command line's exit status, output and loaded slow packages. A lock marks `used` as in use."""
    folder = tmp_path_factory.mktemp("answers")
    for name in ("empty", "half/train", "model", "run", "used"):
        (folder / name).mkdir(parents=True)
    (folder / "model" / "thesis.txt").write_text("years of work")
    (folder / "run" / "run.json").write_text(json.dumps(RUN))
    command_lines = [*HELP_COMMANDS, *REFUSALS, UNKNOWN_TO_TFDS]
    program = Path(__file__).with_name("answer_program.py")
    command = [sys.executable, str(program), str(SCRIPTS), json.dumps([line.split() for line in command_lines])]
    with (folder / "used" / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return dict(zip(command_lines, json.loads(finished.stdout)))


RUN = {
    "options": {
        "architecture": {"filters": [1], "pool_sizes": [[4, 4]], "kernel_size": [5, 5], "deconvolution_bias": False},
        **{"epochs": 3, "batch_size": 128},
    },
    **{
        "dataset": "mnist_5k",
        "training_images": 4_000,
        "image_shape": [28, 28, 1],
        "fit": None,
        "pictures": "0123456789abcdef",
    },
    **{"peak_learning_rate": 0.03, "onednn": None},
}


@pytest.mark.parametrize("command_line", HELP_COMMANDS)
def test_help_shows_the_command_and_loads_no_slow_package(answers: dict[str, Any], command_line: str) -> None:
    answer = answers[command_line]
    assert answer["stderr"] == ""
    assert answer["status"] == 0
    assert ("deconv-ae " if command_line.startswith("deconv-ae") else "python scripts/") in answer["stdout"]
    assert ("deconv-ae" in answer["stdout"]) == command_line.startswith("deconv-ae")
    assert answer["loaded"] == []
    assert max(map(len, answer["stdout"].splitlines())) <= 80


@pytest.mark.parametrize("command_line", REFUSALS)
def test_refusals_are_one_line_and_load_no_slow_package(answers: dict[str, Any], command_line: str) -> None:
    answer = answers[command_line]
    assert answer["stderr"].startswith("error: ")
    assert len(answer["stderr"].splitlines()) == 1
    assert REFUSALS[command_line] in answer["stderr"]
    assert answer["status"] == 2
    assert answer["loaded"] == []


def test_name_unknown_to_tfds_is_refused_without_tensorflow(answers: dict[str, Any]) -> None:
    answer = answers[UNKNOWN_TO_TFDS]
    assert answer["stderr"].startswith("error: dataset: unknown 'x'; give mnist_5k, folder:PATH or the name of a TFDS")
    assert len(answer["stderr"].splitlines()) == 1
    assert answer["status"] == 2
    # TFDS loads NumPy, and some versions of its dependencies load Pillow.
    assert not {"tensorflow", "keras", "matplotlib"} & set(answer["loaded"])


def test_help_names_choices_and_defaults(answers: dict[str, Any]) -> None:
    words = re.sub(r"\s+", " ", answers["train.py --help"]["stdout"])
    for name in (*PRESETS, *RECIPES, *STRATEGIES):
        assert name in words
    for recipe in RECIPES.values():
        assert recipe.description in words
    assert f'{RECIPES["default"].epochs} epochs with the recipe "default"' in words
    assert f'{RECIPES["default"].batch_size} with the recipe "default"' in words
    assert "--dataset=folder:" in words
    assert all(name in answers["convert.py --help"]["stdout"] for name in FORMATS)


def test_help_groups_each_flag_once_and_names_flagfile(answers: dict[str, Any]) -> None:
    help_text = answers["train.py --help"]["stdout"]
    headings = re.findall(r"^(\w+):$", help_text, re.MULTILINE)
    assert headings == ["training", "architecture", "devices", "output", "data"]
    for program in PROGRAMS_WITH_FLAGS:
        help_text = answers[f"{program} --help"]["stdout"]
        assert "--flagfile=FILE" in help_text
        assert len(re.findall(r"^(\w+):$", help_text, re.MULTILINE)) == len(
            set(re.findall(r"^(\w+):$", help_text, re.MULTILINE))
        )
        names = re.findall(r"^  --(?:\[no\])?(\w+):", help_text, re.MULTILINE)
        assert len(names) == len(set(names))
        assert answers[f"{program} -h"]["stdout"] == help_text


def test_command_and_script_have_the_same_help(answers: dict[str, Any]) -> None:
    for name in commands.PROGRAMS:
        script, command = (answers[f"{program} --help"]["stdout"] for program in (f"{name}.py", f"deconv-ae {name}"))
        as_command = script.replace(f"python scripts/{name}.py", f"deconv-ae {name}")
        assert re.sub(rf"(\S*/)?{name}\.py:", f"deconv-ae {name}:", as_command) == command
        # The script is only a docstring, an import and a call.
        assert len((SCRIPTS / f"{name}.py").read_text().split("\n\n")) == 3
    assert all(f"  {name} " in answers["deconv-ae --help"]["stdout"] for name in commands.PROGRAMS)


def test_each_strategy_name_has_a_maker() -> None:
    assert STRATEGIES.keys() == _MAKERS.keys()
