"""Training runs: results, failures, checkpoints and resuming."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import threading
import time
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from deconv_ae import Architecture, per_image_rmse, records
from deconv_ae.data import ImageDataset
from deconv_ae.errors import InputError, Interrupted, RunError
from deconv_ae.files import with_checksum
from deconv_ae.model.presets import PRESETS
from deconv_ae.training import TrainingOptions, TrainingResult, run_record, train
from deconv_ae.training.checkpoints import RunDirectory
from deconv_ae.training.run_record import RunRecord

CMAP1 = PRESETS["cmap1_pool4"].architecture
OPTIONS = {"architecture": CMAP1, "epochs": 2}


@pytest.fixture(scope="module")
def finished_run(digits: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingResult]:
    """The directory and the result of a short run. Tests do not change the directory."""
    run_dir = tmp_path_factory.mktemp("finished")
    return run_dir, train(digits, TrainingOptions(**OPTIONS, run_dir=str(run_dir)))


@pytest.fixture(scope="module")
def finished_in_float16(digits: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingResult]:
    """The run of `finished_run` in mixed precision. Tests only read it."""
    run_dir = tmp_path_factory.mktemp("finished_in_float16")
    return run_dir, train(digits, TrainingOptions(**OPTIONS, mixed_precision="mixed_float16", run_dir=str(run_dir)))


def record_of(options: TrainingOptions, fingerprint: str = "0" * 16) -> RunRecord:
    """Returns the record of a run with these options on 640 digits with this fingerprint."""
    peak, onednn = options.peak_learning_rate, os.environ.get("TF_ENABLE_ONEDNN_OPTS")
    return RunRecord(options.deciding_options(640), "mnist_5k", 640, (28, 28, 1), None, fingerprint, peak, onednn)


def weights(result: TrainingResult) -> list[np.ndarray]:
    return result.model.get_weights()


def test_run_learns_and_reports_rmse_of_whole_test_split(trained: TrainingResult, digits: ImageDataset) -> None:
    images = digits.test.astype(np.float32) / 256
    assert trained.test_rmse == pytest.approx(per_image_rmse(images, trained.model(images)).numpy().mean(), rel=1e-5)
    black_rmse = per_image_rmse(images, np.zeros_like(images)).numpy().mean()
    assert trained.test_rmse < 0.75 * black_rmse
    assert trained.training_rmse == pytest.approx(trained.test_rmse, rel=0.1)


def test_same_seed_gives_bit_identical_weights(digits: ImageDataset, finished_run: tuple[Path, TrainingResult]) -> None:
    _, first = finished_run
    repeated, other = (train(digits, TrainingOptions(**OPTIONS, seed=seed)) for seed in (0, 1))
    for one, two, three in zip(weights(first), weights(repeated), weights(other)):
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(one, three)


def set_auto_jit_compile(monkeypatch: pytest.MonkeyPatch, xla: bool) -> None:
    """Makes jit_compile="auto" choose XLA or not; by itself, Keras chooses XLA if there is a GPU.

    XLA cannot compile pooling that also returns positions (tensorflow/tensorflow issue 103438), so under XLA the
    package combines other operations.
    """
    monkeypatch.setattr(keras.Model, "_resolve_auto_jit_compile", lambda self: xla)


def test_xla_trains_as_the_plain_graph(
    digits: ImageDataset, finished_run: tuple[Path, TrainingResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, default_run = finished_run
    set_auto_jit_compile(monkeypatch, xla=not default_run.model.jit_compile)
    other = train(digits, TrainingOptions(**OPTIONS))
    assert {default_run.model.jit_compile, other.model.jit_compile} == {False, True}
    assert other.test_rmse == pytest.approx(default_run.test_rmse, abs=1e-4)


@pytest.mark.parametrize(("jit_compile", "xla"), [("false", False), ("true", True)])
def test_jit_compile_overrides_the_choice_of_keras(
    digits: ImageDataset, monkeypatch: pytest.MonkeyPatch, jit_compile: str, xla: bool
) -> None:
    set_auto_jit_compile(monkeypatch, xla=not xla)
    choices: list[bool] = []
    monkeypatch.setattr(keras.Model, "fit", lambda self, *_, **__: choices.append(self.jit_compile))
    result = train(digits, TrainingOptions(CMAP1, epochs=1, jit_compile=jit_compile))
    assert [*choices, result.model.jit_compile] == [xla, xla]


def test_compiled_run_resumes_bit_for_bit(digits: ImageDataset, tmp_path: Path) -> None:
    # The last batch of an epoch is smaller, so XLA compiles a second step.
    options = TrainingOptions(CMAP1, recipe="cntk", batch_size=100, epochs=2, jit_compile="true")
    options_with_dir = replace(options, run_dir=str(tmp_path / "run"))
    train(digits, replace(options_with_dir, epochs=1))
    resumed = train(digits, replace(options_with_dir, resume=True))
    for one, two in zip(weights(train(digits, options)), weights(resumed)):
        np.testing.assert_array_equal(one, two)


def test_colour_images_of_odd_size_train(colour_images: ImageDataset) -> None:
    result = train(colour_images, TrainingOptions(Architecture((4, 2), (2, 2)), epochs=4, batch_size=8))
    images = colour_images.test.astype(np.float32) / 256
    assert result.model.output_shape == (None, 17, 13, 3)
    assert result.test_rmse < 0.9 * per_image_rmse(images, np.zeros_like(images)).numpy().mean()
    # With its fitted decoder, the model is better than a black image before training; training must improve it.
    assert result.history[-1].training_rmse < 0.98 * result.history[0].training_rmse


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_restores_the_policy(
    digits: ImageDataset, finished_run: tuple[Path, TrainingResult], policy: str, request: pytest.FixtureRequest
) -> None:
    if policy == "mixed_bfloat16":
        request.getfixturevalue("bfloat16")
        result = train(digits, TrainingOptions(**OPTIONS, mixed_precision=policy))
    else:
        _, result = request.getfixturevalue("finished_in_float16")
    _, float32_result = finished_run
    assert result.test_rmse == pytest.approx(float32_result.test_rmse, rel=0.05)
    assert keras.config.dtype_policy().name == "float32"


# ------------------------------------------------------------------------------- Failures


def test_non_finite_loss_ends_the_run(digits: ImageDataset, tmp_path: Path) -> None:
    options = {"architecture": CMAP1, "batch_size": 16, "learning_rate": 1e30}
    # An epoch has 40 steps. An execution has eight of them, or only one if there is a checkpoint every seven steps.
    with pytest.raises(RunError, match=r"the loss became \w+ in steps (\d+) to (\d+);") as eight_steps:
        train(digits, TrainingOptions(**options))
    with pytest.raises(RunError, match=r"the loss became \w+ at step (\d+);") as one_step:
        train(digits, TrainingOptions(**options, run_dir=str(tmp_path), checkpoint_every=7))
    (first, last), (step,) = (list(map(int, re.findall(r"\d+", str(error.value)))) for error in (eight_steps, one_step))
    assert last - first == 7
    assert first <= step <= last


def test_rmse_of_infinity_after_the_last_step_is_an_error(digits: ImageDataset) -> None:
    eight_digits = ImageDataset("few", digits.train[:8], digits.test[:8])
    with pytest.raises(RunError, match=r"the training RMSE is (inf|nan) after the last step;"):
        train(eight_digits, TrainingOptions(CMAP1, epochs=1, batch_size=8, learning_rate=3e38))


def test_dead_relu_ends_the_run(digits: ImageDataset) -> None:
    # One enormous step moves the bias so far below zero that no image activates the convolution.
    with pytest.raises(RunError, match="a ReLU has died"):
        train(digits, TrainingOptions(CMAP1, epochs=10, learning_rate=100.0))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"recipe": "adam"}, "recipe: unknown 'adam'; choose one of cntk, default"),
        ({"strategy": "parameter_server"}, "strategy: unknown"),
        ({"mixed_precision": "float8"}, "mixed_precision: unknown"),
        ({"jit_compile": "maybe"}, "jit_compile: unknown"),
        ({"batch_size": 0}, "batch_size: 0 is below 1"),
        ({"epochs": -1}, "epochs: -1 is below 0"),
        ({"learning_rate": 0.0}, "learning_rate: 0.0 is not"),
        ({"learning_rate": float("nan")}, "learning_rate: nan is not"),
        ({"seed": -1}, "seed: -1 is below 0; give a whole number of 0 or more"),
        ({"worker_timeout": -1.0}, "worker_timeout: -1.0 is not of 0 or more; give a number of 0 or more"),
        ({"resume": True}, "resume: no --run_dir"),
        ({"checkpoint_every": 5}, "checkpoint_every: no --run_dir"),
        ({"checkpoint_every": 0, "run_dir": "run"}, "checkpoint_every: 0 is below 1"),
    ],
)
def test_wrong_options_are_refused_by_name(fields: dict, message: str) -> None:
    with pytest.raises(InputError) as raised:
        TrainingOptions(CMAP1, **fields)
    assert str(raised.value).startswith(message)


# ------------------------------------------------------------------------------- Run directories


@pytest.fixture
def resumable_run(finished_run: tuple[Path, TrainingResult], tmp_path: Path) -> tuple[dict, TrainingResult]:
    """Options that resume a copy of a finished run, and the run's result."""
    run_dir, result = finished_run
    copied = shutil.copytree(run_dir, tmp_path / "run")
    return OPTIONS | {"run_dir": str(copied), "resume": True}, result


def comparable_contents(run_dir: Path) -> dict:
    """Returns those contents of a run directory that must not depend on how often the run was stopped."""
    newest = sorted((run_dir / "checkpoints").iterdir())[-1]
    with zipfile.ZipFile(newest) as archive:
        contents: dict[str, Any] = {"progress": archive.read("progress.json")}
        weights_file = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
    # The names of layers, which are HDF5 attributes, are left out: Keras numbers all layers of a process in them.
    weights_file.visititems(
        lambda name, item: contents.update({name: item[()].tobytes()} if hasattr(item, "shape") else {})
    )
    for kind in ("train", "pictures"):
        events = EventAccumulator(str(run_dir / "logs" / kind), size_guidance={"tensors": 0}).Reload()
        for tag in events.Tags()["tensors"]:
            contents[tag] = [(event.step, event.tensor_proto.SerializeToString()) for event in events.Tensors(tag)]
    return contents | {"newest": newest.name}


@pytest.mark.parametrize(
    ("precision", "number", "uninterrupted_fixture"),
    [("none", signal.SIGINT, "finished_run"), ("mixed_float16", signal.SIGTERM, "finished_in_float16")],
)
def test_stopped_run_resumes_bit_for_bit(
    digits: ImageDataset,
    tmp_path: Path,
    number: signal.Signals,
    precision: str,
    uninterrupted_fixture: str,
    request: pytest.FixtureRequest,
) -> None:
    expected_dir, expected = request.getfixturevalue(uninterrupted_fixture)
    # An epoch has 20 steps, so these checkpoints are within epochs.
    options = OPTIONS | {"mixed_precision": precision, "run_dir": str(tmp_path / "stopped"), "checkpoint_every": 7}

    def stop_at_the_second_checkpoint() -> None:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("stopped/checkpoints/step-*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(os.getpid(), number)

    threading.Thread(target=stop_at_the_second_checkpoint).start()
    with pytest.raises(Interrupted, match=rf"stopped by {number.name} after step \d+; .*--resume") as stop:
        train(digits, TrainingOptions(**options))
    assert stop.value.signal_number == number
    resumed = train(digits, TrainingOptions(**options, resume=True))
    for one, two in zip(weights(resumed), weights(expected)):
        np.testing.assert_array_equal(one, two)
    assert (resumed.training_rmse, resumed.test_rmse) == (expected.training_rmse, expected.test_rmse)
    assert resumed.history == expected.history
    assert comparable_contents(tmp_path / "stopped") == comparable_contents(expected_dir)


def test_stopped_run_without_run_dir_says_nothing_was_kept(digits: ImageDataset) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def stop_once_it_trains() -> None:
        deadline = time.monotonic() + 60
        while signal.getsignal(signal.SIGTERM) == before and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_once_it_trains).start()
    with pytest.raises(Interrupted, match="nothing was kept, because no --run_dir was given"):
        train(digits, TrainingOptions(CMAP1, recipe="cntk", epochs=300))
    assert signal.getsignal(signal.SIGTERM) == before


def test_finished_run_resumes_to_its_result(digits: ImageDataset, resumable_run: tuple[dict, TrainingResult]) -> None:
    options, first = resumable_run
    assert train(digits, TrainingOptions(**options)).test_rmse == first.test_rmse


def flip_a_bit(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def with_lambda_configuration(content: bytes) -> bytes:
    """Gives a checkpoint the configuration of a Lambda layer, which can hold arbitrary code."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(written, "w") as other:
        for name in archive.namelist():
            other.writestr(name, b'{"class_name": "Lambda"}' if name == "config.json" else archive.read(name))
    return written.getvalue()


@pytest.fixture(scope="module")
def untrained(digits: ImageDataset) -> keras.Model:
    """A model into which the finished run's checkpoints can be loaded."""
    return train(digits, TrainingOptions(CMAP1, epochs=0)).model


@pytest.mark.parametrize(
    "damage",
    [flip_a_bit, lambda content: content[: len(content) // 2], lambda content: b"", lambda content: b"no archive"],
    ids=["bit", "half", "empty", "other"],
)
def test_damaged_checkpoint_is_reported_and_previous_one_used(
    digits: ImageDataset,
    resumable_run: tuple[dict, TrainingResult],
    untrained: keras.Model,
    capsys: pytest.CaptureFixture,
    damage,
) -> None:
    options, _ = resumable_run
    previous, newest = sorted(Path(options["run_dir"]).glob("checkpoints/*"))
    newest.write_bytes(damage(newest.read_bytes()))
    with RunDirectory(
        options["run_dir"], record_of(TrainingOptions(**options), digits.fingerprint), True
    ) as run_directory:
        step, _ = run_directory.restore(untrained)
    captured = capsys.readouterr()
    assert len([line for line in captured.out.splitlines() if f"{newest} is damaged" in line]) == 1
    assert captured.err == ""
    assert f"step-{step:08d}" == previous.stem
    restored = untrained.get_weights()
    untrained.load_weights(previous)
    for one, two in zip(restored, untrained.get_weights()):
        np.testing.assert_array_equal(one, two)


def test_checkpoint_of_other_pictures_is_refused(
    digits: ImageDataset,
    resumable_run: tuple[dict, TrainingResult],
    untrained: keras.Model,
    capsys: pytest.CaptureFixture,
) -> None:
    options, _ = resumable_run
    other_digits = replace(digits, train=digits.train[::-1], fingerprint="")
    # The run's record shows the difference, before a checkpoint is read.
    with pytest.raises(InputError, match=r"^resume: .* holds a run on other pictures than mnist_5k has now; [^\n]*$"):
        train(other_digits, TrainingOptions(**options | {"epochs": 9}))
    # If somebody puts another run's checkpoints beside the record, the checkpoints show the difference.
    run_json = Path(options["run_dir"]) / "run.json"
    record = record_of(TrainingOptions(**options), other_digits.fingerprint)
    run_json.write_text(records.as_text(record))
    refusal = pytest.raises(InputError, match=r"^resume: .*\.keras is of a run on other pictures; [^\n]*$")
    with RunDirectory(options["run_dir"], record, True) as run_directory, refusal:
        run_directory.restore(untrained)
    assert "damaged" not in capsys.readouterr().out


def test_run_resumes_from_checkpoint_before_a_damaged_one(
    digits: ImageDataset, resumable_run: tuple[dict, TrainingResult]
) -> None:
    options, first = resumable_run
    newest = max(Path(options["run_dir"]).glob("checkpoints/*"))
    newest.write_bytes(flip_a_bit(newest.read_bytes()))
    assert train(digits, TrainingOptions(**options)).test_rmse == first.test_rmse


def test_checkpoint_configuration_is_ignored(
    digits: ImageDataset, resumable_run: tuple[dict, TrainingResult], capsys: pytest.CaptureFixture
) -> None:
    options, first = resumable_run
    for checkpoint in Path(options["run_dir"]).glob("checkpoints/*"):
        checkpoint.write_bytes(with_lambda_configuration(checkpoint.read_bytes()))
    assert train(digits, TrainingOptions(**options)).test_rmse == first.test_rmse
    assert "damaged" not in capsys.readouterr().out


def test_checkpoints_that_cannot_be_listed_are_refused(
    digits: ImageDataset, resumable_run: tuple[dict, TrainingResult]
) -> None:
    options, _ = resumable_run
    checkpoints = Path(options["run_dir"]) / "checkpoints"
    checkpoints.chmod(0o300)
    if os.access(checkpoints, os.R_OK):
        pytest.skip("root may list every directory")
    with pytest.raises(
        InputError, match=r"^resume: .*/checkpoints cannot be read: Permission denied; make it readable$"
    ):
        train(digits, TrainingOptions(**options))
    checkpoints.chmod(0o700)


def test_run_without_usable_checkpoint_is_refused(
    digits: ImageDataset, resumable_run: tuple[dict, TrainingResult]
) -> None:
    options, _ = resumable_run
    for file in Path(options["run_dir"]).glob("checkpoints/*"):
        file.write_bytes(b"")
    with pytest.raises(RunError, match="none of the 2 checkpoints"):
        train(digits, TrainingOptions(**options))


def test_run_directory_in_use_is_refused_until_run_ends(digits: ImageDataset, tmp_path: Path) -> None:
    record = record_of(TrainingOptions(CMAP1, epochs=1))
    with RunDirectory(tmp_path, record, resume=False), pytest.raises(InputError, match="in use by another run"):
        RunDirectory(tmp_path, record, resume=True)
    with RunDirectory(tmp_path, record, resume=True):
        pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": Architecture((2,), (4,))}, "resume: .* holds a run with architecture"),
        ({"seed": 1}, "resume: .* holds a run with seed 0, not 1"),
        ({"epochs": 1}, "resume: .* holds a run of 2 epochs, and 1 are fewer"),
        ({"resume": False}, "run_dir: .* holds a run already"),
    ],
)
def test_run_directory_of_another_run_is_refused_and_kept(
    digits: ImageDataset, resumable_run: tuple[dict, TrainingResult], tmp_path: Path, change: dict, message: str
) -> None:
    options, _ = resumable_run
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(InputError, match=message):
        train(digits, TrainingOptions(**options | change))
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_tensorboard_gets_scalars_and_pictures_every_epoch(finished_run: tuple[Path, TrainingResult]) -> None:
    logs = finished_run[0] / "logs"
    scalars = EventAccumulator(str(logs / "train")).Reload()
    assert [event.step for event in scalars.Tensors("epoch_rmse")] == [0, 1]
    pictures = EventAccumulator(str(logs / "pictures"), size_guidance={"tensors": 0}).Reload()
    for name in ("1_original", "2_code", "3_reconstruction"):
        events = pictures.Tensors(name)
        assert [event.step for event in events] == [0, 1]
        # A summary holds the width, the height and five PNGs.
        assert len(events[0].tensor_proto.string_val) == 2 + 5


def sorted_numbers(checkpoint: Path) -> list[bytes]:
    """Returns the bytes of all numbers in a checkpoint, those of weights, optimizer and progress, sorted.

    Equal runs in one process save different files, because a file holds the optimizer's name, such as adam or adam_1.
    """
    with zipfile.ZipFile(checkpoint) as archive:
        numbers = [archive.read("progress.json")]
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
            file.visititems(lambda _, item: numbers.append(item[()].tobytes()) if hasattr(item, "dtype") else None)
    return sorted(numbers)


@dataclass(frozen=True)
class ValidatedRun:
    """The directory and the result of a run with some `validate_every`, and what the run printed."""

    run_dir: Path
    result: TrainingResult
    printed: str

    @property
    def checkpoints(self) -> list[Path]:
        return sorted((self.run_dir / "checkpoints").iterdir())


@pytest.fixture(scope="module")
def validated_runs(digits: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> dict[int, ValidatedRun]:
    """Runs of four epochs of 20 steps, by their validate_every. They save checkpoints within epochs, too."""
    runs = {}
    for every in (0, 1, 2):
        run_dir, printed = tmp_path_factory.mktemp(f"every_{every}"), io.StringIO()
        options = {"architecture": CMAP1, "epochs": 4, "run_dir": str(run_dir), "checkpoint_every": 8}
        with contextlib.redirect_stdout(printed):
            result = train(digits, TrainingOptions(**options, validate_every=every))
        runs[every] = ValidatedRun(run_dir, result, printed.getvalue())
    return runs


@pytest.mark.parametrize(("every", "epochs"), [(0, []), (1, [0, 1, 2, 3]), (2, [1, 3])])
def test_validate_every_sets_epochs_of_test_rmse(
    validated_runs: dict[int, ValidatedRun], every: int, epochs: list[int]
) -> None:
    run = validated_runs[every]
    logged = EventAccumulator(str(run.run_dir / "logs" / "train")).Reload()
    if epochs:
        validated = logged.Tensors("epoch_test_rmse")
        assert [event.step for event in validated] == epochs
        assert tf.make_ndarray(validated[-1].tensor_proto) == pytest.approx(run.result.test_rmse, rel=1e-6)
    assert run.printed.count("test RMSE") == len(epochs)


def test_validation_changes_no_weights(validated_runs: dict[int, ValidatedRun]) -> None:
    numbers_0, numbers_1, numbers_2 = (sorted_numbers(validated_runs[every].checkpoints[-1]) for every in (0, 1, 2))
    assert numbers_0 == numbers_1 == numbers_2


def test_newest_three_checkpoints_are_kept(validated_runs: dict[int, ValidatedRun]) -> None:
    # The run saved checkpoints after steps 8, 16, 20, 24, 32, 40, ..., 60, 64, 72, 80.
    assert [file.stem for file in validated_runs[1].checkpoints] == ["step-00000064", "step-00000072", "step-00000080"]


def test_old_checkpoint_that_cannot_be_deleted_is_an_error(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with RunDirectory(tmp_path, record_of(TrainingOptions(CMAP1)), resume=False) as run_directory:
        (tmp_path / "checkpoints" / "step-00000000.keras").mkdir()
        with pytest.raises(RunError, match=r"the old checkpoints in .* cannot be deleted: Is a dir"):
            for step in range(1, 4):
                run_directory.save(model, step)
    assert (tmp_path / "checkpoints" / "step-00000003.keras").is_file()


@pytest.mark.parametrize("validate_every", [0, 3])
def test_run_can_be_resumed_with_another_validate_every(tmp_path: Path, validate_every: int) -> None:
    for resume, options in ((False, {}), (True, {"validate_every": validate_every})):
        with RunDirectory(tmp_path, record_of(TrainingOptions(CMAP1, epochs=1, **options)), resume):
            pass


def test_run_prints_data_model_and_schedule_first(digits: ImageDataset, capsys: pytest.CaptureFixture) -> None:
    train(digits, TrainingOptions(CMAP1, epochs=0))
    assert [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[:4]] == [
        ["data", "mnist_5k: 640 training and 100 test images of 28x28x1, in memory"],
        ["model", "filters 1; pools 4x4; kernels 5x5: 51 parameters"],
        ["training", "recipe default; 640 pictures: 20 steps an epoch, 0 epochs"],
        ["stop", "Ctrl-C; without --run_dir, nothing is kept"],
    ]


def test_run_json_records_the_deciding_options(digits: ImageDataset, tmp_path: Path) -> None:
    train(digits, TrainingOptions(CMAP1, epochs=0, run_dir=str(tmp_path)))
    record = run_record.read("run_dir", tmp_path, "")
    assert (record.dataset, record.training_images, record.image_shape) == ("mnist_5k", 640, (28, 28, 1))
    assert record.options == TrainingOptions(CMAP1, epochs=0, batch_size=32)


def test_run_with_another_versions_learning_rate_is_refused(tmp_path: Path) -> None:
    record = record_of(TrainingOptions(Architecture((4, 2), (2, 2))))
    with RunDirectory(tmp_path, record, resume=False):
        pass
    with RunDirectory(tmp_path, record, resume=True):
        pass
    with pytest.raises(InputError, match=r"resume: .* of another version, .*0\.0242.* start anew"):
        RunDirectory(tmp_path, replace(record, peak_learning_rate=0.0212), resume=True)


def test_given_learning_rate_keeps_recipes_peak_out_of_record() -> None:
    # With no peak in its record, the run can be resumed in a version whose recipe has another peak.
    assert record_of(TrainingOptions(Architecture((8,), (4,)), learning_rate=0.01)).peak_learning_rate is None


def test_resumed_run_reports_changed_onednn_setting(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    record = record_of(TrainingOptions(CMAP1, epochs=1))
    for resume, onednn in ((False, "1"), (True, "1"), (True, None), (True, None)):
        with RunDirectory(tmp_path, replace(record, onednn=onednn), resume):
            pass
    message = "TF_ENABLE_ONEDNN_OPTS was 1 and is now not set: from here on, numbers are rounded differently\n"
    assert capsys.readouterr().out == message


INFINITE = json.loads("1e999")
WRONG_MEASURES, WRONG_COUNTS = ("text", [], {}, True, -1, 10**400, INFINITE), ("3", None, 2.0, True, -1, 10**400)
WRONG_VALUES = [
    *(("peak_learning_rate", value) for value in WRONG_MEASURES),
    *(("extended_after_epochs", value) for value in (5, None, "5", [None], [2.5], [True], [-1], [10**400])),
    *(("options", value) for value in (None, [], {}, "text")),
    *(("options.epochs", value) for value in WRONG_COUNTS),
    *(("options.seed", value) for value in (*WRONG_COUNTS, 2**40)),
    *(("options.learning_rate", value) for value in (*WRONG_MEASURES, 0)),
    *(("options.recipe", value) for value in (None, "magic", ["default"], 5)),
    *(("options.architecture", value) for value in (None, {}, [1])),
    *(("options.architecture.filters", value) for value in (None, [], [0], [1.5], ["1"], [10**400], 1)),
    *(("options.architecture.pool_sizes", value) for value in ([[4]], [4], [[4, 4], [4, 4]], [[17, 17]], [[True, 4]])),
    *(("options.architecture.deconvolution_bias", value) for value in (None, 1, "no")),
    *(("dataset", value) for value in (None, "", 5, ["mnist_5k"], "a" * 1001, "a\n")),
    *(("onednn", value) for value in ("", 5, "\x1b[2J")),
    *(("image_shape", value) for value in (None, [28, 28], [28, 28, 0], [28, 28, 1.0], "28x28x1")),
    *(("training_images", value) for value in (*WRONG_COUNTS, 0)),
    ("further", 1),
]


@pytest.mark.parametrize(("field", "value"), WRONG_VALUES)
def test_invalid_run_record_is_refused_by_field(tmp_path: Path, field: str, value: Any) -> None:
    record = record_of(TrainingOptions(CMAP1, epochs=1))
    values = json.loads(records.as_text(record))
    del values["sha256"]
    *path, last = field.split(".")
    parent = values
    for name in path:
        parent = parent[name]
    parent[last] = value
    # The checksum is right, because somebody who edits a file can compute it. Python reads 1e999 as infinity.
    (tmp_path / "run.json").write_text(with_checksum(values).replace("Infinity", "1e999"))
    with pytest.raises(InputError, match=r"^resume: .* is not the record of a run \(.*; start anew") as error:
        run_record.check(tmp_path, record, resume=True)
    assert str(error.value).isprintable()
    assert last in str(error.value)


def test_model_with_averages_resumes_bit_for_bit(colour_images: ImageDataset, tmp_path: Path) -> None:
    options = TrainingOptions(Architecture((4,), (4,), averages=4), recipe="cntk", batch_size=8, epochs=2)
    options_with_dir = replace(options, run_dir=str(tmp_path / "run"))
    train(colour_images, replace(options_with_dir, epochs=1))
    resumed = train(colour_images, replace(options_with_dir, resume=True))
    uninterrupted = train(colour_images, options)
    for one, two in zip(weights(uninterrupted), weights(resumed), strict=True):
        np.testing.assert_array_equal(one, two)
    assert resumed.history == uninterrupted.history
