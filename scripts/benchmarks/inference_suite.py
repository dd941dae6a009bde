"""Measures inference: the SavedModel's signatures and the files that it is converted to, beside PyTorch."""

import importlib
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl import logging

from benchmarks.calls import Calls, calls_per_round
from benchmarks.keras_models import IMAGE_SHAPE, digits, initial_weights
from benchmarks.measurement import Comparison, Contestant, ContestantProcesses, Failed, Timing
from benchmarks.report import Options, Report, cells, failures, images_per_second, notes, speedup, throughput_figure
from benchmarks.runtime_contestants import converted_calls, raise_unavailable
from benchmarks.torch_contestants import VARIANTS, Model, Variant, inference
from benchmarks.torch_models import PlainArchitecture
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
    ENCODE,
    IMAGES,
    RECONSTRUCTION,
    SERVING_DEFAULT,
    SIGNATURES,
)

BATCH_SIZES = (1, 64, 1024)
OURS = "SavedModel"
RUNTIMES = {"ONNX Runtime": "onnx", "LiteRT": "litert", "OpenVINO": "openvino"}
TOLERANCE = 1e-5

Files = Mapping[tuple[str, str, str], str]
"""Paths of converted files, by format, preset and signature."""


def saved_model_calls(folder: str, preset: str, signature: str, batch_size: int) -> Calls:
    """Returns `Calls` of a signature of a preset's SavedModel; `folder` holds the SavedModels of all presets."""
    loaded = tf.saved_model.load(f"{folder}/{preset}")
    images = tf.constant(scale(digits(batch_size)))
    function = loaded.signatures[signature]
    tensors = {IMAGES: images, **loaded.signatures[ENCODE](**{IMAGES: images})}
    inputs = {name: tensors[name] for name in function.structured_input_signature[1]}
    output = output_to_compare(function.structured_outputs)

    def call() -> np.ndarray:
        loaded  # The signatures do not keep the model alive.  # noqa: B018
        return function(**inputs)[output].numpy()

    return Calls(call, batch_size)


def output_to_compare(outputs: Iterable[str]) -> str:
    """Chooses, from the names of a signature's outputs, the one output to compare between contestants."""
    names = list(outputs)
    return next((name for name in (RECONSTRUCTION, CODE) if name in names), names[0])


def convert(model: Autoencoder, preset: str, folder: Path) -> dict[tuple[str, str, str], str]:
    """Writes a model in all formats whose packages are installed; returns files by (format, preset, signature)."""
    files: dict[tuple[str, str, str], str] = {}
    for name, file_format in FORMATS.items():
        try:
            check_formats([name])
        except InputError:
            continue
        module = importlib.import_module(f"deconv_ae.conversion.{file_format.module}")
        (folder / name).mkdir(parents=True)
        for part in parts(model, file_format.channels_first):
            files[name, preset, part.signature] = str(module.write(part, "float32", {}, folder / name)[0])
    return files


def converted_file(
    format_name: str, files: Files, models: Mapping[str, Autoencoder], preset: str, signature: str, batch_size: int
) -> Callable[[], Calls]:
    """Returns a function that makes `Calls` of a converted file.

    If there is no such file, the function raises Unavailable.
    """
    if SIGNATURES[signature].converted is None:
        return partial(raise_unavailable, f"no converted file computes the signature {signature}")
    if (format_name, preset, signature) not in files:
        return partial(raise_unavailable, "its packages are not installed, see the extra [convert]")
    tensors = {IMAGES: np.asarray(scale(digits(batch_size)))}
    architecture = PRESETS[preset].architecture
    input_names = SIGNATURES[signature].inputs(architecture, IMAGE_SHAPE)
    if CODE in input_names:
        encoded = models[preset].encoder(tensors[IMAGES])
        tensors |= zip((CODE, *architecture.switches_names), map(np.asarray, encoded), strict=True)
    inputs = {name: tensors[name] for name in input_names}
    output = output_to_compare(SIGNATURES[signature].outputs(architecture, IMAGE_SHAPE))
    return partial(converted_calls, files[format_name, preset, signature], inputs, output, batch_size)


def torch_model(variant: Variant, preset: str, signature: str, batch_size: int) -> Callable[[], Calls]:
    architecture = PRESETS[preset].architecture
    model = Model(PlainArchitecture(**asdict(architecture)), IMAGE_SHAPE[-1], initial_weights(architecture))
    return partial(inference, variant, model, signature, np.asarray(scale(digits(batch_size))))


def check_results(bounds: Bounds, results: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Raises Failed if a contestant's results differ from ours by more than TOLERANCE.

    Contestants decode switches of different encoders, and in a near tie two encoders may choose different positions.
    So a pixel that near ties affect may have any value of its range (`Bounds`).
    """
    expected = results[OURS][0]
    is_reconstruction = expected.shape == bounds.middle.shape
    for name, (result,) in results.items():
        if result.shape != expected.shape:
            raise Failed(f"the results of {name} have the shape {result.shape}, those of {OURS} {expected.shape}")
        difference = bounds.difference(result, expected) if is_reconstruction else np.abs(result - expected).max()
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
            # Like the other contestants' functions, `partial(partial, ...)` returns a function that makes `Calls`.
            OURS: partial(partial, saved_model_calls, folder),
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
    rows, records = [], []
    comparisons: list[Comparison] = []
    for preset, model in models.items():
        bounds = {size: Bounds.of(model, np.asarray(scale(digits(size)))) for size in batch_sizes}
        for signature in SIGNATURES:
            for batch_size in batch_sizes:
                makers = {name: make(preset, signature, batch_size) for name, make in contestants.items()}
                # Smaller batches need less memory, and measuring memory takes twice as long as timing.
                memory = options.memory and batch_size == max(batch_sizes)
                check = partial(check_results, bounds[batch_size])
                row = f"{preset}, {signature}, batch {batch_size},"
                comparisons.append(processes.compare(row, makers, options.rounds, memory, check))
                measured = comparisons[-1].measured
                for name, measurement in measured.items():
                    record = {"preset": preset, "work": signature, "batch_size": batch_size, "contestant": name}
                    record["images_per_second"] = images_per_second(measurement.timing.median, batch_size)
                    records.append({**record, **asdict(measurement)})
                logging.info("%s ms: %s", row, {name: str(each.timing) for name, each in measured.items()})
                latencies = cells(comparisons[-1], contestants, _latency)
                ratios = [speedup(measured, ours, VARIANTS) for ours in ([OURS], RUNTIMES)]
                rows.append([preset, signature, str(batch_size), *latencies, *ratios])
    reconstructions = [record for record in records if record["work"] == SERVING_DEFAULT]
    return Report(
        title=options.title("Inference: milliseconds a call, median / 99th percentile"),
        columns=[
            "preset",
            "signature",
            "batch",
            *contestants,
            f"{OURS}'s speed / the best PyTorch's",
            "the best file's speed / the best PyTorch's",
        ],
        rows=rows,
        notes=[
            f"{options.rounds} rounds of {calls_per_round(max(BATCH_SIZES))} to {calls_per_round(min(BATCH_SIZES))} "
            f"calls. Results were checked to agree to {TOLERANCE}, except where near ties of maxima allow several "
            "results.",
            "All compute in float32 with one thread per processor; OpenVINO has hints for precision and latency.",
            "The best file is the fastest converted file of the row: for ONNX Runtime, LiteRT or OpenVINO. The best "
            "PyTorch is the fastest of PyTorch's four forms. The last two columns have the median over rounds, and the "
            "quartiles in parentheses.",
            *notes(comparisons),
            *options.memory_note("libraries, images and model, and was measured for the largest batch only"),
        ],
        measurements=records,
        figure=throughput_figure(reconstructions, "preset", f"{SERVING_DEFAULT}: images a second")
        if reconstructions
        else None,
        failures=failures(comparisons),
    )


def _latency(timing: Timing) -> str:
    return f"{timing.median:.2f} / {timing.percentile_99:.2f}"
