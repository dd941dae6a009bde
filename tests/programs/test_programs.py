"""The programs of scripts/: training, evaluation, drawing, and refusals of bad input."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from faults.programs import SCRIPTS, Finished, run_program
from PIL import Image

import deconv_ae

QUICK = ("--dataset=mnist_5k", "--epochs=1", "--batch_size=100")


def files(directory: Path) -> set[Path]:
    return set(directory.rglob("*"))


def train_to(directory: Path, *arguments: str) -> Finished:
    finished = run_program("train.py", [*QUICK, "--export_dir=model", *arguments], directory)
    assert finished.status == 0, finished.stderr
    return finished


def result_lines(finished: Finished) -> str:
    """The lines of train.py about the result."""
    return finished.stdout[finished.stdout.index("result ") : finished.stdout.index("drawn ")]


def test_train_evaluate_and_visualize_one_after_the_other(tmp_path: Path) -> None:
    trained = train_to(tmp_path, "--run_dir=run", "--training_curve")
    curves = [tmp_path / "run" / "training_curve.png", tmp_path / "model-training_curve.png"]
    first_curves = [curve.read_bytes() for curve in curves]
    assert "51 parameters" in trained.stdout
    reported = " ".join(trained.stdout.split())
    assert "epoch 1/1 training RMSE 0." in reported
    assert "result training RMSE 0." in reported
    assert "exported model next: " in reported
    assert trained.stderr == ""

    evaluated = run_program("evaluate.py", ["--model=model"], tmp_path)
    assert evaluated.status == 0, evaluated.stderr
    lines = {line[:24].strip(): line[24:] for line in evaluated.stdout.splitlines()}
    assert f"test RMSE {float(lines['test RMSE'].split(',')[0]):.4f}" in reported
    assert f"mean training image {float(lines['mean training image'].split(',')[0]):.4f}" in reported
    assert "silent channels" not in lines
    assert lines["code"].startswith("1,568 bits")
    assert lines["switches"].startswith("196 bits")

    drawn = run_program("visualize.py", ["--model=model", "--output_dir=drawn", "--num_images=2"], tmp_path)
    assert drawn.status == 0, drawn.stderr
    assert len(list((tmp_path / "drawn").glob("imageAutoEncoder_*.png"))) == 6

    listed = run_program("visualize.py", ["--model=model", "--list_layers"], tmp_path)
    assert [line.split()[:2] for line in listed.stdout.splitlines()[1:]] == [
        ["images", "Nx28x28x1"],
        ["conv1", "Nx28x28x1"],
        ["pool1", "Nx7x7x1"],
        ["unpool1", "Nx28x28x1"],
        ["deconv1", "Nx28x28x1"],
    ]

    curves[0].unlink()
    resumed = train_to(tmp_path, "--run_dir=run", "--resume", "--overwrite")
    assert [curve.read_bytes() for curve in curves] == first_curves
    assert "resumed complete, after epoch 1" in " ".join(resumed.stdout.split())
    assert result_lines(resumed) == result_lines(trained)


def commands_to_copy(trained: Finished) -> list[list[str]]:
    """The commands that train.py prints at its end, split as a shell does."""
    commands = trained.stdout.partition("next:\n")[2]
    assert all(len(line) <= 80 for line in commands.replace(str(SCRIPTS), "scripts").splitlines())
    return [shlex.split(line) for line in commands.replace("\\\n", "").splitlines()]


def test_own_architecture_trains_and_its_next_commands_work(tmp_path: Path) -> None:
    for index in range(6):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        Image.new("RGB", (20 + index, 30), (40 * index, 200, 90)).save(tmp_path / "pictures" / f"{index}.png")
    flags = ["--dataset=folder:pictures", "--image_size=12x10", "--filters=4,2", "--pool_sizes=2,3x2", "--epochs=20"]
    trained = run_program("train.py", [*flags, "--export_dir=a model", "--run_dir=a run"], tmp_path)
    assert trained.status == 0, trained.stderr
    evaluate, visualize, third_command, tensorboard = commands_to_copy(trained)
    for command in (evaluate, visualize):
        finished = run_program(Path(command[1]).name, command[2:], tmp_path)
        assert finished.status == 0, finished.stderr
    drawn = {file.name for file in (tmp_path / "a model-pictures").iterdir() if "imageAutoEncoder" not in file.name}
    reported = [line.removeprefix("drawn: a model-pictures/") for line in finished.stdout.splitlines()]
    assert set(reported) == drawn | {"imageAutoEncoder_*.png, 3 pictures"}
    assert "training_curve.png" in reported
    assert Path(third_command[1]).exists()
    assert "--model=a model" in third_command
    assert tensorboard == ["tensorboard", "--logdir=a run/logs"]
    # By default, images of another data set get the model's shape. Flags that ask for a different shape are refused.
    arguments = ["--model=a model", "--dataset=mnist_5k"]
    finished = run_program("visualize.py", [*arguments, "--output_dir=drawn"], tmp_path)
    assert finished.status == 0, finished.stderr
    assert_refused(run_program("evaluate.py", [*arguments, "--color_mode=grayscale"], tmp_path), "made for 12x10x3")
    assert_refused(run_program("evaluate.py", [*arguments, "--image_size=28"], tmp_path), "made for 12x10;")


def test_pictures_of_another_domain_are_reported(exported: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (10, 28, 28), np.uint8)
    (tmp_path / "noise").mkdir()
    for number, picture in enumerate(noise):
        Image.fromarray(picture).save(tmp_path / "noise" / f"{number}.png")
    for program in ("evaluate.py", "visualize.py"):
        arguments = [f"--model={exported}", "--output_dir=drawn"]
        finished = run_program(program, [*arguments, "--dataset=folder:noise"], tmp_path)
        assert finished.status == 0
        (line,) = finished.error_lines
        assert line.startswith("warning: these images look unlike the training images of cmap1_pool4 (mnist_5k)")
        assert run_program(program, arguments, tmp_path).stderr == ""


def test_drawings_without_images_need_no_data_set(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 3), np.uint8)
    trained = deconv_ae.train(images, 4, 2, epochs=1, run_dir=str(tmp_path / "run"), verbose=False)
    trained.export(tmp_path / "model", anyway=True)
    arguments = ["--model=model", "--run_dir=run", "--draw=kernels,training_curve", "--output_dir=drawn"]
    assert run_program("visualize.py", arguments, tmp_path).status == 0
    assert {file.name for file in (tmp_path / "drawn").iterdir()} == {"kernels.png", "training_curve.png"}
    refused = run_program("visualize.py", ["--model=model", "--draw=errors"], tmp_path)
    assert_refused(refused, "was trained on an array in Python, which no file holds; pass --dataset")


UNTRAINED = ("--dataset=mnist_5k", "--recipe=cntk", "--epochs=0", "--export_dir=model")


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finished]:
    """The directory of an untrained model and its run, and the finished train.py. Tests only read the directory."""
    directory = tmp_path_factory.mktemp("untrained")
    return directory, run_program("train.py", [*UNTRAINED, "--run_dir=run", "--export_anyway"], directory)


def test_useless_model_is_exported_only_with_export_anyway(untrained: tuple[Path, Finished], tmp_path: Path) -> None:
    failed = run_program("train.py", UNTRAINED, tmp_path)
    assert failed.status == 1
    (line,) = failed.error_lines
    assert line.startswith("error: the model is no better than the mean training image, a test RMSE of 0.")
    assert "--export_anyway" in line
    assert "--preset=photos" in line  # Presets other than photos get this hint: they are made for digits.
    assert "the mean training image 0.2595, black 0.3314" in failed.stdout
    assert not list(tmp_path.iterdir())

    directory, exported = untrained
    assert exported.status == 0
    assert exported.stderr.startswith("warning: the model is no better than the mean training image, ")
    assert run_program("evaluate.py", ["--model=model"], directory).status == 0


def assert_refused(finished: Finished, message: str) -> None:
    assert finished.status == 2, (finished.stdout, finished.stderr)
    assert len(finished.error_lines) == 1, finished.stderr
    assert finished.stderr.startswith("error: ")
    assert message in finished.stderr


BAD_TRAINING_FLAGS = [
    (
        ["--preset=cmap9"],
        "preset: unknown 'cmap9'; choose one of cmap1_pool2, cmap1_pool4, cmap3_pool4, photos, two_layer",
    ),
    (["--recipe=magic"], "recipe: unknown 'magic'; choose one of cntk"),
    (["--dataset=no_such_data_set"], "dataset: unknown 'no_such_data_set'; give mnist_5k"),
    (["--strategy=cluster"], "strategy: unknown 'cluster'; choose one of auto"),
    (["--mixed_precision=float8"], "mixed_precision: unknown 'float8'; choose one of"),
    (["--jit_compile=maybe"], "jit_compile: unknown 'maybe'; choose one of"),
    (["--color_mode=sepia"], "color_mode"),
    (["--background=#fff"], "background: '#fff' is not a colour; give white, black or #rrggbb"),
    (["--filters=1,2", "--pool_sizes=2"], "pool_sizes: 1 given for 2 filters"),
    (["--filters=1"], "pool_sizes: not given"),
    (["--filters=0", "--pool_sizes=2"], "filters: 0 is below 1"),
    (["--filters=-1", "--pool_sizes=2"], "filters: -1 is below 1"),
    (["--filters=one", "--pool_sizes=2"], "filters: 'one' is not"),
    (["--filters=1", "--pool_sizes=0"], "pool_sizes: 0 is below 1"),
    (["--filters=1", "--pool_sizes=-2"], "pool_sizes: -2 is below 1"),
    (["--filters=1", "--pool_sizes=two"], "pool_sizes: 'two' is neither"),
    (["--filters=1", "--pool_sizes=2", "--kernel_size=x"], "kernel_size: 'x' is neither"),
    (["--filters=1,1,1", "--pool_sizes=4,4,4"], "stage 3 pools 1x1 by 4x4"),
    (["--preset=two_layer", "--filters=1", "--pool_sizes=2"], "preset: given together with --filters"),
    (["--batch_size=0"], "batch_size: 0 is below 1"),
    (["--batch_size=many"], "--batch_size=many"),
    (["--epochs=-1"], "epochs: -1 is below 0"),
    (["--learning_rate=0"], "learning_rate: 0.0 is not"),
    (["--learning_rate=-0.1"], "learning_rate: -0.1 is not"),
    (["--seed=-5"], "seed: -5 is below 0; give a whole number of 0"),
    (["--image_size=0"], "image_size"),
    (["--image_size=big"], "image_size: 'big' is neither"),
    (["--dataset=folder:nowhere"], "nowhere is not a folder"),
    (["--dataset=folder:empty"], "empty is empty"),
    (["--dataset=folder:documents"], "is not a picture in a known format"),
    (["--dataset=mnist", "--manual_dir=nowhere", "--data_dir=data"], "manual_dir: nowhere is not a folder"),
    (["--export_dir=documents"], "export_dir"),
    (["--export_dir=documents", "--overwrite"], "holds something other than a model"),
    (["--export_dir=documents/thesis.txt/model"], "cannot be written"),
    (["--run_dir=documents/thesis.txt/run"], "run_dir"),
    (["--run_dir=nowhere", "--resume"], "resume: nowhere holds no run"),
    (["--resume"], "resume: no --run_dir"),
    (["--no_such_flag"], "no_such_flag"),
    (["positional"], "unexpected argument 'positional'"),
]


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    (tmp_path / "documents").mkdir()
    for name in ("thesis.txt", "notes.txt"):
        (tmp_path / "documents" / name).write_text("years of work")
    return tmp_path


@pytest.mark.parametrize(("arguments", "message"), BAD_TRAINING_FLAGS, ids=[" ".join(a) for a, _ in BAD_TRAINING_FLAGS])
def test_bad_input_to_train_gives_one_error_line_and_changes_nothing(
    workplace: Path, arguments: list[str], message: str
) -> None:
    before = files(workplace)
    flag_names = {argument.split("=")[0] for argument in arguments}
    defaults = [flag for flag in QUICK if flag.split("=")[0] not in flag_names]
    assert_refused(run_program("train.py", [*defaults, *arguments], workplace), message)
    assert files(workplace) == before


@pytest.mark.parametrize("program", ["evaluate.py", "visualize.py"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model=nowhere"], "nowhere does not exist"),
        (["--model=empty"], "empty is empty"),
        (["--model=documents"], "documents has no model_card.json"),
    ],
)
def test_bad_model_path_gives_one_error_line(workplace: Path, program: str, arguments: list[str], message: str) -> None:
    before = files(workplace)
    assert_refused(run_program(program, arguments, workplace), message)
    assert files(workplace) == before


def test_evaluate_without_a_model_gives_one_error_line(tmp_path: Path) -> None:
    assert_refused(run_program("evaluate.py", [], tmp_path), "model: not given")


def test_foreign_saved_model_is_refused(workplace: Path) -> None:
    tf.saved_model.save(tf.Module(), str(workplace / "other"))
    assert_refused(run_program("evaluate.py", ["--model=other"], workplace), "other has no model_card.json")


@pytest.mark.parametrize("arguments", [["--num_images=0"], ["--num_images=-3"]])
def test_bad_number_of_images_gives_one_error_line(exported: Path, workplace: Path, arguments: list[str]) -> None:
    assert_refused(run_program("visualize.py", [f"--model={exported}", *arguments], workplace), "num_images")


def test_truncated_archive_gives_one_error_line(workplace: Path) -> None:
    for split in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (workplace / "empty" / f"{split}-{kind}-ubyte.gz").write_bytes(b"\x1f\x8b truncated")
    arguments = ["--dataset=mnist", "--data_dir=data", "--manual_dir=empty", "--export_dir=model"]
    finished = run_program("train.py", arguments, workplace)
    assert_refused(finished, "does not match its checksum")
    assert not (workplace / "model").exists()


def test_run_of_another_architecture_is_not_resumed(untrained: tuple[Path, Finished]) -> None:
    directory, _ = untrained
    before = files(directory)
    arguments = [*UNTRAINED, "--run_dir=run", "--resume", "--preset=cmap1_pool2", "--export_dir=other"]
    assert_refused(run_program("train.py", arguments, directory), "holds a run with architecture")
    assert files(directory) == before


def test_failed_run_keeps_the_old_model(exported: Path, workplace: Path) -> None:
    shutil.copytree(exported, workplace / "model")
    before = {file: file.read_bytes() for file in (workplace / "model").rglob("*") if file.is_file()}
    arguments = ["--dataset=mnist_5k", "--epochs=5", "--learning_rate=100", "--export_dir=model", "--overwrite"]
    failed = run_program("train.py", arguments, workplace)
    assert failed.status == 1
    assert len(failed.error_lines) == 1
    assert "a ReLU has died" in failed.stderr
    assert {file: file.read_bytes() for file in (workplace / "model").rglob("*") if file.is_file()} == before


def test_train_script_starts_in_a_new_process(tmp_path: Path) -> None:
    # The command of the README starts a new process; `run_program` would start one from the tests' fork server.
    command = [sys.executable, str(SCRIPTS / "train.py"), "--preset=nothing"]
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert_refused(Finished(done.returncode, done.stdout, done.stderr), "preset: unknown 'nothing'")


def test_missing_packages_give_one_error_line(tmp_path: Path) -> None:
    # With -S, Python ignores installed packages.
    command = [sys.executable, "-E", "-S", str(SCRIPTS / "train.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert_refused(Finished(done.returncode, done.stdout, done.stderr), "absl is not installed for ")
    assert "pip install ." in done.stderr


@pytest.mark.parametrize("backend", ["jax", "torch", "nonsense"])
def test_another_backend_gives_one_error_line(tmp_path: Path, backend: str) -> None:
    # The program runs in a new process, because Keras reads its backend only once.
    command = [sys.executable, str(SCRIPTS / "train.py"), "--dataset=mnist_5k"]
    environment = os.environ | {"KERAS_BACKEND": backend}
    finished = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert finished.returncode == 2
    expected = f"error: KERAS_BACKEND: the programs need tensorflow, not {backend!r}; set it to tensorflow\n"
    assert finished.stderr == expected
    assert list(tmp_path.iterdir()) == []
