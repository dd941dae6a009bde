"""A run that is resumed with more epochs than it was started with."""

from pathlib import Path

import numpy as np
import pytest

from deconv_ae.data import ImageDataset
from deconv_ae.model.presets import PRESETS
from deconv_ae.saved_model.exporting import make_card
from deconv_ae.training import TrainingOptions, TrainingResult, train

OPTIONS = {"architecture": PRESETS["cmap1_pool4"].architecture, "batch_size": 8}


def run(images: ImageDataset, run_dir: Path, recipe: str, epochs: int, resume: bool = False) -> TrainingResult:
    return train(images, TrainingOptions(**OPTIONS, recipe=recipe, epochs=epochs, run_dir=str(run_dir), resume=resume))


@pytest.mark.parametrize(("recipe", "equals_longer_run"), [("cntk", True), ("default", False)])
def test_extended_run_equals_longer_run_or_says_it_differs(
    colour_images: ImageDataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    recipe: str,
    equals_longer_run: bool,
) -> None:
    longer = run(colour_images, tmp_path / "longer", recipe, epochs=3)
    run(colour_images, tmp_path / "run", recipe, epochs=1)
    capsys.readouterr()
    extended = run(colour_images, tmp_path / "run", recipe, epochs=3, resume=True)
    output = " ".join(capsys.readouterr().out.split())
    assert "resumed after epoch 1" in output
    assert [epoch.number for epoch in extended.history] == [0, 1, 2, 3]
    equal = [np.array_equal(one, two) for one, two in zip(extended.model.get_weights(), longer.model.get_weights())]
    assert all(equal) == equals_longer_run
    assert ("planned for --epochs=1 and rises again, so the weights will differ" in output) != equals_longer_run
    card_recipe = make_card(extended, colour_images).recipe
    assert card_recipe.epochs == 3
    assert card_recipe.extended_after_epochs == (() if equals_longer_run else (1,))

    rerun = run(colour_images, tmp_path / "run", recipe, epochs=3, resume=True)
    assert "resumed complete, after epoch 3; a larger --epochs extends it" in " ".join(capsys.readouterr().out.split())
    assert rerun.test_rmse == extended.test_rmse
