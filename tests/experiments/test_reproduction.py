"""Reproducing the published table: runs, kept outcomes, summaries and figures."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from experiments import publish, runs
from experiments.runs import Outcome, Run, read_outcomes, reproduce
from experiments.summary import markdown, summarize
from experiments.what_switches_carry import measure_switches
from markdown_page import read_section, replace_section

from deconv_ae.data import ImageDataset
from deconv_ae.model.presets import PRESETS
from deconv_ae.model.recipes import RECIPES
from deconv_ae.saved_model.serving import ServedAutoencoder
from deconv_ae.training import TrainingOptions, schedule


def outcome(seed: int, test_rmse: float | None, preset: str = "cmap1_pool4", silent_channels: int = 0) -> Outcome:
    failure = "a ReLU has died" if test_rmse is None else None
    settings = {"options": {"epochs": 3}}
    return Outcome(Run(preset, "default", seed), settings, test_rmse, test_rmse, silent_channels, failure, 10.0, [])


@pytest.fixture(scope="module", autouse=True)
def short_epochs() -> Iterator[None]:
    """Shortens a recipe's epoch to 40 steps, a fifth of the usual number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "STEPS_FOR_A_RECIPES_EPOCH", 40)
        yield


@pytest.fixture(scope="module")
def reproduced(digits: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Outcome], Path]:
    directory = tmp_path_factory.mktemp("reproduction")
    return list(reproduce(digits, ["cmap1_pool4"], ["cntk", "default"], 1, directory)), directory


def test_each_recipe_trains_and_exports_a_model(reproduced: tuple[list[Outcome], Path]) -> None:
    outcomes, directory = reproduced
    assert [outcome.run.name for outcome in outcomes] == ["cmap1_pool4-cntk-0", "cmap1_pool4-default-0"]
    for each in outcomes:
        served = ServedAutoencoder(directory / "models" / f"cmap1_pool4-{each.run.recipe}")
        assert served.card.test_rmse == each.test_rmse
        seen, rmse = zip(*each.curve)
        assert list(seen) == sorted(seen)
        assert rmse[-1] < rmse[0]


def test_only_runs_with_stale_or_unreadable_outcomes_are_trained_again(
    reproduced: tuple[list[Outcome], Path], digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes, directory = reproduced
    trained: list[Run] = []

    def record_run(run: Run, *_) -> Outcome:
        trained.append(run)
        return outcomes[0]

    monkeypatch.setattr(runs, "_train", record_run)
    assert list(reproduce(digits, ["cmap1_pool4"], ["cntk", "default"], 1, directory)) == outcomes
    assert trained == []
    file = directory / "runs" / "cmap1_pool4-cntk-0.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"settings": content["settings"] | {"batch_size": 7}}))
    list(reproduce(digits, ["cmap1_pool4"], ["cntk"], 1, directory))
    file.write_text('{"half": ')
    list(reproduce(digits, ["cmap1_pool4"], ["cntk"], 1, directory))
    assert trained == [Run("cmap1_pool4", "cntk", 0)] * 2


def test_every_valid_outcome_is_read_in_order(
    reproduced: tuple[list[Outcome], Path], digits: ImageDataset, tmp_path: Path
) -> None:
    outcomes, _ = reproduced
    (tmp_path / "runs").mkdir()
    for each in reversed(outcomes):
        (tmp_path / "runs" / f"{each.run.name}.json").write_text(json.dumps(dataclasses.asdict(each)))
    (tmp_path / "runs" / "two_layer-cntk-0.json").write_text('{"half": ')
    stale = dataclasses.replace(outcomes[0], run=Run("cmap1_pool2", "cntk", 0))
    (tmp_path / "runs" / "cmap1_pool2-cntk-0.json").write_text(json.dumps(dataclasses.asdict(stale)))
    assert read_outcomes(digits, tmp_path) == outcomes


def test_rows_have_median_best_worst_and_collapsed_runs() -> None:
    rmses = [0.2, 0.18, None, 0.3]
    rows = summarize([outcome(seed, rmse) for seed, rmse in enumerate(rmses)] + [outcome(0, 0.1, "two_layer", 1)])
    assert [(row.preset, row.seeds, row.collapsed) for row in rows] == [("cmap1_pool4", 4, 1), ("two_layer", 1, 1)]
    assert (rows[0].median_test_rmse, rows[0].best_test_rmse, rows[0].worst_test_rmse) == (0.2, 0.18, 0.3)
    assert rows[0].published_test_rmse == 0.223
    assert rows[1].published_test_rmse is None
    assert "| 0.2000 | 0.1800 | 0.3000 | 1 of 4 |" in markdown(rows)


def test_preset_with_only_failed_runs_has_no_rmse() -> None:
    (row,) = summarize([outcome(0, None)])
    assert row.median_test_rmse is None
    assert "| - | - | - | - | 1 of 1 |" in markdown([row])


def test_report_has_tables_and_figures(reproduced: tuple[list[Outcome], Path], digits: ImageDataset) -> None:
    outcomes, directory = reproduced
    names = {file.name for file in publish.write_report(outcomes, digits.test, directory)}
    tables = {"results.md", "results.json", "published.md", "switches.md"}
    figures = {"training_curves.png", "autoencoder.png", "comparison.png", "kernels.png", "switches.png"}
    assert names == tables | figures
    epochs = TrainingOptions(PRESETS["cmap1_pool4"].architecture).schedule(len(digits.train)).epochs
    assert [row["epochs"] for row in json.loads((directory / "results.json").read_text())] == [epochs, epochs]
    assert epochs > RECIPES["default"].epochs
    assert all((directory / name).stat().st_size > 5000 for name in figures)


def test_shuffled_or_centred_switches_raise_the_rmse(exported: Path, digits: ImageDataset) -> None:
    measured = measure_switches(ServedAutoencoder(exported), digits.test)
    assert measured.own_rmse == pytest.approx(ServedAutoencoder(exported).rmse(digits.test), rel=1e-5)
    assert measured.own_rmse < measured.centred_rmse < measured.zeros_rmse
    assert measured.own_rmse < measured.shuffled_rmse


def test_reference_page_keeps_the_tables_of_compare_starts(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(publish.reference_page(tmp_path, "old results", "switches"))
    replace_section(page, "starts-mnist_5k", "| filters |")
    page.write_text(publish.reference_page(tmp_path, "new results", "switches"))
    assert read_section(page, "starts-mnist_5k")[1].strip() == "| filters |"
    assert "new results" in page.read_text() and "old results" not in page.read_text()
