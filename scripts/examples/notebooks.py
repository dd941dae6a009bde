"""The notebooks of this folder, run from start to end as their readers would run them."""

import subprocess
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from deconv_ae.errors import RunError, first_line

FOLDER = Path(__file__).parent
NOTEBOOKS = tuple(sorted(FOLDER.glob("*.ipynb")))
WITHOUT_OUTPUT = "remove-output"
"""Tags a cell whose output says something of the machine: TensorFlow logs while it is imported."""
MOST_SECONDS = 600
"""Of one cell, and until a kernel answers: a busy machine takes minutes."""


def executed(file: Path) -> nbformat.NotebookNode:
    """A notebook with the outputs that its code has now; the file stays as it is.

    Raises:
        RunError: if a cell fails.
    """
    notebook = nbformat.read(file, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=MOST_SECONDS,
        startup_timeout=MOST_SECONDS,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(file.parent)}},
    )
    try:
        # What the kernel's process writes besides is TensorFlow's once more; an error is an exception.
        client.execute(stderr=subprocess.DEVNULL)
    except CellExecutionError as error:
        raise RunError(f"{file.name}: a cell failed with {error.ename}: {error.evalue}") from error
    except (CellTimeoutError, DeadKernelError) as error:
        raise RunError(f"{file.name}: {first_line(error)}") from error
    for cell in notebook.cells:
        if WITHOUT_OUTPUT in cell.metadata.get("tags", ()):
            cell.outputs = []
    # The version of Python that ran it is none of the notebook's.
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook
