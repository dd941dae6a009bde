"""The table of architectures, which compares our start with plain starts."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from experiments import starts
from experiments.starts import OUR_START, PLAIN_STARTS, Trial, architectures_for, compare

from deconv_ae import Architecture
from deconv_ae.data import ImageDataset
from deconv_ae.model import recipes

SMALL = Architecture((2,), (4,))


@pytest.fixture(scope="module")
def compared(digits: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Trial], Path]:
    directory = tmp_path_factory.mktemp("starts")
    return list(compare(digits, [SMALL], 1, 1, directory)), directory


def test_our_start_has_the_lowest_rmse_under_the_same_schedule(compared: tuple[list[Trial], Path]) -> None:
    outcomes, _ = compared
    assert [outcome.start for outcome in outcomes] == [OUR_START, *PLAIN_STARTS]
    assert len({json.dumps(outcome.settings["schedule"]) for outcome in outcomes}) == 1
    rmses = {outcome.start: outcome.test_rmse for outcome in outcomes}
    assert len(set(rmses.values())) == len(rmses)
    # After 20 steps, models that started from plain random weights still reconstruct noise. The default recipe's model
    # does not, since least squares has fitted its decoder before the training.
    assert rmses[OUR_START] == min(filter(None, rmses.values()))


def test_only_runs_without_a_readable_outcome_are_trained_again(
    compared: tuple[list[Trial], Path], digits: ImageDataset
) -> None:
    outcomes, directory = compared
    assert list(compare(digits, [SMALL], 1, 1, directory)) == outcomes
    file = directory / "runs" / "2-4x4-He_0.01-0.json"
    file.write_text('{"half": ')
    later_outcomes = list(compare(digits, [SMALL], 1, 1, directory))
    assert [later.test_rmse for later in later_outcomes] == [outcome.test_rmse for outcome in outcomes]
    trained_starts = [later.start for later, first in zip(later_outcomes, outcomes) if later.seconds != first.seconds]
    assert trained_starts == ["He 0.01"]


def test_only_runs_of_a_changed_recipe_are_trained_again(
    compared: tuple[list[Trial], Path], digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, directory = compared
    outcomes = list(compare(digits, [SMALL], 1, 1, directory))
    monkeypatch.setattr(recipes, "ADAM_PEAK_LEARNING_RATE", 0.02)
    later_outcomes = list(compare(digits, [SMALL], 1, 1, directory))
    assert [later.start for later, first in zip(later_outcomes, outcomes) if later != first] == [OUR_START]


def test_architectures_too_large_for_images_are_left_out(digits: ImageDataset, colour_images: ImageDataset) -> None:
    assert len(starts.ARCHITECTURES) >= 12
    assert {len(architecture.filters) for architecture in architectures_for(digits)} == {1, 2, 3, 4}
    assert len(architectures_for(colour_images)) < len(architectures_for(digits))


def outcome(start: str, rmse: float | None, seed: int = 0) -> Trial:
    return Trial([16, 8], [[2, 2], [2, 3]], start, seed, {}, rmse, 0.2, 1.0)


def test_failed_run_is_stuck_and_counts_as_the_mean_image() -> None:
    ours = [outcome(OUR_START, rmse, seed) for seed, rmse in enumerate([0.1, None, 0.1, 0.197, 0.11])]
    plain = [outcome("He 0.003", None), outcome("Glorot 0.01", 0.1)]
    assert starts.table([*ours, *plain]).splitlines()[-1] == (
        "| 16, 8 | 2x2, 2x3 | 0.1000 (Glorot 0.01) | 0.1100 | 1.10 | 1.82 | 2 of 5 |"
    )


def test_section_names_data_and_schedule(compared: tuple[list[Trial], Path], digits: ImageDataset) -> None:
    outcomes, _ = compared
    first_line, blank_line, *rows = starts.section(
        replace(digits, name="folder:pictures/digits"), outcomes
    ).splitlines()
    assert first_line.startswith(
        "**digits**: 640 training and 100 test images of 28x28x1; 1 epoch of 20 steps, 32 images a step;"
    )
    assert not blank_line
    assert "\n".join(rows) == starts.table(outcomes)
