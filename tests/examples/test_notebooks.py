"""The notebooks of scripts/examples: they run, print what is committed, and can be read without being run."""

import base64
import getpass
import io
import re
from pathlib import Path

import nbformat
import pytest
from examples.notebooks import NOTEBOOKS, WITHOUT_OUTPUT, executed
from PIL import Image

MOST_BYTES = 1_000_000
DOTS_AN_INCH = 100
NUMBER = re.compile(r"\d[\d,]*\.?\d*")
# What other CPUs round otherwise, and what they then train.
TOLERANCES = {
    "1_unpooling_by_hand.ipynb": {"abs": 2e-4},
    "2_the_autoencoder.ipynb": {"abs": 2e-3, "rel": 0.02},
    "3_your_own_model.ipynb": {"abs": 3, "rel": 0.2},
}


def named(file: Path) -> str:
    return file.name


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """What each cell has printed."""
    return [
        "".join(output.text for output in cell.outputs if output.output_type == "stream")
        for cell in code_cells(notebook)
    ]


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in NUMBER.findall(text)]


def pictures(notebook: nbformat.NotebookNode) -> list[Image.Image]:
    coded = [output.data for cell in code_cells(notebook) for output in cell.outputs if "data" in output]
    return [Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) for data in coded if "image/png" in data]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=named)
def test_it_was_run_from_start_to_end_and_saved(file: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    assert file.stat().st_size <= MOST_BYTES


@pytest.mark.parametrize("file", NOTEBOOKS, ids=named)
def test_its_pictures_are_drawn_at_100_dots_an_inch(file: Path) -> None:
    drawn = pictures(nbformat.read(file, as_version=4))
    assert len(drawn) >= 4
    assert {round(each.info["dpi"][0]) for each in drawn} == {DOTS_AN_INCH}


@pytest.mark.parametrize("file", NOTEBOOKS, ids=named)
def test_it_says_nothing_of_the_machine_that_ran_it(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    for private in (str(Path.home()), getpass.getuser() + "@", "site-packages", "/tmp/", "/home/", "iopub", "stderr"):
        assert private not in text, private


@pytest.mark.parametrize("file", NOTEBOOKS, ids=named)
def test_files_that_it_links_exist(file: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", prose) if "://" not in link]
    assert links
    assert [link for link in links if not (file.parent / link).exists()] == []


@pytest.mark.parametrize(
    "file",
    [pytest.param(file, marks=pytest.mark.long if file.name.startswith("3") else ()) for file in NOTEBOOKS],
    ids=named,
)
def test_it_runs_and_prints_what_is_saved(file: Path) -> None:
    saved, now = nbformat.read(file, as_version=4), executed(file)
    for was, found, cell in zip(printed(saved), printed(now), code_cells(saved)):
        assert NUMBER.sub("", found).split() == NUMBER.sub("", was).split(), cell.source
        assert numbers(found) == pytest.approx(numbers(was), **TOLERANCES[file.name]), cell.source
    assert [each.size for each in pictures(now)] == [each.size for each in pictures(saved)]


def test_only_the_imports_are_saved_without_what_they_print() -> None:
    for file in NOTEBOOKS:
        tagged = [WITHOUT_OUTPUT in cell.metadata.get("tags", ()) for cell in code_cells(nbformat.read(file, 4))]
        assert tagged == [True] + [False] * (len(tagged) - 1)


def test_what_the_third_says_of_edges_is_what_it_printed() -> None:
    """Unpooling is several times better next to the edge, and upsampling is no worse from three steps on."""
    (file,) = (file for file in NOTEBOOKS if file.name.startswith("3"))
    (table,) = (text for text in printed(nbformat.read(file, as_version=4)) if text.startswith("steps to the edge"))
    wrong = [tuple(map(float, re.findall(r"([\d.]+) %", line))) for line in table.splitlines()[1:]]
    unpooling, upsampling = zip(*wrong)
    assert upsampling[0] > 3 * unpooling[0]
    assert upsampling[1] > unpooling[1]
    assert all(smooth < pointed for smooth, pointed in zip(upsampling[2:], unpooling[2:]))
