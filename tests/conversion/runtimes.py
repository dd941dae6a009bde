"""Runs converted files in their own runtimes, by code that does not use deconv_ae."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Tensors = dict[str, np.ndarray]

OPENVINO_FAILS = "ONEDNN_MAX_CPU_ISA" in os.environ
needs_openvino = pytest.mark.skipif(
    OPENVINO_FAILS,
    reason="In OpenVINO 2026.4, ONEDNN_MAX_CPU_ISA limits oneDNN, but not OpenVINO's own kernels. With SSE4.1, "
    "OpenVINO fails with 'bad combination' (Xbyak). With AVX2 on a CPU with AVX-512, OpenVINO crashes (SIGSEGV) where "
    "it pads left-over rows or columns",
)


def run_onnx(file: Path, inputs: Tensors) -> Tensors:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, inputs)))


def run_litert(file: Path, inputs: Tensors) -> Tensors:
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_path=str(file)).get_signature_runner("serving_default")(**inputs)


def run_openvino(file: Path, inputs: Tensors, precision: str | None = None) -> Tensors:
    """Runs the file with OpenVINO's default precision, or with the given one."""
    import openvino

    hint = {} if precision is None else {"INFERENCE_PRECISION_HINT": precision}
    compiled = openvino.Core().compile_model(str(file), "CPU", hint)
    outputs = compiled(inputs)
    return {output.get_any_name(): outputs[output] for output in compiled.outputs}


RUNTIMES: dict[str, tuple[str, Callable[[Path, Tensors], Tensors]]] = {
    "onnx": (".onnx", run_onnx),
    "litert": (".tflite", run_litert),
    "openvino": (".xml", run_openvino),
}
"""By format, the suffix of its files and the function that runs a file. `every_format` runs a test for each format."""

WORKING_FORMATS = {name: runtime for name, runtime in RUNTIMES.items() if name != "openvino" or not OPENVINO_FAILS}
"""The runtimes that work with the instructions that the environment allows. Tests of all formats together use these."""

every_format = pytest.mark.parametrize(
    "format_name", [pytest.param(name, marks=needs_openvino if name == "openvino" else ()) for name in RUNTIMES]
)
