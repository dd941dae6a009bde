"""Runs the notebooks of scripts/examples and saves them with their outputs.

python scripts/run_notebooks.py

If a cell fails, its notebook is not changed.
"""

import installed

installed.begin()

import time

from deconv_ae_programs import command_line


def main() -> None:
    """Runs one notebook after the other and prints how long each took."""
    with command_line.loading():
        import nbformat
        from examples.notebooks import NOTEBOOKS, run_notebook

        from deconv_ae.files import write_atomically
    for file in NOTEBOOKS:
        began = time.monotonic()
        write_atomically(file, nbformat.writes(run_notebook(file)) + "\n")
        print(f"{file.name}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    command_line.run(main)
