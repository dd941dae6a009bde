"""A run that is resumed with more epochs than it was started with."""

from pathlib import Path

import numpy as np
import pytest

from deconv_ae.data import ImageDataset
from deconv_ae.model.presets import PRESETS
from deconv_ae.saved_model.exporting import make_card
from deconv_ae.training import TrainingOptions, TrainingResult, train

FIXED = {"architecture": PRESETS["cmap1_pool4"].architecture, "batch_size": 8}


def run(images: ImageDataset, run_dir: Path, recipe: str, epochs: int, resume: bool = False) -> TrainingResult:
    return train(images, TrainingOptions(**FIXED, recipe=recipe, epochs=epochs, run_dir=str(run_dir), resume=resume))


@pytest.mark.parametrize(("recipe", "as_if_from_the_start"), [("cntk", True), ("default", False)])
def test_extended_run_equals_longer_run_or_says_it_differs(
    colour_images: ImageDataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    recipe: str,
    as_if_from_the_start: bool,
) -> None:
    longer = run(colour_images, tmp_path / "longer", recipe, epochs=3)
    run(colour_images, tmp_path / "run", recipe, epochs=1)
    capsys.readouterr()
    extended = run(colour_images, tmp_path / "run", recipe, epochs=3, resume=True)
    said = " ".join(capsys.readouterr().out.split())
    assert "resumed after epoch 1" in said
    assert [epoch.number for epoch in extended.history] == [0, 1, 2, 3]
    same = [np.array_equal(one, two) for one, two in zip(extended.model.get_weights(), longer.model.get_weights())]
    assert all(same) == as_if_from_the_start
    assert ("planned for --epochs=1 and rises again, so the weights will differ" in said) != as_if_from_the_start
    recorded = make_card(extended, colour_images).recipe
    assert recorded.epochs == 3
    assert recorded.extended_after_epochs == (() if as_if_from_the_start else (1,))

    again = run(colour_images, tmp_path / "run", recipe, epochs=3, resume=True)
    assert "resumed complete, after epoch 3; a larger --epochs extends it" in " ".join(capsys.readouterr().out.split())
    assert again.test_rmse == extended.test_rmse
