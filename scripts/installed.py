"""Starts a program of this folder, or says in one line how to install its packages."""

import importlib.util
import sys


def begin() -> None:
    """Prepares the process; exits with status 2 if a package is missing. Call it before the program's other imports."""
    for package in ("absl", "deconv_ae_programs"):
        if importlib.util.find_spec(package) is None:
            remedy = "run pip install . in the project's folder, or source .venv/bin/activate after scripts/demo.sh"
            print(f"error: {package} is not installed for {sys.executable}; {remedy}", file=sys.stderr)
            sys.exit(2)
    from deconv_ae_programs import commands

    commands.begin()


def run(name: str) -> None:
    """Runs an installed program by its name."""
    begin()
    from deconv_ae_programs import commands

    commands.run(name)
