"""Runs the notebooks of this folder from start to end."""

import subprocess
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

from deconv_ae.errors import RunError, first_line

FOLDER = Path(__file__).parent
NOTEBOOKS = tuple(sorted(FOLDER.glob("*.ipynb")))
WITHOUT_OUTPUT = "remove-output"
"""Tag of cells that import TensorFlow. Their output is not saved, because it holds facts about the machine."""
TIMEOUT_SECONDS = 600
"""The time limit for the kernel's start, and for each cell. A busy machine takes minutes."""


def run_notebook(file: Path) -> nbformat.NotebookNode:
    """Runs a notebook, and returns it with the new outputs. Does not change the file.

    Raises:
        RunError: if a cell fails or exceeds the time limit, or if the kernel dies.
    """
    notebook = nbformat.read(file, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT_SECONDS,
        startup_timeout=TIMEOUT_SECONDS,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(file.parent)}},
    )
    try:
        # The kernel's own stderr holds only TensorFlow's log: errors of cells arrive as exceptions.
        client.execute(stderr=subprocess.DEVNULL)
    except CellExecutionError as error:
        raise RunError(f"{file.name}: a cell failed with {error.ename}: {error.evalue}") from error
    except (CellTimeoutError, RuntimeError) as error:  # RuntimeError if the kernel dies, or does not start.
        raise RunError(f"{file.name}: {first_line(error)}") from error
    for cell in notebook.cells:
        if WITHOUT_OUTPUT in cell.metadata.get("tags", ()):
            cell.outputs = []
    # Drops the Python version, which nbclient writes here.
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook
