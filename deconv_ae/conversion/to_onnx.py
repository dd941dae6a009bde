"""ONNX, for ONNX Runtime and the many programs that read it."""

import functools
from pathlib import Path

import numpy as np
import onnxruntime
import tf2onnx
from onnx import ModelProto

from deconv_ae.conversion.portable import Part
from deconv_ae.conversion.verification import Runner, Tensors
from deconv_ae.saved_model.signatures import SIGNATURES

OPSET = 17
"""Released in 2022: new enough for every operation used here, old enough for browsers and phones."""

VARIANTS = ("float32",)
VERSIONS = {"onnxruntime": onnxruntime.__version__, "tf2onnx": tf2onnx.__version__}


# The cache holds the ONNX models of one autoencoder's parts, so that to_openvino.py need not make them again.
@functools.lru_cache(maxsize=len(SIGNATURES))
def model_proto(part: Part) -> ModelProto:
    """Converts a part to an ONNX model with the part's input and output names."""
    signature = list(part.inputs.values())
    model, _ = tf2onnx.convert.from_function(part.graph_function, input_signature=signature, opset=OPSET)
    return model


def write(part: Part, variant: str, calibration: Tensors, folder: Path) -> list[Path]:
    """Writes `<part>.onnx`."""
    file = folder / f"{part.name}.onnx"
    file.write_bytes(model_proto(part).SerializeToString())
    return [file]


def open_file(file: Path) -> Runner:
    """Opens the file in ONNX Runtime on the CPU."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Tensors) -> Tensors:
        outputs: list[np.ndarray] = session.run(names, inputs)
        return dict(zip(names, outputs))

    return run
