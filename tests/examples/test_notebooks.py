"""The notebooks of scripts/examples run, print their saved outputs, and are saved with pictures."""

import base64
import getpass
import io
import re
from pathlib import Path

import nbformat
import pytest
from examples.notebooks import NOTEBOOKS, WITHOUT_OUTPUT, run_notebook
from PIL import Image

LARGEST_FILE_BYTES = 1_000_000
DOTS_PER_INCH = 100
NUMBER = re.compile(r"\d[\d,]*\.?\d*")
# Other CPUs round differently, and training enlarges the differences.
TOLERANCES = {
    "1_unpooling_by_hand.ipynb": {"abs": 2e-4},
    "2_the_autoencoder.ipynb": {"abs": 2e-3, "rel": 0.02},
    "3_your_own_model.ipynb": {"abs": 3, "rel": 0.2},
}


def file_name(file: Path) -> str:
    return file.name


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed_texts(notebook: nbformat.NotebookNode) -> list[str]:
    """Returns the printed text of each code cell."""
    return [
        "".join(output.text for output in cell.outputs if output.output_type == "stream")
        for cell in code_cells(notebook)
    ]


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in NUMBER.findall(text)]


def pictures(notebook: nbformat.NotebookNode) -> list[Image.Image]:
    data = [output.data for cell in code_cells(notebook) for output in cell.outputs if "data" in output]
    return [Image.open(io.BytesIO(base64.b64decode(each["image/png"]))) for each in data if "image/png" in each]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=file_name)
def test_all_cells_were_run_in_order_and_file_is_small(file: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    assert file.stat().st_size <= LARGEST_FILE_BYTES


@pytest.mark.parametrize("file", NOTEBOOKS, ids=file_name)
def test_pictures_have_100_dots_per_inch(file: Path) -> None:
    images = pictures(nbformat.read(file, as_version=4))
    assert len(images) >= 4
    assert {round(each.info["dpi"][0]) for each in images} == {DOTS_PER_INCH}


@pytest.mark.parametrize("file", NOTEBOOKS, ids=file_name)
def test_files_hold_no_machine_paths_user_names_times_or_stderr(file: Path) -> None:
    # Jupyter saves the times of a cell's execution under keys that begin with "iopub".
    text = file.read_text(encoding="utf-8")
    for unwanted in (str(Path.home()), getpass.getuser() + "@", "site-packages", "/tmp/", "/home/", "iopub", "stderr"):
        assert unwanted not in text, unwanted


@pytest.mark.parametrize("file", NOTEBOOKS, ids=file_name)
def test_linked_files_exist(file: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", prose) if "://" not in link]
    assert links
    assert [link for link in links if not (file.parent / link).exists()] == []


@pytest.mark.parametrize(
    "file",
    [pytest.param(file, marks=pytest.mark.long if file.name.startswith("3") else ()) for file in NOTEBOOKS],
    ids=file_name,
)
def test_new_outputs_match_saved_outputs(file: Path) -> None:
    saved, rerun = nbformat.read(file, as_version=4), run_notebook(file)
    for old, new, cell in zip(printed_texts(saved), printed_texts(rerun), code_cells(saved)):
        assert NUMBER.sub("", new).split() == NUMBER.sub("", old).split(), cell.source
        assert numbers(new) == pytest.approx(numbers(old), **TOLERANCES[file.name]), cell.source
    assert [each.size for each in pictures(rerun)] == [each.size for each in pictures(saved)]


def test_only_first_cells_are_tagged_to_be_saved_without_output() -> None:
    for file in NOTEBOOKS:
        tagged = [WITHOUT_OUTPUT in cell.metadata.get("tags", ()) for cell in code_cells(nbformat.read(file, 4))]
        assert tagged == [True] + [False] * (len(tagged) - 1)


def test_third_notebook_prints_what_its_prose_says_of_edges() -> None:
    """At the edge, upsampling makes several times as many errors as unpooling; from distance 3 on, it makes fewer."""
    (file,) = (file for file in NOTEBOOKS if file.name.startswith("3"))
    (table,) = (
        text for text in printed_texts(nbformat.read(file, as_version=4)) if text.startswith("distance to the edge")
    )
    percentages = [tuple(map(float, re.findall(r"([\d.]+) %", line))) for line in table.splitlines()[1:]]
    unpooling, upsampling = zip(*percentages)
    assert upsampling[0] > 3 * unpooling[0]
    assert upsampling[1] > unpooling[1]
    assert all(fewer < more for fewer, more in zip(upsampling[2:], unpooling[2:]))


def test_second_notebook_prints_what_its_prose_says() -> None:
    """Changed switches raise the RMSE more than a flat code, in which one value replaces all values above 0.

    In numbers, the model wins: its RMSE is lower than that of thumbnails with as many numbers as its code. In bits, it
    loses: its RMSE is higher than that of thumbnails, JPEG and WebP with at most as many bits as its code and switches.
    """
    (file,) = (file for file in NOTEBOOKS if file.name.startswith("2"))
    texts = printed_texts(nbformat.read(file, as_version=4))
    (text_about_switches,) = (text for text in texts if "switches shuffled" in text)
    for line in text_about_switches.splitlines()[1:]:
        _, shuffled, centred, flat, *_ = map(float, line.split()[1:])
        assert flat < min(shuffled, centred)
    evaluations = [text for text in texts if ", PSNR " in text]
    assert len(evaluations) == 2
    for text in evaluations:
        model_rmse, thumbnail_rmse, *rmses_with_as_many_bits = (
            float(found) for found in re.findall(r"^(?:RMSE|thumbnail|JPEG|WebP) +([\d.]+)", text, re.M)
        )
        assert max(rmses_with_as_many_bits) < model_rmse < thumbnail_rmse
