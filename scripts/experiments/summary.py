"""Summarizes runs over several seeds, and compares them with the published table."""

import dataclasses
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markdown_page import markdown_table

from deconv_ae.model.presets import PRESETS
from experiments.runs import Outcome


@dataclass(frozen=True)
class Row:
    """The results of a preset and a recipe over all seeds.

    Published RMSEs are None for a preset without published results. Our RMSEs are None if every run failed. All seeds
    of a preset and a recipe have the same number of epochs.
    """

    preset: str
    recipe: str
    seeds: int
    collapsed: int
    epochs: int
    published_training_rmse: float | None
    published_test_rmse: float | None
    median_training_rmse: float | None
    median_test_rmse: float | None
    best_test_rmse: float | None
    worst_test_rmse: float | None


def summarize(outcomes: Iterable[Outcome]) -> list[Row]:
    """Makes a row per preset and recipe, in the order of their first outcomes."""
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.run.preset, outcome.run.recipe), []).append(outcome)
    return [_row(preset, recipe, group) for (preset, recipe), group in groups.items()]


def _row(preset: str, recipe: str, outcomes: Sequence[Outcome]) -> Row:
    finished = [outcome for outcome in outcomes if outcome.failure is None]
    test_rmses = [outcome.test_rmse for outcome in finished if outcome.test_rmse is not None]
    training_rmses = [outcome.training_rmse for outcome in finished if outcome.training_rmse is not None]
    return Row(
        preset=preset,
        recipe=recipe,
        seeds=len(outcomes),
        collapsed=sum(outcome.is_collapsed for outcome in outcomes),
        epochs=outcomes[0].settings["options"]["epochs"],
        published_training_rmse=PRESETS[preset].published_training_rmse,
        published_test_rmse=PRESETS[preset].published_test_rmse,
        median_training_rmse=statistics.median(training_rmses) if training_rmses else None,
        median_test_rmse=statistics.median(test_rmses) if test_rmses else None,
        best_test_rmse=min(test_rmses, default=None),
        worst_test_rmse=max(test_rmses, default=None),
    )


def markdown(rows: Sequence[Row]) -> str:
    """Makes the Markdown table, with the published RMSEs beside ours.

    >>> print(markdown([Row("two_layer", "cntk", 3, 1, 3, None, None, 0.3, 0.31, 0.3, 0.32)]))
    | preset | recipe | epochs | published training | published test | training, median | test, median | test, best |
    test, worst | collapsed |
    | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
    | two_layer | cntk | 3 | - | - | 0.3000 | 0.3100 | 0.3000 | 0.3200 | 1 of 3 |
    """
    header = (
        *("preset", "recipe", "epochs", "published training", "published test", "training, median"),
        *("test, median", "test, best", "test, worst", "collapsed"),
    )
    lines = []
    for row in rows:
        published = (_number(value, 3) for value in (row.published_training_rmse, row.published_test_rmse))
        ours = (row.median_training_rmse, row.median_test_rmse, row.best_test_rmse, row.worst_test_rmse)
        lines.append(
            (
                *(row.preset, row.recipe, str(row.epochs), *published, *(_number(value, 4) for value in ours)),
                f"{row.collapsed} of {row.seeds}",
            )
        )
    return markdown_table(header, lines)


def published_markdown(rows: Sequence[Row], recipe: str) -> str:
    """Makes the short table: one recipe's test RMSE beside the published one.

    >>> print(published_markdown([Row("cmap1_pool4", "default", 20, 0, 3, 0.225, 0.223, 0.169, 0.1694, 0.1693,
    ...                               0.1696)], "default"))
    | preset | published | ours, median of 20 seeds | worst seed |
    | --- | --- | --- | --- |
    | cmap1_pool4 | 0.223 | 0.1694 | 0.1696 |
    """
    chosen = [row for row in rows if row.recipe == recipe]
    seeds = " or ".join(str(count) for count in sorted({row.seeds for row in chosen}))
    return markdown_table(
        ("preset", "published", f"ours, median of {seeds} seeds", "worst seed"),
        [
            (
                row.preset,
                _number(row.published_test_rmse, 3),
                _number(row.median_test_rmse, 4),
                _number(row.worst_test_rmse, 4),
            )
            for row in chosen
        ],
    )


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def as_json(rows: Sequence[Row]) -> str:
    return json.dumps([dataclasses.asdict(row) for row in rows], indent=2) + "\n"
