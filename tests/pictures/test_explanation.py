"""Shuffling and centring switches."""

import numpy as np
import pytest

from deconv_ae.pictures.explanation import centre_switches, shuffle_switches
from deconv_ae.saved_model.serving import Encoded


def test_shuffling_keeps_each_images_switches() -> None:
    switches = np.arange(2 * 9, dtype=np.uint8).reshape(2, 3, 3, 1)
    encoded = Encoded(np.zeros((2, 3, 3, 1), np.float32), (switches,))
    mixed = shuffle_switches(encoded).switches[0]
    assert not np.array_equal(mixed, switches)
    np.testing.assert_array_equal(np.sort(mixed.reshape(2, -1)), switches.reshape(2, -1))
    np.testing.assert_array_equal(shuffle_switches(encoded).switches[0], mixed)


@pytest.mark.parametrize(("pool_size", "expected"), [((4, 4), 5), ((2, 2), 0), ((3, 3), 4), ((1, 5), 2)])
def test_even_windows_are_centred_at_the_upper_left_of_their_middle(pool_size: tuple[int, int], expected: int) -> None:
    encoded = Encoded(np.zeros((1, 2, 2, 1), np.float32), (np.zeros((1, 2, 2, 1), np.uint8),))
    np.testing.assert_array_equal(centre_switches(encoded, [pool_size]).switches[0], expected)
