"""OpenVINO's own format, for Intel's CPUs, GPUs and NPUs, and for ARM."""

import xml.etree.ElementTree as ET
from pathlib import Path

import openvino
from openvino._offline_transformations import apply_moc_transformations

from deconv_ae.conversion.portable import Part
from deconv_ae.conversion.to_onnx import model_proto
from deconv_ae.conversion.verification import Runner, Tensors

NO_INPUTS = ("Const", "Parameter")
VARIANTS = ("float32",)
VERSIONS = {"openvino": openvino.__version__}


def write(part: Part, variant: str, calibration: Tensors, folder: Path) -> list[Path]:
    """`<part>.xml`, the graph, and `<part>.bin`, its weights."""
    # Through ONNX in memory, with the runtime's own reader, the path that is also checked for ONNX Runtime.
    model = openvino.Core().read_model(model=model_proto(part).SerializeToString())
    # What compiling would do at first, such as to make one reshape of two: what it makes later has no mark.
    apply_moc_transformations(model, False)
    _name_only_inputs_and_outputs(model)
    file = folder / f"{part.name}.xml"
    # The default would round the weights to float16, which alone costs more than the agreement allows.
    openvino.save_model(model, str(file), compress_to_fp16=False)
    _keep_float32(file)
    return [file, file.with_suffix(".bin")]


def open_file(file: Path) -> Runner:
    """The files in OpenVINO on the CPU, told to compute in float32 where the CPU would rather compute in bfloat16."""
    return _runner(file, {"INFERENCE_PRECISION_HINT": "f32"})


def open_by_default(file: Path) -> Runner:
    """The files as OpenVINO opens them when it is told nothing."""
    return _runner(file, {})


def _name_only_inputs_and_outputs(model: openvino.Model) -> None:
    """Drops the names of all other tensors.

    Where OpenVINO leaves out an operation that does nothing, such as the reshape of images of one pixel, its result
    has both tensors' names, and whoever asks for an output's name gets either.
    """
    wanted = {name for tensor in (*model.inputs, *model.outputs) for name in tensor.names}
    for operation in model.get_ops():
        for output in operation.outputs():
            output.set_names(output.names & wanted)


def _keep_float32(file: Path) -> None:
    """Marks every operation as one that must not be computed in fewer bits than it is written in.

    On a CPU with bfloat16 OpenVINO computes in that unless it is told otherwise, which is seen in a pixel. A
    hint of the whole model's (runtime_options, INFERENCE_PRECISION_HINT) is kept in the file and not obeyed; this
    mark of single operations is. It is OpenVINO's DisableFP16Compression, which Python has no function for.
    """
    tree = ET.parse(file)
    for layer in tree.getroot().iterfind("layers/layer"):
        if layer.get("type") == "Pad":
            # The first version, the same but for negative padding: it loses the mark when it is rewritten to that.
            layer.set("version", "opset1")
        if layer.get("type") not in NO_INPUTS:
            marks = layer.find("rt_info")
            if marks is None:
                marks = ET.Element("rt_info")
                layer.insert(0 if layer.find("data") is None else 1, marks)
            ET.SubElement(marks, "attribute", name="precise", version="0")
    tree.write(file, encoding="utf-8", xml_declaration=True)


def _runner(file: Path, configuration: dict[str, str]) -> Runner:
    compiled = openvino.Core().compile_model(str(file), "CPU", configuration)

    def run(inputs: Tensors) -> Tensors:
        outputs = compiled(inputs)
        return {output.get_any_name(): outputs[output] for output in compiled.outputs}

    return run
