"""Numbers in the README's prose agree with the tables."""

import re
from pathlib import Path

import pytest

from deconv_ae.model.presets import PRESETS
from deconv_ae.saved_model.model_card import ModelCard

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "saved_models" / "reference"
README = ROOT / "README.md"
BENCHMARKS = ROOT / "scripts" / "benchmarks" / "README.md"
Row = dict[str, str]


def prose(page: Path) -> str:
    """The page's text on one line."""
    return " ".join(page.read_text(encoding="utf-8").split())


def rows(page: Path, *columns: str) -> list[Row]:
    """The rows of the page's first table with these columns."""
    for table in re.findall(r"(?:^\|.*\n)+", page.read_text(encoding="utf-8"), re.M):
        header, _, *lines = ([cell.strip() for cell in line.strip("|\n").split(" | ")] for line in table.splitlines())
        if set(columns) <= set(header):
            return [dict(zip(header, line)) for line in lines]
    raise AssertionError(f"{page} has no table with {columns}")


def number(cell: str) -> float:
    """The number at the beginning of a cell."""
    (digits,) = re.findall(r"^[\d.,]+", cell)
    return float(digits.replace(",", ""))


def spread(values: list[float]) -> tuple[float, float]:
    return min(values), max(values)


def numbers_in_prose(pattern: str) -> tuple[float, ...]:
    """The numbers in the only sentence of the README that matches."""
    (found,) = re.findall(pattern, prose(README))
    return tuple(float(each.replace(",", "")) for each in ([found] if isinstance(found, str) else found))


def training(column: str) -> tuple[float, float]:
    return spread([number(row[column]) for row in rows(BENCHMARKS, "model", column)])


def of_the_best_model(*columns: str) -> tuple[float, ...]:
    table = rows(REFERENCE / "README.md", "model", "own switches")
    best = min(table, key=lambda row: number(row["own switches"]))
    return tuple(number(best[column]) for column in columns)


def of_cmap1_pool4(*columns: str) -> tuple[float, ...]:
    (row,) = (row for row in rows(REFERENCE / "README.md", "model", "own switches") if row["model"] == "cmap1_pool4")
    return tuple(number(row[column]) for column in columns)


def milliseconds_of_one_picture() -> tuple[float, float]:
    table = rows(BENCHMARKS, "preset", "signature", "ONNX Runtime")
    alone = [row for row in table if row["batch"] == "1" and row["signature"] == "serving_default"]
    return spread([min(number(row[file]) for file in ("ONNX Runtime", "LiteRT", "OpenVINO")) for row in alone])


def size(name: str) -> tuple[int, int]:
    counted = ModelCard.read(REFERENCE / name).size_per_image
    return counted.pixels, counted.code_values


SENTENCES = {
    "what the switches carry": (
        r"with an RMSE of ([\d.]+); with the same switches shuffled it is ([\d.]+), and ([\d.]+) with each",
        lambda: of_the_best_model("own switches", "shuffled", "centred"),
    ),
    "learnt numbers": (
        r"with (\d+) learnt numbers",
        lambda: (min((ModelCard.read(REFERENCE / name) for name in PRESETS), key=lambda c: c.test_rmse).parameters,),
    ),
    "a factor in numbers": (
        r"calls (\d+) numbers becoming (\d+) \"a factor of (\d+)\"",
        lambda: (*size("cmap1_pool4"), *of_cmap1_pool4("factor in numbers")),
    ),
    "a factor in bits": (r"with them, the factor is (\d+\.\d+)", lambda: of_cmap1_pool4("factor with switches")),
    "a black image": (r"A black image has ([\d.]+) on MNIST", lambda: of_cmap1_pool4("no model: zeros")),
    "training beside PyTorch": (
        r"trains ([\d.]+) to ([\d.]+) times as fast as the better of PyTorch",
        lambda: training("to the better PyTorch"),
    ),
    "training beside plain Keras": (
        r"([\d.]+) to ([\d.]+) times as fast as plain Keras",
        lambda: training("deconv_ae to plain Keras"),
    ),
    "one picture": (r"one picture in ([\d.]+) to ([\d.]+) ms", milliseconds_of_one_picture),
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_numbers_in_prose_agree_with_tables(sentence: str) -> None:
    pattern, of_tables = SENTENCES[sentence]
    assert numbers_in_prose(pattern) == of_tables()


def test_results_agree_with_the_full_table() -> None:
    everything = rows(REFERENCE / "README.md", "preset", "recipe", "collapsed")
    (ours,) = {column for column in rows(README, "preset", "published")[0] if column.startswith("ours")}
    for row in rows(README, "preset", "published"):
        (held,) = (each for each in everything if (each["preset"], each["recipe"]) == (row["preset"], "default"))
        assert (row["published"], row[ours], row["worst seed"]) == (
            held["published test"],
            held["test, median"],
            held["test, worst"],
        )
        assert held["collapsed"].endswith(f"of {re.findall('[0-9]+', ours)[0]}")


def test_cards_agree_with_the_reference_page() -> None:
    for row in rows(REFERENCE / "README.md", "model", "parameters", "seed"):
        name = re.findall(r"\((\w+)\)", row["model"])[-1]
        card = ModelCard.read(REFERENCE / name)
        assert row["training RMSE"] == f"{card.training_rmse:.4f}"
        assert row["test RMSE"] == f"{card.test_rmse:.4f}"
        assert number(row["parameters"]) == card.parameters
