"""What is converted, before it is: the same results as the model's, whichever way they are computed."""

from pathlib import Path

import keras
import numpy as np
import pytest

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
        # Sizes that the windows do not divide, and kernels that are even, longer than a window, or of one pixel.
        (Architecture((3, 2), ((2, 3), (3, 2)), kernel_size=(4, 3)), (29, 31, 3)),
        (Architecture((2,), ((1, 2),), kernel_size=(6, 7)), (9, 8, 2)),
        (Architecture((2, 3), (3, 1), kernel_size=1), (11, 10, 1)),
        # Too many filters, or too large windows, to go by windows on the way out, on neither way, on the way out.
        (Architecture((40,), (2,), kernel_size=3), (11, 10, 3)),
        (Architecture((20, 20), (3, 2), kernel_size=2), (13, 14, 20)),
        (Architecture((1,), (16,)), (33, 47, 1)),
        (Architecture((1,), (1,), kernel_size=1), (1, 1, 1)),
    ],
)
def test_every_part_computes_what_the_model_computes_in_both_orders_of_channels(
    architecture: Architecture, image_shape: tuple[int, int, int]
) -> None:
    keras.utils.set_random_seed(0)
    model = Autoencoder(architecture, image_shape)
    model.set_weights([weights + 0.01 for weights in model.get_weights()])
    images = np.random.default_rng(0).integers(0, 256, (4, *image_shape)).astype("float32") / 256
    # Equal values, but for rounding: any is the maximum.
    images[2] = 0.5
    # Equal values: the first is the maximum.
    images[3] = 0
    code, *switches = map(np.asarray, model.encoder(images))
    named = dict(zip(architecture.switches_names, switches))
    expected = {"code": code, **named, "reconstruction": np.asarray(model(images))}
    bounds = Bounds.of(model, images)
    assert not named["switches_1"][3].any()
    for channels_first in (True, False):
        whole, encoder, decoder = parts(model, channels_first)
        for part, inputs, names in (
            (whole, [images], ["code", "reconstruction"]),
            (encoder, [images], ["code", *named]),
            (decoder, [code, *switches], ["reconstruction"]),
        ):
            outputs = {name: np.asarray(values) for name, values in part.graph_function(*inputs).items()}
            assert list(outputs) == names
            for name, values in outputs.items():
                said = f"{name} of the {part.name}, {channels_first=}"
                assert values.dtype == expected[name].dtype, said
                if name in named:
                    assert bounds.wrong({name: values}) == 0, said
                elif part is whole and name == "reconstruction":
                    assert bounds.difference(values, expected[name]) <= TOLERANCE, said
                else:
                    np.testing.assert_allclose(values, expected[name], rtol=TOLERANCE, atol=TOLERANCE, err_msg=said)


@pytest.mark.parametrize(
    ("architecture", "image_shape"),
    [
        # Not by windows on the way out, in two sizes that the windows do not divide, by a kernel that is even.
        (Architecture((20, 20), (3, 3), kernel_size=2), (13, 14, 20)),
        # Columns that no window has, and where a kernel of one column does not reach: OpenVINO ended the process, of
        # one image.
        (Architecture((2, 1, 1), ((4, 2), (2, 2), (4, 4)), kernel_size=(6, 1)), (34, 30, 4)),
        # Rows and columns that no window has, more of them than the kernel reaches.
        (Architecture((17,), (4,), kernel_size=3), (15, 11, 16)),
    ],
)
def test_odd_architectures_are_the_same_in_every_runtime(
    tmp_path: Path, architecture: Architecture, image_shape: tuple[int, int, int]
) -> None:
    keras.utils.set_random_seed(0)
    model = Autoencoder(architecture, image_shape)
    model.set_weights([weights + 0.01 for weights in model.get_weights()])
    images = np.random.default_rng(0).random((3, *image_shape)).astype("float32")
    expected, bounds = np.asarray(model(images)), Bounds.of(model, images)
    encoded = list(map(np.asarray, model.encoder(images)))
    # Formats of one order of channels are made of the same parts, as a conversion makes them.
    all_parts = {channels_first: parts(model, channels_first) for channels_first in (True, False)}
    for format_name, module in MODULES.items():
        whole, _, decoder = all_parts[FORMATS[format_name].channels_first]
        for part, inputs in ((whole, {"images": images}), (decoder, dict(zip(decoder.inputs, encoded)))):
            run = module.open_file(module.write(part, "float32", {}, tmp_path)[0])
            for count in (1, 3):
                outputs = run({name: values[:count] for name, values in inputs.items()})
                # Where a choice is unclear, the whole may choose otherwise than the model; the decoder is given one.
                drawn = np.concatenate([outputs["reconstruction"], expected[count:]])
                off = bounds.difference(drawn, expected) if part is whole else np.abs(drawn - expected).max()
                assert off <= TOLERANCE, f"{format_name}, {part.name}"
