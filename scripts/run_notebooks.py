"""Runs the notebooks of scripts/examples, and saves each with its outputs.

python scripts/run_notebooks.py

If a cell fails, its notebook stays unchanged.
"""

import installed

installed.begin()

import time

from deconv_ae_programs import command_line


def main() -> None:
    """Runs all notebooks."""
    with command_line.loading():
        import nbformat
        from examples.notebooks import NOTEBOOKS, executed

        from deconv_ae.files import write_beside
    for file in NOTEBOOKS:
        begin = time.monotonic()
        write_beside(file, nbformat.writes(executed(file)) + "\n")
        print(f"{file.name}: {time.monotonic() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    command_line.run(main)
