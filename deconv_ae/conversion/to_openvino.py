"""OpenVINO's own format, for Intel's CPUs, GPUs and NPUs, and for ARM."""

import xml.etree.ElementTree as ET
from pathlib import Path

import openvino
from openvino._offline_transformations import apply_moc_transformations

from deconv_ae.conversion.portable import Part
from deconv_ae.conversion.to_onnx import model_proto
from deconv_ae.conversion.verification import Runner, Tensors

TYPES_WITHOUT_INPUTS = ("Const", "Parameter")
VARIANTS = ("float32",)
VERSIONS = {"openvino": openvino.__version__}


def write(part: Part, variant: str, calibration: Tensors, folder: Path) -> list[Path]:
    """Writes the graph to `<part>.xml` and its weights to `<part>.bin`."""
    # OpenVINO reads the same ONNX model as ONNX Runtime.
    model = openvino.Core().read_model(model=model_proto(part).SerializeToString())
    # OpenVINO applies these transformations when it compiles a model. They are applied here already, so that
    # `_keep_float32` also marks the operations that they add.
    apply_moc_transformations(model, False)
    _name_only_inputs_and_outputs(model)
    file = folder / f"{part.name}.xml"
    # By default OpenVINO rounds the weights to float16. That error alone exceeds the tolerance.
    openvino.save_model(model, str(file), compress_to_fp16=False)
    _keep_float32(file)
    return [file, file.with_suffix(".bin")]


def open_file(file: Path) -> Runner:
    """Opens a file in OpenVINO on the CPU, with float32 arithmetic even on CPUs with bfloat16."""
    return _runner(file, {"INFERENCE_PRECISION_HINT": "f32"})


def open_with_default_precision(file: Path) -> Runner:
    """Opens a file in OpenVINO on the CPU, with the precision that OpenVINO chooses for this CPU."""
    return _runner(file, {})


def _name_only_inputs_and_outputs(model: openvino.Model) -> None:
    """Drops the names of all tensors other than the model's inputs and outputs.

    OpenVINO removes operations without effect, such as the reshape of images of one pixel. Then one tensor has the
    names of the operation's input and output, and an output's name would be ambiguous.
    """
    kept_names = {name for tensor in (*model.inputs, *model.outputs) for name in tensor.names}
    for operation in model.get_ops():
        for output in operation.outputs():
            output.set_names(output.names & kept_names)


def _keep_float32(file: Path) -> None:
    """Marks every operation that has inputs, so that OpenVINO does not lower the operation's precision.

    On a CPU with bfloat16, OpenVINO computes in bfloat16 by default, which changes pixels visibly. A file can hold a
    hint for the whole model (runtime_options, INFERENCE_PRECISION_HINT), but OpenVINO ignores it. OpenVINO obeys a
    mark of a single operation: DisableFP16Compression, which a file calls "precise". OpenVINO's Python interface has no
    function that sets this mark.
    """
    tree = ET.parse(file)
    for layer in tree.getroot().iterfind("layers/layer"):
        if layer.get("type") == "Pad":
            # OpenVINO would rewrite a later version of Pad to opset1's and lose the mark. The two versions differ only
            # in negative padding.
            layer.set("version", "opset1")
        if layer.get("type") not in TYPES_WITHOUT_INPUTS:
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
