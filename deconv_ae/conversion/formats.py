"""The formats that a model converts to, and the packages that they need."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from deconv_ae.errors import InputError, choose


@dataclass(frozen=True)
class Format:
    """How to write a format.

    Attributes:
        module: the module in this folder that writes it.
        packages: the packages that the module and its imports need.
        channels_first: whether the format's runtime is faster with channels first; an argument of `portable.parts`.
    """

    module: str
    packages: tuple[str, ...]
    channels_first: bool


# With channels first, ONNX Runtime and OpenVINO decode in about half the time. LiteRT has only channels last.
FORMATS = {
    "litert": Format("to_litert", ("ai_edge_litert",), channels_first=False),
    "onnx": Format("to_onnx", ("tf2onnx", "onnx", "onnxruntime"), channels_first=True),
    "openvino": Format("to_openvino", ("openvino", "tf2onnx", "onnx", "onnxruntime"), channels_first=True),
}


def check_formats(names: Sequence[str]) -> None:
    """Raises InputError if no format is given, a format is unknown, or a package that it needs is not installed."""
    if not names:
        raise InputError(f"format: none given; choose from {', '.join(sorted(FORMATS))}")
    for name in names:
        chosen_format = choose("format", name, FORMATS)
        missing = [package for package in chosen_format.packages if importlib.util.find_spec(package) is None]
        if missing:
            raise InputError(
                f"format: {name} needs packages that are not installed: {', '.join(missing)}; "
                "run pip install 'deconv_ae[convert]'"
            )
