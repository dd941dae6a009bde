"""Training runs: results, failures, checkpoints and resuming."""

import io
import json
import os
import shutil
import signal
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from deconv_ae import Architecture, per_image_rmse
from deconv_ae.data import ImageDataset
from deconv_ae.errors import InputError, Interrupted, RunError
from deconv_ae.files import read_with_checksum, with_checksum
from deconv_ae.model.presets import PRESETS
from deconv_ae.training import TrainingOptions, TrainingResult, train
from deconv_ae.training.checkpoints import RunDirectory

CMAP1 = PRESETS["cmap1_pool4"].architecture
FINISHED = {"architecture": CMAP1, "epochs": 2}


@pytest.fixture(scope="module")
def finished_run(digits: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingResult]:
    """A short run and its directory; tests read it only."""
    run_dir = tmp_path_factory.mktemp("finished")
    return run_dir, train(digits, TrainingOptions(**FINISHED, run_dir=str(run_dir)))


def weights(result: TrainingResult) -> list[np.ndarray]:
    return result.model.get_weights()


def test_it_learns_and_reports_the_rmse_of_whole_splits(trained: TrainingResult, digits: ImageDataset) -> None:
    images = digits.test.astype(np.float32) / 256
    assert trained.test_rmse == pytest.approx(per_image_rmse(images, trained.model(images)).numpy().mean(), rel=1e-5)
    all_zero = per_image_rmse(images, np.zeros_like(images)).numpy().mean()
    assert trained.test_rmse < 0.75 * all_zero
    assert trained.training_rmse == pytest.approx(trained.test_rmse, rel=0.1)


def test_the_same_seed_gives_the_same_weights_bit_for_bit(
    digits: ImageDataset, finished_run: tuple[Path, TrainingResult]
) -> None:
    _, first = finished_run
    again, other = (train(digits, TrainingOptions(**FINISHED, seed=seed)) for seed in (0, 1))
    for one, two, three in zip(weights(first), weights(again), weights(other)):
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(one, three)


@pytest.mark.parametrize("jit_compile", ["false", "true"])  # "auto" is how the other was trained.
def test_xla_trains_as_the_plain_graph_does(
    digits: ImageDataset, finished_run: tuple[Path, TrainingResult], jit_compile: str
) -> None:
    _, by_default = finished_run
    options = TrainingOptions(**FINISHED, jit_compile=jit_compile)
    assert train(digits, options).test_rmse == pytest.approx(by_default.test_rmse, abs=1e-4)


def test_where_auto_means_xla_training_works(digits: ImageDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    # What Keras decides where there is a GPU (tensorflow/tensorflow issue 103438).
    monkeypatch.setattr(keras.Model, "_resolve_auto_jit_compile", lambda self: True)
    result = train(digits, TrainingOptions(CMAP1, epochs=1))
    assert result.model.jit_compile is True
    assert np.isfinite(result.test_rmse)


def test_colour_images_of_an_odd_size_train(colour_images: ImageDataset) -> None:
    result = train(colour_images, TrainingOptions(Architecture((4, 2), (2, 2)), epochs=15, batch_size=8))
    images = colour_images.test.astype(np.float32) / 256
    assert result.model.output_shape == (None, 17, 13, 3)
    assert result.test_rmse < 0.9 * per_image_rmse(images, np.zeros_like(images)).numpy().mean()


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_leaves_no_trace(
    digits: ImageDataset, finished_run: tuple[Path, TrainingResult], policy: str, request: pytest.FixtureRequest
) -> None:
    if policy == "mixed_bfloat16":
        request.getfixturevalue("bfloat16")
    _, in_float32 = finished_run
    options = TrainingOptions(**FINISHED, mixed_precision=policy)
    assert train(digits, options).test_rmse == pytest.approx(in_float32.test_rmse, rel=0.05)
    assert keras.config.dtype_policy().name == "float32"


# ------------------------------------------------------------------------------- Failures


def test_a_loss_that_is_not_finite_ends_the_run_and_its_step_is_named(digits: ImageDataset, tmp_path: Path) -> None:
    options = {"architecture": PRESETS["two_layer"].architecture, "batch_size": 16, "learning_rate": 1e30}
    # 40 steps, eight of them in one execution; a checkpoint every 7 steps makes it one by one.
    said = []
    for kept in ({}, {"run_dir": str(tmp_path), "checkpoint_every": 7}):
        with pytest.raises(RunError, match=r"the loss became \w+ at step \d+;") as failure:
            train(digits, TrainingOptions(**options, **kept))
        said.append(str(failure.value).partition(";")[0])
    together, one_by_one = said
    assert together.split()[-1] == one_by_one.split()[-1]
    assert int(together.split()[-1]) % 8


def test_a_dead_relu_ends_the_run(digits: ImageDataset) -> None:
    # One enormous step takes the bias so far below zero that no image activates the convolution.
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
def test_options_that_no_run_can_be_made_with_are_refused_by_name(fields: dict, message: str) -> None:
    with pytest.raises(InputError) as raised:
        TrainingOptions(CMAP1, **fields)
    assert str(raised.value).startswith(message)


# ------------------------------------------------------------------------------- Run directories


@pytest.fixture
def finished(finished_run: tuple[Path, TrainingResult], tmp_path: Path) -> tuple[dict, TrainingResult]:
    """The options to go on from a copy of a finished run, and what the run came to."""
    run_dir, result = finished_run
    copied = shutil.copytree(run_dir, tmp_path / "run")
    return FINISHED | {"run_dir": str(copied), "resume": True}, result


def everything_kept(run_dir: Path) -> dict:
    """What a run leaves behind that must not depend on how often it was stopped."""
    newest = sorted((run_dir / "checkpoints").iterdir())[-1]
    with zipfile.ZipFile(newest) as archive:
        kept: dict[str, Any] = {"progress": archive.read("progress.json")}
        weights_file = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
    # The model's and the optimizer's; the file itself also holds names that Keras counts up.
    weights_file.visititems(
        lambda name, item: kept.update({name: item[()].tobytes()} if hasattr(item, "shape") else {})
    )
    for kind in ("train", "pictures"):
        events = EventAccumulator(str(run_dir / "logs" / kind), size_guidance={"tensors": 0}).Reload()
        for tag in events.Tags()["tensors"]:
            kept[tag] = [(event.step, event.tensor_proto.SerializeToString()) for event in events.Tensors(tag)]
    return kept | {"newest": newest.name}


@pytest.mark.parametrize(("precision", "number"), [("none", signal.SIGINT), ("mixed_float16", signal.SIGTERM)])
def test_a_run_stopped_within_an_epoch_ends_to_the_last_bit_as_one_that_was_not(
    digits: ImageDataset, tmp_path: Path, number: signal.Signals, precision: str
) -> None:
    # 10 steps an epoch, and a checkpoint every 3.
    options = {"architecture": CMAP1, "epochs": 2, "batch_size": 64, "mixed_precision": precision}
    whole = train(digits, TrainingOptions(**options, run_dir=str(tmp_path / "whole")))
    stopped = options | {"run_dir": str(tmp_path / "stopped"), "checkpoint_every": 3}

    def stop_at_the_second_checkpoint() -> None:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("stopped/checkpoints/step-*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(os.getpid(), number)

    threading.Thread(target=stop_at_the_second_checkpoint).start()
    with pytest.raises(Interrupted, match=rf"stopped by {number.name} after step \d+; .*--resume") as stop:
        train(digits, TrainingOptions(**stopped))
    assert stop.value.signal_number == number
    resumed = train(digits, TrainingOptions(**stopped, resume=True))
    for one, two in zip(weights(resumed), weights(whole)):
        np.testing.assert_array_equal(one, two)
    assert (resumed.training_rmse, resumed.test_rmse) == (whole.training_rmse, whole.test_rmse)
    assert resumed.history == whole.history
    assert everything_kept(tmp_path / "stopped") == everything_kept(tmp_path / "whole")


def test_a_run_without_a_run_dir_stops_too_and_says_what_that_costs(digits: ImageDataset) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def stop_once_it_trains() -> None:
        deadline = time.monotonic() + 60
        while signal.getsignal(signal.SIGTERM) == before and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_once_it_trains).start()
    with pytest.raises(Interrupted, match="nothing was kept, for want of a --run_dir"):
        train(digits, TrainingOptions(CMAP1, recipe="cntk", epochs=300))
    assert signal.getsignal(signal.SIGTERM) == before


def test_checkpoints_by_step_are_few_and_the_newest(digits: ImageDataset, tmp_path: Path) -> None:
    train(digits, TrainingOptions(CMAP1, epochs=2, batch_size=64, run_dir=str(tmp_path), checkpoint_every=4))
    kept = sorted(file.name for file in (tmp_path / "checkpoints").iterdir())
    # 10 steps an epoch: 4, 8, 10, 12, 16, 20.
    assert kept == ["step-00000012.keras", "step-00000016.keras", "step-00000020.keras"]


def test_a_finished_run_resumes_to_its_result(digits: ImageDataset, finished: tuple[dict, TrainingResult]) -> None:
    options, first = finished
    assert train(digits, TrainingOptions(**options)).test_rmse == first.test_rmse


def flip_a_bit(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def code_instead_of_numbers(content: bytes) -> bytes:
    """A checkpoint whose configuration asks for arbitrary code, in a Lambda layer."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(written, "w") as other:
        for name in archive.namelist():
            other.writestr(name, b'{"class_name": "Lambda"}' if name == "config.json" else archive.read(name))
    return written.getvalue()


@pytest.fixture(scope="module")
def untrained(digits: ImageDataset) -> keras.Model:
    """A model that the finished run's checkpoints fit."""
    return train(digits, TrainingOptions(CMAP1, epochs=0)).model


@pytest.mark.parametrize(
    "damage",
    [flip_a_bit, lambda content: content[: len(content) // 2], lambda content: b"", lambda content: b"no archive"],
    ids=["bit", "half", "empty", "other"],
)
def test_a_damaged_checkpoint_is_said_and_the_one_before_it_taken(
    finished: tuple[dict, TrainingResult], untrained: keras.Model, capsys: pytest.CaptureFixture, damage
) -> None:
    options, _ = finished
    before, newest = sorted(Path(options["run_dir"]).glob("checkpoints/*"))
    newest.write_bytes(damage(newest.read_bytes()))
    with RunDirectory(
        options["run_dir"], TrainingOptions(**options).settings(images=640), resume=True
    ) as run_directory:
        step, _ = run_directory.restore(untrained)
    said = capsys.readouterr().err.splitlines()
    assert len([line for line in said if f"{newest} is damaged" in line]) == 1
    assert f"step-{step:08d}" == before.stem
    taken = untrained.get_weights()
    untrained.load_weights(before)
    for one, two in zip(taken, untrained.get_weights()):
        np.testing.assert_array_equal(one, two)


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(
    digits: ImageDataset, finished: tuple[dict, TrainingResult]
) -> None:
    options, first = finished
    newest = max(Path(options["run_dir"]).glob("checkpoints/*"))
    newest.write_bytes(flip_a_bit(newest.read_bytes()))
    assert train(digits, TrainingOptions(**options)).test_rmse == first.test_rmse


def test_a_checkpoints_configuration_is_never_run(
    digits: ImageDataset, finished: tuple[dict, TrainingResult], capsys: pytest.CaptureFixture
) -> None:
    options, first = finished
    for checkpoint in Path(options["run_dir"]).glob("checkpoints/*"):
        checkpoint.write_bytes(code_instead_of_numbers(checkpoint.read_bytes()))
    assert train(digits, TrainingOptions(**options)).test_rmse == first.test_rmse
    assert "damaged" not in capsys.readouterr().err


def test_a_run_with_no_usable_checkpoint_is_not_started_anew_in_silence(
    digits: ImageDataset, finished: tuple[dict, TrainingResult]
) -> None:
    options, _ = finished
    for file in Path(options["run_dir"]).glob("checkpoints/*"):
        file.write_bytes(b"")
    with pytest.raises(RunError, match="none of the 2 checkpoints"):
        train(digits, TrainingOptions(**options))


def test_a_run_directory_in_use_is_refused_until_its_run_ends(digits: ImageDataset, tmp_path: Path) -> None:
    settings = TrainingOptions(CMAP1, epochs=1).settings(images=640)
    with RunDirectory(tmp_path, settings, resume=False), pytest.raises(InputError, match="in use by another run"):
        RunDirectory(tmp_path, settings, resume=True)
    with RunDirectory(tmp_path, settings, resume=True):
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
def test_a_run_directory_of_another_run_is_refused_and_left_alone(
    digits: ImageDataset, finished: tuple[dict, TrainingResult], tmp_path: Path, change: dict, message: str
) -> None:
    options, _ = finished
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(InputError, match=message):
        train(digits, TrainingOptions(**options | change))
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_tensorboard_gets_scalars_and_pictures_each_epoch(finished_run: tuple[Path, TrainingResult]) -> None:
    logs = finished_run[0] / "logs"
    scalars = EventAccumulator(str(logs / "train")).Reload()
    assert [event.step for event in scalars.Tensors("epoch_rmse")] == [0, 1]
    pictures = EventAccumulator(str(logs / "pictures"), size_guidance={"tensors": 0}).Reload()
    for name in ("1_original", "2_code", "3_reconstruction"):
        events = pictures.Tensors(name)
        assert [event.step for event in events] == [0, 1]
        # Width, height, then five PNGs.
        assert len(events[0].tensor_proto.string_val) == 2 + 5


def state_of(checkpoint: Path) -> list[bytes]:
    """Every number in a checkpoint: weights, optimizer, progress. Names differ between the models of one process."""
    with zipfile.ZipFile(checkpoint) as archive:
        numbers = [archive.read("progress.json")]
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
            file.visititems(lambda _, item: numbers.append(item[()].tobytes()) if hasattr(item, "dtype") else None)
    return sorted(numbers)


def test_the_test_images_are_looked_at_after_epochs_and_nothing_else_changes(
    digits: ImageDataset, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    states = []
    for every, epochs in ((0, []), (1, [0, 1, 2, 3]), (2, [1, 3])):
        run_dir = tmp_path / str(every)
        # In an epoch's middle too: 640 images are 20 steps.
        options = {"architecture": CMAP1, "epochs": 4, "run_dir": str(run_dir), "checkpoint_every": 10}
        result = train(digits, TrainingOptions(**options, validate_every=every))
        logged = EventAccumulator(str(run_dir / "logs" / "train")).Reload()
        if epochs:
            validated = logged.Tensors("epoch_test_rmse")
            assert [event.step for event in validated] == epochs
            assert tf.make_ndarray(validated[-1].tensor_proto) == pytest.approx(result.test_rmse, rel=1e-6)
        assert capsys.readouterr().out.count("test RMSE") == len(epochs)
        states.append(state_of(max((run_dir / "checkpoints").iterdir())))
    assert states[0] == states[1] == states[2]


@pytest.mark.parametrize("validate_every", [0, 3])
def test_a_run_of_before_validation_can_be_resumed_with_and_without(tmp_path: Path, validate_every: int) -> None:
    def opened(resume: bool, **options: Any) -> RunDirectory:
        return RunDirectory(tmp_path, TrainingOptions(CMAP1, epochs=1, **options).settings(images=640), resume)

    with opened(resume=False):
        assert "validate_every" not in json.loads((tmp_path / "run.json").read_text())
    with opened(resume=True, validate_every=validate_every):
        pass


def test_a_run_says_what_it_reads_before_it_trains(digits: ImageDataset, capsys: pytest.CaptureFixture) -> None:
    train(digits, TrainingOptions(CMAP1, epochs=0))
    assert [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[:4]] == [
        ["data", "mnist_5k: 640 training and 100 test images of 28x28x1, in memory"],
        ["model", "filters 1; pools 4x4; kernels 5x5: 51 parameters"],
        ["training", "recipe default; 640 pictures: 20 steps an epoch, 0 epochs"],
        ["stop", "Ctrl-C; nothing is kept of a run without --run_dir"],
    ]


def test_run_json_says_what_the_run_was_started_with(digits: ImageDataset, tmp_path: Path) -> None:
    train(digits, TrainingOptions(CMAP1, epochs=0, run_dir=str(tmp_path)))
    settings = json.loads((tmp_path / "run.json").read_text())
    assert settings["dataset"] == "mnist_5k"
    assert settings["architecture"]["filters"] == [1]
    assert settings["batch_size"] == 32


@pytest.mark.parametrize(
    ("filters", "pool_sizes", "earlier_peak"), [((1,), (4,), None), ((4, 2), (2, 2), 0.0212), ((8,), (4,), 0.03)]
)
def test_a_run_of_another_versions_learning_rate_is_not_gone_on_with(
    tmp_path: Path, filters, pool_sizes, earlier_peak: float | None
) -> None:
    settings = TrainingOptions(Architecture(filters, pool_sizes)).settings(images=640)
    for resume in (False, True):
        with RunDirectory(tmp_path, settings, resume):
            pass
    recorded = read_with_checksum(tmp_path / "run.json")
    # A run of before it was recorded.
    (tmp_path / "run.json").write_text(
        with_checksum({name: value for name, value in recorded.items() if name != "peak_learning_rate"})
    )
    if earlier_peak is None:
        with RunDirectory(tmp_path, settings, resume=True):
            pass
    else:
        with pytest.raises(InputError, match=f"resume: .* of another version, .*{earlier_peak}.* start anew"):
            RunDirectory(tmp_path, settings, resume=True)


def test_a_run_with_a_learning_rate_of_ones_own_is_every_versions(tmp_path: Path) -> None:
    settings = TrainingOptions(Architecture((8,), (4,)), learning_rate=0.01).settings(images=640)
    with RunDirectory(tmp_path, settings, resume=False):
        assert "peak_learning_rate" not in read_with_checksum(tmp_path / "run.json")
    with RunDirectory(tmp_path, settings, resume=True):
        pass
