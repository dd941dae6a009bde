"""What a suite is asked and what it answers, as a Markdown table and as JSON."""

import dataclasses
import json
import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Options:
    """How thoroughly to measure."""

    rounds: int = 15
    memory: bool = True


@dataclasses.dataclass(frozen=True)
class Report:
    """A suite's result: a table to read, and every figure behind it.

    Attributes:
        title: what was measured, and in which unit.
        columns: the table's header.
        rows: its rows, as text.
        notes: what a reader must know to judge the figures.
        measurements: one dictionary for every figure, to be computed with.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    measurements: Sequence[dict[str, Any]]

    def to_markdown(self, heading: bool = True) -> str:
        """The table and the notes below it; without a heading, for a document that has its own, the title above it."""
        lines = [
            f"## {self.title}" if heading else f"{self.title}:",
            "",
            _row(self.columns),
            _row(["---"] * len(self.columns)),
        ]
        lines += [_row(row) for row in self.rows]
        lines += ["", *(f"- {note}" for note in (*self.notes, _environment_line()))]
        return "\n".join(lines) + "\n"

    def save(self, directory: str, name: str) -> None:
        """Writes `name`.md and `name`.json."""
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text(self.to_markdown())
        content = {"title": self.title, "environment": environment(), "measurements": list(self.measurements)}
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def environment() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    versions: dict[str, str | None] = {}
    for package in ("tensorflow", "keras", "torch", "numpy"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {"python": platform.python_version(), "cpus": os.cpu_count(), "machine": platform.machine(), **versions}


def _environment_line() -> str:
    return ", ".join(f"{name} {version}" for name, version in environment().items() if version is not None)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
