"""The parts give the model's results: unconverted in both layouts, and converted in every runtime."""

from pathlib import Path

import keras
import numpy as np
import pytest
from runtimes import WORKING_FORMATS

from deconv_ae import Architecture, Autoencoder
from deconv_ae.conversion import to_litert, to_onnx, to_openvino
from deconv_ae.conversion.bounds import Bounds
from deconv_ae.conversion.formats import FORMATS
from deconv_ae.conversion.portable import parts

TOLERANCE = 1e-5
MODULES = {"onnx": to_onnx, "litert": to_litert, "openvino": to_openvino}


@pytest.mark.parametrize(
    ("architecture", "image_shape"),
    [
        (Architecture((1,), (4,)), (28, 28, 1)),
        (Architecture((5, 1), (2, 2)), (28, 28, 1)),
        # Kernels that are even, longer than a window, or one pixel. The windows of the first and third architecture do
        # not divide the images.
        (Architecture((3, 2), ((2, 3), (3, 2)), kernel_size=(4, 3)), (29, 31, 3)),
        (Architecture((2,), ((1, 2),), kernel_size=(6, 7)), (9, 8, 2)),
        (Architecture((2, 3), (3, 1), kernel_size=1), (11, 10, 1)),
        # Stages that use both `pooling_kernel` and `unpooling_kernel`, neither of them, or only `pooling_kernel`.
        (Architecture((40,), (2,), kernel_size=3), (11, 10, 3)),
        (Architecture((20, 20), (3, 2), kernel_size=2), (13, 14, 20)),
        (Architecture((1,), (16,)), (33, 47, 1)),
        (Architecture((1,), (1,), kernel_size=1), (1, 1, 1)),
    ],
)
def test_every_part_agrees_with_the_model_in_both_layouts(
    architecture: Architecture, image_shape: tuple[int, int, int]
) -> None:
    keras.utils.set_random_seed(0)
    model = Autoencoder(architecture, image_shape)
    model.set_weights([weights + 0.01 for weights in model.get_weights()])
    images = np.random.default_rng(0).integers(0, 256, (4, *image_shape)).astype("float32") / 256
    # A constant image has near ties: in a window away from the edges, any value may be the maximum.
    images[2] = 0.5
    # A black image has exact ties in the first stage: the first value is the maximum.
    images[3] = 0
    code, *switches = map(np.asarray, model.encoder(images))
    named_switches = dict(zip(architecture.switches_names, switches))
    expected = {"code": code, **named_switches, "reconstruction": np.asarray(model(images))}
    bounds = Bounds.of(model, images)
    assert not named_switches["switches_1"][3].any()
    for channels_first in (True, False):
        autoencoder, encoder, decoder = parts(model, channels_first)
        for part, inputs, names in (
            (autoencoder, [images], ["code", "reconstruction"]),
            (encoder, [images], ["code", *named_switches]),
            (decoder, [code, *switches], ["reconstruction"]),
        ):
            outputs = {name: np.asarray(values) for name, values in part.graph_function(*inputs).items()}
            assert list(outputs) == names
            for name, values in outputs.items():
                message = f"{name} of the {part.name}, {channels_first=}"
                assert values.dtype == expected[name].dtype, message
                if name in named_switches:
                    assert bounds.count_wrong({name: values}) == 0, message
                elif part is autoencoder and name == "reconstruction":
                    assert bounds.difference(values, expected[name]) <= TOLERANCE, message
                else:
                    np.testing.assert_allclose(values, expected[name], rtol=TOLERANCE, atol=TOLERANCE, err_msg=message)


@pytest.mark.parametrize(
    ("architecture", "image_shape"),
    [
        # This model does not use `unpooling_kernel`, its kernel is even, and its windows do not divide the images.
        (Architecture((20, 20), (3, 3), kernel_size=2), (13, 14, 20)),
        # The last columns lie in no window, and the kernel is too narrow to reach them. If the convolution itself
        # pads these columns, OpenVINO crashes on a batch of one.
        (Architecture((2, 1, 1), ((4, 2), (2, 2), (4, 4)), kernel_size=(6, 1)), (34, 30, 4)),
        # The last 3 rows and 3 columns lie in no window, and the kernel reaches only the first of each.
        (Architecture((17,), (4,), kernel_size=3), (15, 11, 16)),
    ],
)
def test_odd_architectures_agree_in_every_runtime(
    tmp_path: Path, architecture: Architecture, image_shape: tuple[int, int, int]
) -> None:
    keras.utils.set_random_seed(0)
    model = Autoencoder(architecture, image_shape)
    model.set_weights([weights + 0.01 for weights in model.get_weights()])
    images = np.random.default_rng(0).random((3, *image_shape)).astype("float32")
    expected, bounds = np.asarray(model(images)), Bounds.of(model, images)
    encoded = list(map(np.asarray, model.encoder(images)))
    # Formats with the same layout share their parts, as in a conversion.
    all_parts = {channels_first: parts(model, channels_first) for channels_first in (True, False)}
    for format_name in WORKING_FORMATS:
        module = MODULES[format_name]
        autoencoder, _, decoder = all_parts[FORMATS[format_name].channels_first]
        for part, inputs in ((autoencoder, {"images": images}), (decoder, dict(zip(decoder.inputs, encoded)))):
            run = module.open_file(module.write(part, "float32", {}, tmp_path)[0])
            for count in (1, 3):
                outputs = run({name: values[:count] for name, values in inputs.items()})
                # Among nearly equal values, the converted autoencoder may choose another maximum than the model. The
                # converted decoder gets the model's switches.
                actual = np.concatenate([outputs["reconstruction"], expected[count:]])
                difference = (
                    bounds.difference(actual, expected) if part is autoencoder else np.abs(actual - expected).max()
                )
                assert difference <= TOLERANCE, f"{format_name}, {part.name}"
