"""LiteRT (TensorFlow Lite), for phones and microcontrollers: with built-in operations only."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from ai_edge_litert import __version__ as litert_version
from ai_edge_litert.interpreter import Interpreter

from deconv_ae.conversion.portable import Part
from deconv_ae.conversion.verification import Runner, Tensors

VARIANTS = ("float32", "float16", "int8")
VERSIONS = {"ai_edge_litert": litert_version}


def write(part: Part, variant: str, calibration: Tensors, folder: Path) -> list[Path]:
    """Writes `<part>.tflite` for float32, or `<part>_<variant>.tflite`.

    float16 stores the weights in half the bytes. int8 computes in 8-bit integers, in ranges that the calibration
    tensors determine. Inputs and outputs keep their types.
    """
    function = part.graph_function
    # The converter needs an object that owns the function, to read the function's input and output names.
    owner = tf.Module()
    owner.function = function
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], owner)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if variant != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if variant == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: _batches_of_one({name: calibration[name] for name in part.inputs})
    file = folder / (f"{part.name}.tflite" if variant == "float32" else f"{part.name}_{variant}.tflite")
    with warnings.catch_warnings():
        # The converter calibrates with TensorFlow's own deprecated interpreter, which the user cannot change.
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated", UserWarning)
        file.write_bytes(converter.convert())
    return [file]


def open_file(file: Path) -> Runner:
    """Opens the file in LiteRT's interpreter on the CPU, with built-in operations only."""
    signature = Interpreter(model_path=str(file)).get_signature_runner()
    return lambda inputs: signature(**inputs)


def _batches_of_one(tensors: Tensors) -> Iterator[Tensors]:
    count = len(next(iter(tensors.values())))
    for index in range(count):
        yield {name: values[index : index + 1] for name, values in tensors.items()}
