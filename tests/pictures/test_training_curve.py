"""The figure of a run's history."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deconv_ae.errors import RunError
from deconv_ae.pictures.training_curve import draw_training_curve, training_curve
from deconv_ae.training.history import Epoch

HISTORY = [Epoch(0, 0.5), Epoch(1, 0.25, 0.3), Epoch(2, 0.2), Epoch(3, 0.15, 0.2)]


def test_curve_shows_both_splits_and_the_mean_image() -> None:
    (axis,) = training_curve(HISTORY, 0.26).axes
    drawn = {line.get_label(): np.array(line.get_xydata()).tolist() for line in axis.lines}
    assert drawn["training images"] == [[0, 0.5], [1, 0.25], [2, 0.2], [3, 0.15]]
    assert drawn["test images"] == [[1, 0.3], [3, 0.2]]
    assert {height for _, height in drawn["mean training image"]} == {0.26}
    assert axis.get_ylim()[0] == 0


def test_without_a_test_rmse_there_is_no_test_curve() -> None:
    (axis,) = training_curve([Epoch(0, 0.5)], 0.26).axes
    assert [line.get_label() for line in axis.lines] == ["training images", "mean training image"]


def test_curve_is_drawn_into_each_file_unless_history_is_empty(tmp_path: Path) -> None:
    files = [tmp_path / "one.png", tmp_path / "other.png"]
    draw_training_curve([], 0.26, files)
    assert not list(tmp_path.iterdir())
    draw_training_curve(HISTORY, 0.26, files)
    assert sorted(tmp_path.iterdir()) == files
    assert Image.open(files[0]).size == (900, 540)


def test_an_error_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"gone/curve.png cannot be drawn: No such file"):
        draw_training_curve(HISTORY, 0.26, [tmp_path / "gone" / "curve.png"])
