"""Contestants that run converted files in float32; their processes import no other framework."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from benchmarks.calls import Calls
from benchmarks.measurement import Unavailable

Tensors = Mapping[str, np.ndarray]
THREADS = os.cpu_count() or 1
"""As many as PyTorch's contestants and TensorFlow use."""


def onnx_runtime(file: str, inputs: Tensors, output: str) -> Callable[[], np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    index = [value.name for value in session.get_outputs()].index(output)
    return lambda: session.run(None, inputs)[index]


def litert(file: str, inputs: Tensors, output: str) -> Callable[[], np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    signature = Interpreter(model_path=file, num_threads=THREADS).get_signature_runner()
    return lambda: signature(**inputs)[output]


def openvino(file: str, inputs: Tensors, output: str) -> Callable[[], np.ndarray]:
    import openvino

    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": THREADS}
    request = openvino.Core().compile_model(file, "CPU", options).create_infer_request()
    return lambda: request.infer(inputs, share_inputs=True, share_outputs=True)[output]


OPENED_BY = {".onnx": onnx_runtime, ".tflite": litert, ".xml": openvino}


def raise_unavailable(reason: str) -> Calls:
    """Raises Unavailable in place of making a contestant that has no file."""
    raise Unavailable(reason)


def converted_calls(file: str, inputs: Tensors, output: str, batch_size: int) -> Calls:
    """Calls of a converted file, which return the output of this name."""
    return Calls(OPENED_BY[Path(file).suffix](file, inputs, output), batch_size)
