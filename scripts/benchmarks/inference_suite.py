"""Inference: the exported SavedModel's signatures against PyTorch."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl import logging

from benchmarks.calls import Calls, calls_a_round
from benchmarks.keras_models import IMAGE_SHAPE, digits, initial_weights
from benchmarks.measurement import Contestant, ContestantProcesses, Timing
from benchmarks.report import Options, Report, cell, images_per_second, speedup, throughput_figure
from benchmarks.torch_contestants import Model, inference
from benchmarks.torch_models import Layout
from deconv_ae.data import scale
from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.model.presets import PRESETS
from deconv_ae.saved_model.exporting import save_signatures
from deconv_ae.saved_model.signatures import (
    CODE,
    DECODE,
    ENCODE,
    IMAGES,
    RECONSTRUCTION,
    SERVING_DEFAULT,
    SIGNATURES,
)

BATCH_SIZES = (1, 64, 1024)
OURS, EAGER, COMPILED = "SavedModel", "PyTorch", "PyTorch compiled"
WORK = SIGNATURES
TOLERANCE = 1e-5


def saved_model(folder: str, preset: str, work: str, batch_size: int) -> Calls:
    """Calls of a signature; `folder` has the presets' SavedModels."""
    loaded = tf.saved_model.load(f"{folder}/{preset}")
    images = tf.constant(scale(digits(batch_size)))
    signature = loaded.signatures[work]
    inputs = loaded.signatures[ENCODE](**{IMAGES: images}) if work == DECODE else {IMAGES: images}
    output = CODE if work == ENCODE else RECONSTRUCTION

    def call() -> np.ndarray:
        loaded  # The signatures do not keep the model alive.  # noqa: B018
        return signature(**inputs)[output].numpy()

    return Calls(call, batch_size)


def torch_model(compile_it: bool, preset: str, work: str, batch_size: int) -> Callable[[], Calls]:
    architecture = PRESETS[preset].architecture
    model = Model(Layout(**asdict(architecture)), IMAGE_SHAPE[-1], initial_weights(architecture))
    return partial(inference, compile_it, model, work, np.asarray(scale(digits(batch_size))))


def check_results(results: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Raises RuntimeError unless all contestants' results are the same."""
    for name, (result,) in results.items():
        difference = np.abs(result - results[OURS][0]).max()
        if not difference <= TOLERANCE:
            raise RuntimeError(f"the results of {name} differ from those of {OURS} by {difference}")


def run(options: Options, presets: Sequence[str] = tuple(PRESETS), batch_sizes: Sequence[int] = BATCH_SIZES) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        for preset in presets:
            architecture = PRESETS[preset].architecture
            model = Autoencoder(architecture, IMAGE_SHAPE)
            model.set_weights(initial_weights(architecture))
            save_signatures(model, Path(folder) / preset)
        contestants: dict[str, Callable[..., Callable[[], Contestant]]] = {
            OURS: partial(partial, saved_model, folder),
            EAGER: partial(torch_model, False),
            COMPILED: partial(torch_model, True),
        }
        with ContestantProcesses.of(contestants) as processes:
            return _run(processes, options, contestants, presets, batch_sizes)


def _run(
    processes: ContestantProcesses,
    options: Options,
    contestants: Mapping[str, Callable[..., Callable[[], Contestant]]],
    presets: Sequence[str],
    batch_sizes: Sequence[int],
) -> Report:
    rows, numbers = [], []
    left_out: list[str] = []
    for preset in presets:
        for work in WORK:
            for batch_size in batch_sizes:
                makers = {name: make(preset, work, batch_size) for name, make in contestants.items()}
                measured, absent = processes.compare(makers, options.rounds, options.memory, check_results)
                left_out = list(dict.fromkeys([*left_out, *absent]))
                for name, measurement in measured.items():
                    number = {"preset": preset, "work": work, "batch_size": batch_size, "contestant": name}
                    number["images_per_second"] = images_per_second(measurement.timing.median, batch_size)
                    numbers.append({**number, **asdict(measurement)})
                logging.info("%s %s %d: %s", preset, work, batch_size, {n: str(m.timing) for n, m in measured.items()})
                cells = [cell(measured.get(name), _latency) for name in contestants]
                rows.append([preset, work, str(batch_size), *cells, speedup(measured, OURS, (EAGER, COMPILED))])
    whole = [number for number in numbers if number["work"] == SERVING_DEFAULT]
    return Report(
        title=options.title("Inference: milliseconds a call, median / 99th percentile"),
        columns=["preset", "signature", "batch", *contestants, "to the better PyTorch"],
        rows=rows,
        notes=[
            f"{options.rounds} rounds of {calls_a_round(BATCH_SIZES[-1])} to {calls_a_round(BATCH_SIZES[0])} calls, in "
            "which all contestants take turns, each in a process of its own; results were checked to agree to "
            f"{TOLERANCE}.",
            *left_out,
            *options.memory_note("calls need on top of libraries, images and model"),
        ],
        measurements=numbers,
        figure=throughput_figure(whole, "preset", f"{SERVING_DEFAULT}: images a second"),
    )


def _latency(timing: Timing) -> str:
    return f"{timing.median:.2f} / {timing.percentile_99:.2f}"
