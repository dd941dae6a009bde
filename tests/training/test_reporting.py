"""A run's messages while it trains, on a terminal and in a file."""

import contextlib
import io
import re

import keras
import pytest

from deconv_ae.data import ImageDataset
from deconv_ae.errors import RunError
from deconv_ae.model.presets import PRESETS
from deconv_ae.training import TrainingOptions, train

OPTIONS = {"architecture": PRESETS["cmap1_pool4"].architecture, "batch_size": 8, "epochs": 12}
EPOCH_LINE = r"epoch +\d+/12 training RMSE 0\.\d{4}, test RMSE 0\.\d{4}"


class Terminal(io.StringIO):
    """A stream that counts as a terminal."""

    def isatty(self) -> bool:
        return True


class FailsInTheFirstEpoch(keras.callbacks.Callback):
    """Raises an error within the first epoch."""

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if batch >= 8:
            raise RunError("as if the disk were full")


def printed_lines(stream: io.StringIO, images: ImageDataset, **options) -> list[str]:
    with contextlib.redirect_stdout(stream):
        train(images, TrainingOptions(**OPTIONS | options))
    return stream.getvalue().splitlines()


def test_file_gets_a_line_per_epoch_with_time_left(colour_images: ImageDataset) -> None:
    lines = printed_lines(io.StringIO(), colour_images)
    assert not any("\r" in line for line in lines)
    epoch_lines = [line for line in lines if line.startswith("epoch")]
    assert len(epoch_lines) == 12
    # The first epoch is one execution. The time left is estimated only from later executions.
    assert re.fullmatch(EPOCH_LINE, epoch_lines[0])
    assert all(re.fullmatch(EPOCH_LINE + r", \d+ (s|min) left", line) for line in epoch_lines[1:-1])
    assert re.fullmatch(EPOCH_LINE, epoch_lines[-1])


def test_terminal_redraws_one_progress_line_per_epoch(
    colour_images: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("deconv_ae.training.reporting.REDRAWN_SECONDS", 0)
    terminal = Terminal()
    printed_lines(terminal, colour_images, validate_every=0)
    progress_lines = [line for line in terminal.getvalue().split("\r") if "[" in line]
    assert progress_lines
    assert all(len(line) < 40 and "\n" not in line for line in progress_lines)
    # Spaces replace the progress line before each epoch's line, so only the epochs' lines remain.
    assert len(re.findall(r"\r +\repoch +\d+/12 training RMSE", terminal.getvalue())) == 12


def test_file_gets_lines_within_a_long_epoch(colour_images: ImageDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deconv_ae.training.reporting.LINE_SECONDS", 0)
    lines = printed_lines(io.StringIO(), colour_images, batch_size=2, validate_every=0)
    progress_lines = [line for line in lines if "[" in line]
    assert len(progress_lines) >= 12
    assert all(
        re.fullmatch(r"epoch +\d+/12 \[=* *\] RMSE 0\.\d{4}(, \d+ (s|min) left)?", line) for line in progress_lines
    )


def test_failed_run_clears_its_progress_line(colour_images: ImageDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deconv_ae.training.reporting.REDRAWN_SECONDS", 0)
    terminal = Terminal()
    with contextlib.redirect_stdout(terminal), pytest.raises(RunError):
        train(colour_images, TrainingOptions(**OPTIONS | {"batch_size": 2}), callbacks=[FailsInTheFirstEpoch()])
    assert re.search(r"\repoch  1/12 \[[^\r]+\r +\r$", terminal.getvalue())
