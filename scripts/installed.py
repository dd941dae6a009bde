"""What is in this folder begins with the installed programs' package, or with one line that says how to install it."""

import importlib.util
import sys


def begin() -> None:
    """What comes before a program's own imports: `deconv_ae_programs.commands.begin`."""
    for package in ("absl", "deconv_ae_programs"):
        if importlib.util.find_spec(package) is None:
            how = (
                "run pip install . in the project's folder, or source .venv/bin/activate where scripts/demo.sh made it"
            )
            print(f"error: {package} is not installed for {sys.executable}; {how}", file=sys.stderr)
            sys.exit(2)
    from deconv_ae_programs import commands

    commands.begin()


def run(name: str) -> None:
    """Runs an installed program by its name."""
    begin()
    from deconv_ae_programs import commands

    commands.run(name)
