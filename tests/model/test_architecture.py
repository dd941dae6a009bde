"""Architectures as data, and the three models of an architecture."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from deconv_ae import Architecture, Autoencoder
from deconv_ae.errors import InputError
from deconv_ae.model.presets import PRESETS

SMALL = {"filters": (2,), "pool_sizes": (2,)}


@pytest.mark.parametrize(
    ("preset", "code_shape", "parameters"),
    [
        ("cmap1_pool4", (7, 7, 1), 26 + 25),
        ("cmap3_pool4", (7, 7, 3), 78 + 75),
        ("cmap1_pool2", (14, 14, 1), 26 + 25),
        ("two_layer", (7, 7, 1), 130 + 126 + 130 + 126),
    ],
)
def test_presets_have_the_originals_codes_and_parameters(
    preset: str, code_shape: tuple[int, ...], parameters: int
) -> None:
    model = Autoencoder(PRESETS[preset].architecture, (28, 28, 1))
    assert model.encoder.output_shape[0][1:] == code_shape
    assert model.count_params() == parameters
    assert model.output_shape == (None, 28, 28, 1)


def test_layers_carry_the_originals_names() -> None:
    model = Autoencoder(Architecture((3, 2), (2, 2)), (28, 28, 1))
    assert [layer.name for layer in model.layers] == [
        *("images", "conv1", "pool1", "conv2", "pool2"),
        *("unpool2", "deconv2", "unpool1", "deconv1"),
    ]


def test_smooth_path_layers_surround_the_stages() -> None:
    model = Autoencoder(Architecture((2,), (2,), averages=3), (5, 4, 1))
    assert [layer.name for layer in model.layers] == [
        *("images", "averages", "enlarge", "repeat_edges", "rest"),
        *("conv1", "pool1", "unpool1", "deconv1", "reconstruction"),
    ]


def test_smooth_path_is_linear_and_stages_encode_the_difference() -> None:
    images = np.random.default_rng(0).uniform(size=(2, 9, 8, 3)).astype(np.float32)
    model = Autoencoder(Architecture((2,), (4,), averages=5), (9, 8, 3))
    averaging_weights, enlarging_weights = (model.get_layer(name).get_weights() for name in ("averages", "enlarge"))
    code, *switches = model.encoder(images)
    for row, column in np.ndindex(2, 2):
        block = images[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        averages = np.einsum("nhwc,hwck->nk", block, averaging_weights[0]) + averaging_weights[1]
        np.testing.assert_allclose(code[:, row, column, 2:], averages, atol=1e-5)
        smooth = np.einsum("nk,hwck->nhwc", averages, enlarging_weights[0]) + enlarging_weights[1]
        rest = keras.Model(model.inputs[0], model.get_layer("rest").output)(images)
        np.testing.assert_allclose(
            rest[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4], block - smooth, atol=1e-5
        )
    # With maxima of zero, the decoder returns the smooth picture. No block covers its last row, which repeats row 7.
    only_averages = keras.ops.where(np.arange(7) < 2, 0.0, code)
    smooth_pictures = model.decoder([only_averages, *switches]).numpy()
    np.testing.assert_array_equal(smooth_pictures[:, 8], smooth_pictures[:, 7])


def test_more_averages_than_numbers_in_a_block_are_refused() -> None:
    architecture = Architecture((2,), (2,), averages=5)
    Autoencoder(architecture, (8, 8, 3))
    with pytest.raises(InputError, match="averages: 5 are more than the 4 numbers of a block"):
        Autoencoder(architecture, (8, 8, 1))


@pytest.mark.parametrize(("stages", "bias"), [(1, False), (2, True)])
def test_stages_have_the_activations_and_biases_of_cntk(stages: int, bias: bool) -> None:
    model = Autoencoder(Architecture((2,) * stages, (2,) * stages), (8, 8, 1))
    for number in range(1, stages + 1):
        assert model.get_layer(f"conv{number}").activation is keras.activations.relu
        assert model.get_layer(f"deconv{number}").activation is keras.activations.linear
        assert model.get_layer(f"deconv{number}").use_bias is bias


@pytest.mark.parametrize("image_shape", [(28, 28, 1), (29, 31, 3), (6, 5, 2), (17, 64, 1)])
@pytest.mark.parametrize(
    "fields",
    [
        SMALL,
        {"filters": (3, 2), "pool_sizes": (2, (2, 1))},
        {"filters": (2,), "pool_sizes": ((5, 3),), "kernel_size": (4, 3)},
        {**SMALL, "averages": 1},
        {"filters": (3, 2), "pool_sizes": (2, (2, 1)), "averages": 5},
    ],
)
def test_encoder_and_decoder_agree_with_the_autoencoder(fields: dict, image_shape: tuple[int, int, int]) -> None:
    model = Autoencoder(fields, image_shape)
    images = np.random.default_rng(0).uniform(size=(3, *image_shape)).astype(np.float32)
    reconstruction = model(images).numpy()
    assert reconstruction.shape == images.shape
    code, *switches = model.encoder(images)
    assert code.shape[1:] == model.architecture.code_shape(image_shape)
    assert [each.shape[1:] for each in switches] == model.architecture.stage_shapes(image_shape)[1:]
    assert len(switches) == len(model.architecture.filters)
    np.testing.assert_allclose(model.decoder([code, *switches]), reconstruction, atol=1e-6)
    # Switches do not depend on the other images of the batch.
    encoded_alone = model.encoder(images[1:2])
    np.testing.assert_allclose(model.decoder(encoded_alone), reconstruction[1:2], atol=1e-6)


def test_encoder_and_decoder_share_the_autoencoders_weights() -> None:
    model = Autoencoder(SMALL, (8, 8, 1))
    kernel = model.get_layer("conv1").kernel
    assert model.encoder.get_layer("conv1").kernel is kernel
    assert {id(v) for v in [*model.encoder.variables, *model.decoder.variables]} == {id(v) for v in model.variables}


@pytest.mark.parametrize("averages", [0, 3])
def test_keras_file_restores_all_three_models(averages: int, tmp_path: Path) -> None:
    # The second stage's windows leave rows and columns over.
    model = Autoencoder(Architecture((5, 1), (2, 3), averages=averages), (28, 28, 1))
    images = np.random.default_rng(0).uniform(size=(2, 28, 28, 1)).astype(np.float32)
    originals = {"autoencoder": model, "encoder": model.encoder, "decoder": model.decoder}
    for name, original in originals.items():
        original.save(tmp_path / f"{name}.keras")
    autoencoder, encoder, decoder = (keras.models.load_model(tmp_path / f"{name}.keras") for name in originals)
    assert autoencoder.architecture == model.architecture
    np.testing.assert_array_equal(autoencoder(images), model(images))
    np.testing.assert_allclose(decoder(encoder(images)), model(images), atol=1e-6)
    np.testing.assert_allclose(autoencoder.decoder(autoencoder.encoder(images)), model(images), atol=1e-6)


def test_restored_model_trains_as_the_original(tmp_path: Path) -> None:
    images = np.random.default_rng(0).uniform(size=(8, 8, 8, 1)).astype(np.float32)
    model = Autoencoder(SMALL, (8, 8, 1))
    model.compile("adam", "mse", run_eagerly=True)  # Tracing takes longer than two steps.
    model.fit(images, images, verbose=0)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    for each in (model, restored):
        each.fit(images, images, verbose=0, shuffle=False)
    for expected, actual in zip(model.get_weights(), restored.get_weights()):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"filters": (), "pool_sizes": ()}, "filters: at least one"),
        ({"filters": (1, 2), "pool_sizes": (2,)}, "pool_sizes: 1 given for 2 filters"),
        ({"filters": (0,), "pool_sizes": (2,)}, "filters: 0 is below 1"),
        ({"filters": (-3,), "pool_sizes": (2,)}, "filters: -3 is below 1"),
        ({"filters": ("many",), "pool_sizes": (2,)}, "filters: 'many' is not"),
        ({"filters": (1.5,), "pool_sizes": (2,)}, "filters: 1.5 is not"),
        ({"filters": (1,), "pool_sizes": (0,)}, "pool_sizes: 0 is below 1"),
        ({"filters": (1,), "pool_sizes": ((2, 2, 2),)}, "pool_sizes: (2, 2, 2) is neither"),
        ({"filters": (1,), "pool_sizes": (17,)}, "pool_sizes: a window of 17x17"),
        ({"filters": (1,), "pool_sizes": (2,), "kernel_size": 0}, "kernel_size: 0 is below 1"),
        ({"filters": (1,), "pool_sizes": (2,), "averages": -1}, "averages: -1 is below 0"),
        ({"filters": (1,), "pool_sizes": (2,), "averages": True}, "averages: True is not"),
    ],
)
def test_wrong_architecture_field_is_refused_by_name(fields: dict, message: str) -> None:
    with pytest.raises(InputError) as raised:
        Architecture(**fields)
    assert str(raised.value).startswith(message)


def test_window_larger_than_its_input_is_refused() -> None:
    with pytest.raises(InputError, match="stage 2 pools 4x4 by 5x5"):
        Autoencoder(Architecture((1, 1), (2, 5)), (8, 8, 1))


def test_sizes_count_code_and_switches_separately() -> None:
    size = PRESETS["two_layer"].architecture.size_per_image((28, 28, 1))
    assert size.original_bits == 28 * 28 * 8
    assert size.code_bits == 7 * 7 * 32
    assert size.switches_bits == 14 * 14 * 5 * 2 + 7 * 7 * 2
    assert size.factor_with_switches == pytest.approx(6272 / (1568 + 2058))


@pytest.mark.usefixtures("bfloat16")
@pytest.mark.parametrize("averages", [0, 2])
def test_reconstructions_are_float32_under_mixed_precision(averages: int) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = Autoencoder({**SMALL, "averages": averages}, (8, 8, 1))
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    assert model(np.ones((1, 8, 8, 1), np.float32)).dtype == "float32"


def test_config_leaves_out_options_unknown_to_older_keras() -> None:
    # Keras 3.15 gave HeNormal two new options, which older versions refuse.
    model = Autoencoder(Architecture((2,), (2,)), (4, 4, 1), "he_normal", keras.initializers.HeNormal(seed=3))
    config = model.get_config()
    assert config["convolution_initializer"]["config"] == {}
    assert config["deconvolution_initializer"]["config"] == {"seed": 3}


@pytest.mark.parametrize(("switch", "dtype"), [(-1, np.int32), (16, np.int32), (16, np.uint8), (2**32, np.int64)])
def test_decoding_refuses_wrong_switches(switch: int, dtype: type) -> None:
    model = Autoencoder(Architecture((1,), (4,)), (8, 8, 1))
    switches = np.zeros((1, 2, 2, 1), dtype)
    switches[0, 1, 0, 0] = switch
    with pytest.raises(tf.errors.InvalidArgumentError, match="outside of"):
        model.decode(np.ones((1, 2, 2, 1), np.float32), [switches])
    with pytest.raises(ValueError, match="`switches` must be integers; got float32"):
        model.decode(np.ones((1, 2, 2, 1), np.float32), [np.full((1, 2, 2, 1), 0.5, np.float32)])
    with pytest.raises(ValueError, match="`switches` is out of range"):
        model.decode(np.ones((1, 2, 2, 1), np.float32), [np.full((1, 2, 2, 1), 2**63, np.uint64)])
