"""OpenVINO's own format, for Intel's CPUs, GPUs and NPUs, and for ARM."""

from pathlib import Path

import openvino

from deconv_ae.conversion.portable import Part
from deconv_ae.conversion.to_onnx import model_proto
from deconv_ae.conversion.verification import Runner, Tensors

VARIANTS = ("float32",)
VERSIONS = {"openvino": openvino.__version__}


def write(part: Part, variant: str, calibration: Tensors, folder: Path) -> list[Path]:
    """`<part>.xml`, the graph, and `<part>.bin`, its weights."""
    # Through ONNX in memory, with the runtime's own reader, the path that is also checked for ONNX Runtime.
    model = openvino.Core().read_model(model=model_proto(part).SerializeToString())
    file = folder / f"{part.name}.xml"
    # The default would round the weights to float16, which alone costs more than the agreement allows.
    openvino.save_model(model, str(file), compress_to_fp16=False)
    return [file, file.with_suffix(".bin")]


def open_file(file: Path) -> Runner:
    """The files in OpenVINO on the CPU, in float32 also where the CPU would rather compute in bfloat16."""
    compiled = openvino.Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(inputs: Tensors) -> Tensors:
        outputs = compiled(inputs)
        return {output.get_any_name(): outputs[output] for output in compiled.outputs}

    return run
