"""A suite's options, and its report as a Markdown table and as JSON."""

import dataclasses
import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from markdown_page import markdown_table
from matplotlib.figure import Figure

from benchmarks.measurement import Comparison, Measurement, Timing
from deconv_ae.pictures.visualization import WIDEST_INCHES, save_figure

LEGEND_COLUMN_INCHES = 2.6
"""For the longest name of a contestant, with its line."""


@dataclasses.dataclass(frozen=True)
class Options:
    """How thoroughly to measure."""

    rounds: int = 15
    memory: bool = True

    def title(self, text: str) -> str:
        return f"{text}; MiB at the peak" if self.memory else text

    def memory_note(self, excluded: str) -> list[str]:
        """The note that explains peak memory, if it is measured; `excluded` names what peak memory does not count."""
        return [f"Peak memory excludes {excluded}; it includes tracing and compiling."] if self.memory else []


@dataclasses.dataclass(frozen=True)
class Report:
    """A suite's result: a table, and every number behind it.

    Attributes:
        title: what was measured, and its unit.
        columns: the table's header.
        rows: the table's rows, as text.
        notes: what a reader must know to judge the numbers.
        measurements: a dictionary for each measurement, for further computation.
        figure: a plot of the numbers, if the suite has one.
        failures: a line for each row that failed.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    measurements: Sequence[dict[str, Any]]
    figure: Figure | None = None
    failures: Sequence[str] = ()

    def to_markdown(self, heading: bool = True) -> str:
        """The title, the table and the notes; without `heading`, the title is a line of text instead of a heading."""
        lines = [
            f"## {self.title}" if heading else f"{self.title}:",
            "",
            markdown_table(self.columns, self.rows),
        ]
        lines += ["", *(f"- {note}" for note in (*self.notes, *self.failures, _environment_line()))]
        return "\n".join(lines) + "\n"

    def save(self, directory: str, name: str) -> None:
        """Writes `name`.md, `name`.json and, if there is a figure, `name`.png."""
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text(self.to_markdown())
        notes = [*self.notes, *self.failures]
        measurements = list(self.measurements)
        content = {"title": self.title, "notes": notes, "environment": environment(), "measurements": measurements}
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
        if self.figure is not None:
            save_figure(self.figure, folder / f"{name}.png")


def cells(comparison: Comparison, names: Iterable[str], describe: Callable[[Timing], str] = str) -> list[str]:
    """A row's cells, one for each contestant; a contestant whose process died has the cell "failed"."""
    return ["failed" if name in comparison.died else cell(comparison.measured.get(name), describe) for name in names]


def cell(measurement: Measurement | None, describe: Callable[[Timing], str] = str) -> str:
    """A contestant's cell: its time, as `describe` words it, and its memory if that was measured."""
    if measurement is None:
        return "-"
    memory = "" if measurement.peak_mib is None else f"; {measurement.peak_mib:.0f}"
    return f"{describe(measurement.timing)}{memory}"


def notes(comparisons: Sequence[Comparison]) -> list[str]:
    """The notes of all rows, each once."""
    return list(dict.fromkeys(note for comparison in comparisons for note in comparison.notes))


def failures(comparisons: Sequence[Comparison]) -> list[str]:
    """A line for each row that failed."""
    return [comparison.failure for comparison in comparisons if comparison.failure is not None]


def images_per_second(milliseconds: float, batch_size: int) -> float:
    return 1e3 * batch_size / milliseconds


def speedup(measured: Mapping[str, Measurement], ours: Iterable[str], peers: Iterable[str]) -> str:
    """How many times as fast our fastest contestant is as the fastest peer: the median over rounds, and quartiles.

    The text is "-" if either side was not measured.
    """
    sides = [[measured[name] for name in names if name in measured] for names in (peers, ours)]
    if not all(sides):
        return "-"
    peer_times, our_times = (min(side, key=lambda measurement: measurement.timing.median).rounds for side in sides)
    lower, median, upper = np.percentile(np.divide(peer_times, our_times), (25, 50, 75))
    return f"{median:.1f}x ({lower:.1f}-{upper:.1f})"


def environment() -> dict[str, Any]:
    """The versions and hardware that the numbers depend on."""
    versions: dict[str, str | None] = {}
    for package in ("tensorflow", "keras", "torch", "jax", "numpy", "onnxruntime", "ai_edge_litert", "openvino"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {"python": platform.python_version(), "cpus": os.cpu_count(), "machine": platform.machine(), **versions}


def _environment_line() -> str:
    return ", ".join(f"{name} {version}" for name, version in environment().items() if version is not None)


def throughput_figure(measurements: Sequence[dict[str, Any]], panel: str, label: str) -> Figure:
    """Plots images a second by batch size, log-log: a panel per value of the key `panel`, a line per contestant."""
    panels = list(dict.fromkeys(measurement[panel] for measurement in measurements))
    figure = Figure(figsize=(min(3.2 * len(panels), WIDEST_INCHES), 3.5), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, title in zip(axes, panels):
        for contestant in dict.fromkeys(measurement["contestant"] for measurement in measurements):
            points = [m for m in measurements if m[panel] == title and m["contestant"] == contestant]
            batch_sizes, throughputs = [p["batch_size"] for p in points], [p["images_per_second"] for p in points]
            # "deconv_ae's convolutions alone" and "Keras's convolutions alone" do only a part of a step.
            line_style = "--" if "alone" in contestant else "-o"
            axis.plot(batch_sizes, throughputs, line_style, markersize=3, label=contestant)
        axis.set(title=title, xlabel="batch size", xscale="log", yscale="log")
        axis.grid(True, which="major", alpha=0.3)
    axes[0].set_ylabel(label)
    lines, names = axes[-1].get_legend_handles_labels()
    columns = max(1, int(figure.get_figwidth() / LEGEND_COLUMN_INCHES))
    figure.legend(lines, names, loc="outside lower center", ncols=columns, fontsize="small", frameon=False)
    return figure
