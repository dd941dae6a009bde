"""Coding order, probabilities and entropy coder, without a model, compared with plain definitions."""

import numpy as np
import pytest

from deconv_ae.compression.contexts import CodeContext, SwitchContext
from deconv_ae.compression.entropy_coding import EntropyCoder, encoded_bytes, new_decoder, new_encoder
from deconv_ae.compression.order import passes
from deconv_ae.compression.probabilities import FREQUENCIES, LARGEST_FREQUENCY, SCORES_PER_BIT, Plane
from deconv_ae.compression.traversal import Tensor

TENSORS = (
    Tensor("code", (5, 7, 2), True),
    Tensor("switches_1", (10, 14, 3), False),
    Tensor("switches_2", (5, 7, 2), False, "code"),
)


def random_planes(seed: int) -> dict[str, tuple[Plane, ...]]:
    """Planes of many kinds: few and many symbols, negative values, with and without a context."""
    random = np.random.default_rng(seed)

    def plane(lowest: int, symbol_count: int, feature_sizes: tuple[int, ...]) -> Plane:
        weights = random.integers(-400, 400, (1 + sum(feature_sizes), symbol_count)).astype(np.int16)
        return Plane(lowest, feature_sizes, weights)

    return {
        "code": (plane(-3, 9, CodeContext.feature_sizes), plane(0, 5, ())),
        "switches_1": tuple(plane(0, 5, SwitchContext.feature_sizes(4)) for _ in range(3)),
        "switches_2": (plane(0, 21, SwitchContext.feature_sizes(20)), plane(0, 21, ())),
    }


def random_values(seed: int, picture_count: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    values = {
        "code": random.integers(-3, 5, (2, picture_count, 35)).astype(np.int32),
        "switches_1": random.integers(0, 4, (3, picture_count, 140)).astype(np.int32),
        "switches_2": random.integers(0, 20, (2, picture_count, 35)).astype(np.int32),
    }
    # The coder escapes these rare and large values.
    values["code"][0, 0, :3] = [-(2**30), 2**30, 77]
    values["switches_1"][1, -1, 5] = 255
    # Where the code is 0, a switch has no effect, and the decoder returns 0.
    values["switches_2"][values["code"] == 0] = 0
    return values


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 7), (14, 3), (8, 16)])
def test_every_place_is_coded_once_after_its_neighbours(size: tuple[int, int]) -> None:
    height, width = size
    coded: set[int] = set()
    for plane_pass in passes(height, width):
        known = coded | {height * width}  # The index after the last place stands for a missing neighbour.
        assert set(plane_pass.neighbours.ravel().tolist()) <= known
        assert not coded & set(plane_pass.places.tolist())
        coded |= set(plane_pass.places.tolist())
    assert coded == set(range(height * width))


def test_frequencies_are_two_to_the_power_of_scores() -> None:
    assert np.array_equal(
        FREQUENCIES, np.maximum(1, np.round(LARGEST_FREQUENCY * 2.0 ** (-np.arange(len(FREQUENCIES)) / SCORES_PER_BIT)))
    )
    weights = np.random.default_rng(0).integers(-300, 300, (1 + 2 + 3, 4)).astype(np.int16)
    first, second = np.array([0, 1, 1]), np.array([2, 0, 1])
    found = Plane(0, (2, 3), weights).frequencies([first, second])
    scores = (weights[0] + weights[1 + first] + weights[3 + second]).astype(float)
    expected = LARGEST_FREQUENCY * 2 ** ((scores - scores.max(axis=1, keepdims=True)) / SCORES_PER_BIT)
    np.testing.assert_allclose(found, expected, atol=0.5001)


@pytest.mark.parametrize("seed", range(12))
def test_decoding_inverts_encoding_and_files_have_the_predicted_size(seed: int) -> None:
    coder = EntropyCoder(TENSORS, random_planes(seed), halvings=seed % 5)
    values = random_values(seed, picture_count=6)
    slices = [slice(0, 1), slice(1, 4), slice(4, 6)]
    encoders = [new_encoder() for _ in slices]
    coder.encode(values, list(zip(encoders, slices)))
    files = [encoded_bytes(each) for each in encoders]
    found = coder.decode([(new_decoder(file), picture_slice) for file, picture_slice in zip(files, slices)])
    for name, expected in values.items():
        np.testing.assert_array_equal(found[name], expected)
    bits = sum(coder.bits(values).values())
    assert bits / 8 - 3 <= sum(map(len, files)) <= bits / 8 + 3 * 1.1 + 1e-3 * bits


def test_last_byte_of_a_file_is_needed() -> None:
    coder = EntropyCoder(TENSORS, random_planes(0), halvings=0)
    for seed in range(20):
        values = random_values(seed, picture_count=1)
        encoder = new_encoder()
        coder.encode(values, [(encoder, slice(0, 1))])
        file = encoded_bytes(encoder)
        shorter = coder.decode([(new_decoder(file[:-1]), slice(0, 1))])
        assert any(not np.array_equal(shorter[name], values[name]) for name in values)


def test_file_format_version_1_is_unchanged() -> None:
    """If a library, a processor or a release of deconv_ae changes these bytes, older files cannot be read."""
    coder = EntropyCoder(TENSORS[:1], {"code": random_planes(0)["code"]}, halvings=0)
    encoder = new_encoder()
    coder.encode({"code": (np.arange(70).reshape(2, 1, 35) % 4).astype(np.int32)}, [(encoder, slice(0, 1))])
    assert encoded_bytes(encoder).hex() == GOLDEN


GOLDEN = (
    "fedeb49e14496d4208b24ab0a22415dfef688ed9bdbfc52274f0017e6d8cd5dc5637c3734188ef8fda394c500a1cba9f"
    "acffe7190a9840a6e08ac3017b45ca86f927774d9a779ee63f"
)
