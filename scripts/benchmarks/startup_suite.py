"""Measures whole processes that import, take first training steps, train and export, or draw a model's pictures."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
from absl import logging

from benchmarks.measurement import Failed, Measurement, Timing
from benchmarks.report import Options, Report, cell
from deconv_ae.data import ImageDataset, load_dataset
from deconv_ae.data.source import SAMPLE_NAME, Source
from deconv_ae.model.presets import PRESETS
from deconv_ae.pictures.drawing import visualize
from deconv_ae.saved_model.exporting import export
from deconv_ae.saved_model.serving import ServedAutoencoder
from deconv_ae.training import TrainingOptions, TrainingResult, train

PRESET = "cmap1_pool4"

# The programs of fresh processes, by what is measured; MODEL stands for a directory.
PROGRAMS = {
    "import tensorflow, keras": "import tensorflow, keras",
    "import deconv_ae": "import deconv_ae",
    "first training steps": "startup_suite.train_first_steps()",
    "one epoch of 4,000 digits, exported": "startup_suite.train_and_export('MODEL')",
    "pictures of that model": "startup_suite.draw_pictures('MODEL')",
}


class _EndAfterFirstSteps(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        sys.exit(0)


def train_first_steps() -> None:
    """Trains for the steps of Keras's first execution (`steps_per_execution`), then ends the process."""
    _train([_EndAfterFirstSteps()])


def train_and_export(folder: str) -> None:
    """Trains for one epoch, and exports the model to a folder."""
    dataset, result = _train([])
    export(result, dataset, folder, PRESET, overwrite=True)


def draw_pictures(folder: str) -> None:
    """Draws the pictures that scripts/visualize.py draws of the model in a folder."""
    images = load_dataset(Source(SAMPLE_NAME)).test[:5]
    visualize([ServedAutoencoder(folder)], images, f"{folder}-pictures")


def _train(callbacks: list[keras.callbacks.Callback]) -> tuple[ImageDataset, TrainingResult]:
    dataset = load_dataset(Source(SAMPLE_NAME))
    options = TrainingOptions(PRESETS[PRESET].architecture, epochs=1)
    return dataset, train(dataset, options, callbacks=callbacks, verbose=False)


def run(options: Options) -> Report:
    rounds = min(options.rounds, 5)
    with tempfile.TemporaryDirectory() as folder:
        samples: dict[str, list[tuple[float, float]]] = {name: [] for name in PROGRAMS}
        failures: dict[str, str] = {}
        for turn in range(rounds + 1):
            for name, program in PROGRAMS.items():
                try:
                    sample = _run_program(program.replace("MODEL", f"{folder}/model"))
                except Failed as error:
                    failures[name] = f"{name} failed: {error}"
                    continue
                samples[name] += [sample] if turn else []
                logging.info("%s: %.0f ms, %.0f MiB", name, *sample)
    measured = {
        name: Measurement(Timing.of([ms for ms, _ in values]), max(mib for _, mib in values))
        for name, values in samples.items()
        if name not in failures
    }
    return Report(
        title="Start-up: milliseconds of a whole process (quartiles); MiB at the peak, libraries included",
        columns=["what the process does", "time; memory"],
        rows=[[name, cell(measured.get(name))] for name in PROGRAMS],
        notes=[
            f"Each row is a process of its own, from start to end. Median of {rounds} rounds with {PRESET}, after a "
            "first round that does not count."
        ],
        measurements=[
            {"until": name, "milliseconds": m.timing.median, "peak_mib": m.peak_mib} for name, m in measured.items()
        ],
        failures=list(failures.values()),
    )


def _run_program(program: str) -> tuple[float, float]:
    """Returns the milliseconds and peak MiB of a fresh process; raises Failed if the process fails."""
    if program.startswith("startup_suite"):
        program = f"from benchmarks import startup_suite; {program}"
    scripts = Path(__file__).parents[1]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": f"{scripts.parent}{os.pathsep}{scripts}"}
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, env=environment)
    errors: Any = process.stderr
    text = errors.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    milliseconds = 1e3 * (time.perf_counter() - began)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed((text.strip().splitlines() or [f"status {process.returncode}"])[-1])
    return milliseconds, usage.ru_maxrss / 1024
