"""Inference: the exported SavedModel's signatures, and the files that it is converted to, against PyTorch."""

import importlib
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
from benchmarks.measurement import Comparison, Contestant, ContestantProcesses, Failed, Timing
from benchmarks.report import Options, Report, cell, failures, images_per_second, left_out, speedup, throughput_figure
from benchmarks.runtime_contestants import converted
from benchmarks.torch_contestants import VARIANTS, Model, Variant, inference
from benchmarks.torch_models import Layout
from deconv_ae.conversion.bounds import Bounds
from deconv_ae.conversion.formats import FORMATS, check_formats
from deconv_ae.conversion.portable import parts
from deconv_ae.data import scale
from deconv_ae.errors import InputError
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
OURS = "SavedModel"
RUNTIMES = {"ONNX Runtime": "onnx", "LiteRT": "litert", "OpenVINO": "openvino"}
WORK = SIGNATURES
TOLERANCE = 1e-5

Files = Mapping[tuple[str, str, str], str]
"""Paths of converted files, by format, preset and work."""


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


def convert(model: Autoencoder, preset: str, folder: Path) -> dict[tuple[str, str, str], str]:
    """Writes a model's files, of all formats whose packages are installed."""
    files = {}
    for name, chosen in FORMATS.items():
        try:
            check_formats([name])
        except InputError:
            continue
        module = importlib.import_module(f"deconv_ae.conversion.{chosen.module}")
        (folder / name).mkdir(parents=True)
        # The parts in the order of the signatures.
        for work, part in zip(SIGNATURES, parts(model, chosen.channels_first)):
            files[name, preset, work] = str(module.write(part, "float32", {}, folder / name)[0])
    return files


def converted_file(
    name: str, files: Files, models: Mapping[str, Autoencoder], preset: str, work: str, batch_size: int
) -> Callable[[], Calls]:
    """Calls of a format's file for a work."""
    images = np.asarray(scale(digits(batch_size)))
    inputs = {IMAGES: images}
    if work == DECODE:
        names = (CODE, *models[preset].architecture.switches_names)
        inputs = {name: np.asarray(values) for name, values in zip(names, models[preset].encoder(images))}
    output = CODE if work == ENCODE else RECONSTRUCTION
    return partial(converted, files.get((name, preset, work)), inputs, output, batch_size)


def torch_model(variant: Variant, preset: str, work: str, batch_size: int) -> Callable[[], Calls]:
    architecture = PRESETS[preset].architecture
    model = Model(Layout(**asdict(architecture)), IMAGE_SHAPE[-1], initial_weights(architecture))
    return partial(inference, variant, model, work, np.asarray(scale(digits(batch_size))))


def check_results(work: str, bounds: Bounds, results: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Raises Failed unless all contestants' results are the same, but for what near ties of maxima leave open: each
    decodes the switches of its own encoder."""
    expected = results[OURS][0]
    for name, (result,) in results.items():
        whole = work != ENCODE and result.shape == expected.shape
        difference = bounds.difference(result, expected) if whole else np.abs(result - expected).max()
        if not difference <= TOLERANCE:
            raise Failed(f"the results of {name} differ from those of {OURS} by {difference:.2g}")


def run(options: Options, presets: Sequence[str] = tuple(PRESETS), batch_sizes: Sequence[int] = BATCH_SIZES) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        models: dict[str, Autoencoder] = {}
        files: dict[tuple[str, str, str], str] = {}
        for preset in presets:
            architecture = PRESETS[preset].architecture
            models[preset] = Autoencoder(architecture, IMAGE_SHAPE)
            models[preset].set_weights(initial_weights(architecture))
            save_signatures(models[preset], Path(folder) / preset)
            files |= convert(models[preset], preset, Path(folder) / f"{preset}_converted")
        contestants: dict[str, Callable[..., Callable[[], Contestant]]] = {
            OURS: partial(partial, saved_model, folder),
            **{runtime: partial(converted_file, name, files, models) for runtime, name in RUNTIMES.items()},
            **{name: partial(torch_model, variant) for name, variant in VARIANTS.items()},
        }
        with ContestantProcesses.of(contestants) as processes:
            return _run(processes, options, contestants, models, batch_sizes)


def _run(
    processes: ContestantProcesses,
    options: Options,
    contestants: Mapping[str, Callable[..., Callable[[], Contestant]]],
    models: Mapping[str, Autoencoder],
    batch_sizes: Sequence[int],
) -> Report:
    rows, numbers = [], []
    comparisons: list[Comparison] = []
    for preset, model in models.items():
        bounds = {size: Bounds.of(model, np.asarray(scale(digits(size)))) for size in batch_sizes}
        for work in WORK:
            for batch_size in batch_sizes:
                makers = {name: make(preset, work, batch_size) for name, make in contestants.items()}
                # Smaller batches need less, and to measure it takes twice as long as their time does.
                memory = options.memory and batch_size == max(batch_sizes)
                agree = partial(check_results, work, bounds[batch_size])
                row = f"{preset}, {work}, batch {batch_size},"
                comparisons.append(processes.compare(row, makers, options.rounds, memory, agree))
                measured = comparisons[-1].measured
                for name, measurement in measured.items():
                    number = {"preset": preset, "work": work, "batch_size": batch_size, "contestant": name}
                    number["images_per_second"] = images_per_second(measurement.timing.median, batch_size)
                    numbers.append({**number, **asdict(measurement)})
                logging.info("%s %s %d: %s", preset, work, batch_size, {n: str(m.timing) for n, m in measured.items()})
                cells = [cell(measured.get(name), _latency) for name in contestants]
                ratios = [speedup(measured, ours, VARIANTS) for ours in ([OURS], RUNTIMES)]
                rows.append([preset, work, str(batch_size), *cells, *ratios])
    whole = [number for number in numbers if number["work"] == SERVING_DEFAULT]
    return Report(
        title=options.title("Inference: milliseconds a call, median / 99th percentile"),
        columns=["preset", "signature", "batch", *contestants, f"{OURS} to the best PyTorch", "the best file to it"],
        rows=rows,
        notes=[
            f"{options.rounds} rounds of {calls_a_round(BATCH_SIZES[-1])} to {calls_a_round(BATCH_SIZES[0])} calls, in "
            "which all contestants take turns, each in a process of its own; results were checked to agree to "
            f"{TOLERANCE}, but where maxima tie to seven digits.",
            "All compute in float32, with a thread for every processor; OpenVINO by hints for precision and latency.",
            *left_out(comparisons),
            *options.memory_note("calls of the largest batch need on top of libraries, images and model"),
        ],
        measurements=numbers,
        figure=throughput_figure(whole, "preset", f"{SERVING_DEFAULT}: images a second") if whole else None,
        failures=failures(comparisons),
    )


def _latency(timing: Timing) -> str:
    return f"{timing.median:.2f} / {timing.percentile_99:.2f}"
