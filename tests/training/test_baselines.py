"""Baselines, silent channels, the history, and reasons not to keep a model."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from deconv_ae import Architecture
from deconv_ae.data import ImageDataset
from deconv_ae.files import read_with_checksum
from deconv_ae.training import TrainingOptions, TrainingResult, train
from deconv_ae.training.evaluation import baselines, find_problem, silent_channels, thumbnail_rmse
from deconv_ae.training.history import Epoch

SMALL = Architecture((2,), (4,))


def numpy_rmse(images: np.ndarray, reconstruction: np.ndarray) -> float:
    return float(np.sqrt(np.mean((images - reconstruction) ** 2, axis=(1, 2, 3))).mean())


@pytest.mark.parametrize("name", ["digits", "colour_images"])
def test_mean_image_and_black_rmse_agree_with_numpy(name: str, request: pytest.FixtureRequest) -> None:
    dataset: ImageDataset = request.getfixturevalue(name)
    rmses = baselines(dataset.train, dataset.test)
    train_images, test_images = dataset.train / 256, dataset.test / 256
    assert rmses.mean_image_rmse == pytest.approx(numpy_rmse(test_images, train_images.mean(axis=0)), rel=1e-5)
    assert rmses.black_rmse == pytest.approx(numpy_rmse(test_images, 0 * test_images), rel=1e-5)


def test_thumbnail_keeps_smooth_pictures_and_loses_a_chessboard() -> None:
    rows, columns = np.mgrid[0:16, 0:16]
    smooth = (100 + 4 * rows + 2 * columns).astype(np.uint8)[None, ..., None]
    chessboard = (255 * ((rows + columns) % 2)).astype(np.uint8)[None, ..., None]
    assert thumbnail_rmse(smooth, 64) < 0.01
    assert thumbnail_rmse(chessboard, 64) > 0.4
    assert thumbnail_rmse(chessboard, 256) == 0
    assert 0 < thumbnail_rmse(smooth, 64) - thumbnail_rmse(smooth, 255) < 0.01


def test_baselines_read_a_batch_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch_sizes = []
    images = np.full((2500, 2, 2, 1), 100, np.uint8)
    monkeypatch.setattr(
        "deconv_ae.training.evaluation.per_image_rmse", lambda a, b: batch_sizes.append(len(a)) or a[:, 0, 0, 0]
    )
    baselines(images, images)
    assert max(batch_sizes) == 1000


CODES: dict[str, tuple[Callable[[tf.Tensor], tf.Tensor], int]] = {
    "all fire": (lambda batch: tf.ones((len(batch), 2, 2, 3)), 0),
    "one is silent": (lambda batch: tf.ones((len(batch), 2, 2, 3)) * [1.0, 0.0, 1.0], 1),
    "all are silent": (lambda batch: tf.zeros((len(batch), 2, 2, 3)), 3),
    "one fires in the last image alone": (lambda batch: tf.cast(batch > 0.5, tf.float32), 0),
}


@pytest.mark.parametrize(("encode", "silent_count"), CODES.values(), ids=CODES)
def test_channel_is_silent_if_zero_in_every_image(encode: Callable, silent_count: int) -> None:
    images = np.zeros((1500, 2, 2, 1), np.uint8)
    images[-1] = 255
    assert silent_channels(encode, images) == silent_count


@pytest.mark.parametrize(
    ("test_rmse", "initial_loss", "final_loss", "message"),
    [
        (0.1, 0.3, 0.1, None),
        (0.1, None, 0.1, None),
        (0.1, 0.1, 0.1, None),
        (0.1, 0.1, 0.1005, None),
        (0.2, 0.3, 0.2, "no better than the mean training image, a test RMSE of 0.2000 against 0.2000"),
        (1.4, None, 1.4, "no better than the mean training image"),
        (float("nan"), 0.3, 0.1, "no better than the mean training image"),
        (0.15, 0.1, 0.15, "the loss rose over the run, from 0.1000 to 0.1500"),
    ],
)
def test_problem_names_the_reason_not_to_keep_a_model(
    test_rmse: float, initial_loss: float | None, final_loss: float, message: str | None
) -> None:
    reason = find_problem(test_rmse, 0.2, initial_loss, final_loss)
    assert (reason is None) if message is None else (message in str(reason))


OPTIONS = {"architecture": SMALL, "epochs": 4, "batch_size": 32, "validate_every": 2}


@pytest.fixture(scope="module")
def finished_run(digits: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingResult]:
    """The directory and the result of a short run. Tests do not change the directory."""
    run_dir = tmp_path_factory.mktemp("finished")
    return run_dir, train(digits, TrainingOptions(**OPTIONS, run_dir=str(run_dir)))


@pytest.fixture
def resumable_run(finished_run: tuple[Path, TrainingResult], tmp_path: Path) -> tuple[Path, TrainingResult]:
    """A copy of the finished run, to resume."""
    run_dir, result = finished_run
    return Path(shutil.copytree(run_dir, tmp_path / "run")), result


def test_result_compares_model_with_baselines(finished_run: tuple[Path, TrainingResult]) -> None:
    _, result = finished_run
    assert result.problem is None
    assert str(result).startswith(f"training RMSE {result.training_rmse:.4f}, test RMSE {result.test_rmse:.4f}; ")
    assert f"the mean training image {result.baselines.mean_image_rmse:.4f}, black 0." in str(result)
    assert f"a thumbnail with at most as many numbers as the code {result.baselines.thumbnail_rmse:.4f}" in str(result)
    assert "silent" not in str(result)
    assert [epoch.number for epoch in result.history] == [0, 1, 2, 3, 4]
    assert result.history[-1].test_rmse == pytest.approx(result.test_rmse, rel=1e-5)


def test_untrained_model_has_a_problem(digits: ImageDataset) -> None:
    untrained = train(digits, TrainingOptions(SMALL, recipe="cntk", epochs=0))
    assert "no better than the mean training image" in str(untrained.problem)
    assert [epoch.number for epoch in untrained.history] == [0]


def test_result_counts_silent_channels(digits: ImageDataset) -> None:
    dark_digits = ImageDataset("dark", digits.train // 2, np.zeros_like(digits.test[:5]), source=digits.source)
    result = train(dark_digits, TrainingOptions(SMALL, recipe="cntk", epochs=0))
    assert str(result).endswith("silent, 0 in every test image: 2 of the code's 2 channels")


def test_resumed_run_keeps_its_history_unless_damaged(
    digits: ImageDataset, resumable_run: tuple[Path, TrainingResult], capsys: pytest.CaptureFixture
) -> None:
    run_dir, first = resumable_run
    options = TrainingOptions(**OPTIONS, run_dir=str(run_dir), resume=True)
    resumed = train(digits, options)
    assert (resumed.history, resumed.problem) == (first.history, first.problem)
    # The run now looks as if it had been killed after it wrote the last epoch's history, but before its checkpoint.
    max((run_dir / "checkpoints").iterdir()).unlink()
    assert train(digits, options).history == first.history

    (run_dir / "history.json").write_text("{}")
    resumed = train(digits, options)
    assert resumed.history == []
    assert "history.json is damaged" in capsys.readouterr().out


def test_run_without_history_file_is_resumed(digits: ImageDataset, resumable_run: tuple[Path, TrainingResult]) -> None:
    run_dir, first = resumable_run
    (run_dir / "history.json").unlink()
    max((run_dir / "checkpoints").iterdir()).unlink()
    resumed = train(digits, TrainingOptions(**OPTIONS, run_dir=str(run_dir), resume=True))
    assert resumed.history == first.history[4:]
    assert resumed.problem == first.problem


def test_history_file_is_plain_json(finished_run: tuple[Path, TrainingResult]) -> None:
    run_dir, result = finished_run
    saved_epochs = read_with_checksum(run_dir / "history.json")["epochs"]
    assert [Epoch(**epoch) for epoch in saved_epochs] == result.history
    assert [epoch["test_rmse"] is None for epoch in saved_epochs] == [True, True, False, True, False]
