"""The README's numbers equal those of the tables and model cards that they come from."""

import functools
import operator
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
    """Returns the page without line breaks."""
    return " ".join(page.read_text(encoding="utf-8").split())


def tables(page: Path, *columns: str) -> list[list[Row]]:
    """Returns the rows of each of the page's tables with these columns."""
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", page.read_text(encoding="utf-8"), re.M):
        header, _, *lines = ([cell.strip() for cell in line.strip("|\n").split(" | ")] for line in table.splitlines())
        if set(columns) <= set(header):
            found.append([dict(zip(header, line)) for line in lines])
    assert found, f"{page} has no table with {columns}"
    return found


def rows(page: Path, *columns: str) -> list[Row]:
    """Returns the rows of the page's first table with these columns."""
    return tables(page, *columns)[0]


def number(cell: str) -> float:
    """Returns the number at the start of a cell."""
    (digits,) = re.findall(r"^[\d.,]+", cell)
    return float(digits.replace(",", ""))


def least_and_largest(values: list[float]) -> tuple[float, float]:
    return min(values), max(values)


def numbers_in_readme(pattern: str) -> tuple[float, ...]:
    """Returns the numbers in the README's only match of a pattern."""
    (found,) = re.findall(pattern, prose(README))
    return tuple(float(each.replace(",", "")) for each in ([found] if isinstance(found, str) else found))


def training_ratios(instruction_set: str) -> tuple[float, ...]:
    """Returns the models' least and largest speed-up over PyTorch, then over plain Keras."""
    ratios = ("deconv_ae's speed / the best PyTorch's", "deconv_ae's speed / plain Keras's")
    table = dict(zip(("AVX-512", "AVX2"), tables(BENCHMARKS, "model", *ratios), strict=True))[instruction_set]
    return tuple(each for ratio in ratios for each in least_and_largest([number(row[ratio]) for row in table]))


def cells_of_best_model(*columns: str) -> tuple[float, ...]:
    """Returns the numbers in these columns for the model with the lowest RMSE."""
    table = rows(REFERENCE / "README.md", "model", "own switches")
    best = min(table, key=lambda row: number(row["own switches"]))
    return tuple(number(best[column]) for column in columns)


def cells_of_cmap1_pool4(*columns: str) -> tuple[float, ...]:
    (row,) = (row for row in rows(REFERENCE / "README.md", "model", "own switches") if row["model"] == "cmap1_pool4")
    return tuple(number(row[column]) for column in columns)


def milliseconds_for_one_picture() -> tuple[float, float]:
    """Returns how long the fastest and the slowest model take for one picture, each in its fastest runtime."""
    all_rows = functools.reduce(operator.iadd, tables(BENCHMARKS, "preset", "signature", "ONNX Runtime"), [])
    one_picture = [row for row in all_rows if row["batch"] == "1" and row["signature"] == "serving_default"]
    return least_and_largest(
        [min(number(row[runtime]) for runtime in ("ONNX Runtime", "LiteRT", "OpenVINO")) for row in one_picture]
    )


def pixels_and_code_values(name: str) -> tuple[int, int]:
    size = ModelCard.read(REFERENCE / name).size_per_image
    return size.pixels, size.code_values


SENTENCES = {
    "what the switches carry": (
        r"has an RMSE of (\d\.\d+)\. With shuffled switches it has (\d\.\d+), with centred ones (\d\.\d+)",
        lambda: cells_of_best_model("own switches", "shuffled", "centred"),
    ),
    "learnt numbers": (
        r"has (\d+) learnt numbers",
        lambda: (min((ModelCard.read(REFERENCE / name) for name in PRESETS), key=lambda c: c.test_rmse).parameters,),
    ),
    "a factor in numbers": (
        r"turns (\d+) numbers into (\d+), and calls this \"a factor of (\d+)\"",
        lambda: (*pixels_and_code_values("cmap1_pool4"), *cells_of_cmap1_pool4("factor in numbers")),
    ),
    "a factor in bits": (
        r"with the switches, the factor is (\d+\.\d+)",
        lambda: cells_of_cmap1_pool4("factor in bits, with switches"),
    ),
    "a black image": (r"A black image has ([\d.]+) on MNIST", lambda: cells_of_cmap1_pool4("black image")),
    "training with AVX2": (
        r"trains ([\d.]+) to ([\d.]+) times as fast as the fastest form of PyTorch, and ([\d.]+) to ([\d.]+) times",
        lambda: training_ratios("AVX2"),
    ),
    "training with AVX-512": (
        r"With AVX-512, it trains ([\d.]+) to ([\d.]+) times as fast as PyTorch, and ([\d.]+) to ([\d.]+) times",
        lambda: training_ratios("AVX-512"),
    ),
    "one picture": (r"takes ([\d.]+) to ([\d.]+) ms for one digit", milliseconds_for_one_picture),
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_sentence_has_the_numbers_of_its_table(sentence: str) -> None:
    pattern, numbers_in_table = SENTENCES[sentence]
    assert numbers_in_readme(pattern) == numbers_in_table()


def test_results_equal_those_of_the_reference_page() -> None:
    reference_rows = rows(REFERENCE / "README.md", "preset", "recipe", "collapsed")
    (our_column,) = {column for column in rows(README, "preset", "published")[0] if column.startswith("ours")}
    for row in rows(README, "preset", "published"):
        (reference_row,) = (
            each for each in reference_rows if (each["preset"], each["recipe"]) == (row["preset"], "default")
        )
        assert (row["published"], row[our_column], row["worst seed"]) == (
            reference_row["published test"],
            reference_row["test, median"],
            reference_row["test, worst"],
        )
        assert reference_row["collapsed"].endswith(f"of {re.findall('[0-9]+', our_column)[0]}")


def test_readme_choices_agree_with_results_and_model_cards() -> None:
    choices = {re.findall(r"--preset=(\w+)", row["flags"])[0]: row for row in rows(README, "pictures", "flags")}
    medians = {row["preset"]: row for row in rows(README, "preset", "published")}
    assert choices["two_layer"]["test RMSE"] == medians["two_layer"]["ours, median of 10 seeds"]
    photos = ModelCard.read(REFERENCE / "photos_128")
    assert choices["photos"]["test RMSE"] == f"{photos.test_rmse:.4f}"
    for preset, name in (("two_layer", "two_layer"), ("photos", "photos_128")):
        assert number(choices[preset]["numbers in a code"]) == pixels_and_code_values(name)[1]


def test_reference_page_has_the_numbers_of_model_cards() -> None:
    for row in rows(REFERENCE / "README.md", "model", "parameters", "seed"):
        name = re.findall(r"\((\w+)\)", row["model"])[-1]
        card = ModelCard.read(REFERENCE / name)
        assert row["training RMSE"] == f"{card.training_rmse:.4f}"
        assert row["test RMSE"] == f"{card.test_rmse:.4f}"
        assert number(row["parameters"]) == card.parameters
