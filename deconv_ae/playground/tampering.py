"""Changes to a code and its switches on the way from the encoder to the decoder."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deconv_ae.pictures.explanation import centre_switches, shuffle_switches
from deconv_ae.saved_model.serving import Encoded

KEPT, SHUFFLED, CENTRED = "kept", "shuffled", "centred"
SWITCHES = (KEPT, SHUFFLED, CENTRED)
LARGEST_SCALE = 3.0
LARGEST_NOISE = 1.0
MOST_BITS = 8
SEEDS = 1000

CodeValue = tuple[int, int, int, int]
"""A value of a code: its model's number, and its row, column and channel."""

Move = tuple[int, int, int, int, int]
"""A value of a code, as in `CodeValue`, and the place in the value's window to which the value's switch moves."""


@dataclass(frozen=True)
class Tampering:
    """Changes to a code and its switches. The code is changed in the order of the attributes.

    Attributes:
        scale: a factor, 0 to 3.
        noise: the standard deviation of normal noise, as a share of the code's largest value, 0 to 1.
        bits: 1 to 8, or 0 to round nothing. Values are rounded to multiples of `(largest - smallest) / (2**bits - 1)`,
            with the `largest` and the `smallest` among the code's values and 0.
        dropped: the share (0 to 1) of the values that become 0. The seed chooses the values.
        erased: single values that become 0.
        switches: "kept"; "shuffled" among the windows of a pooling; or "centred", each at the middle of its window.
        moved: single switches of the last pooling that move to other places of their windows.
        seed: the seed of the noise, the dropping and the shuffling, below 1,000.
    """

    scale: float = 1.0
    noise: float = 0.0
    bits: int = 0
    dropped: float = 0.0
    erased: frozenset[CodeValue] = frozenset()
    switches: str = KEPT
    moved: frozenset[Move] = frozenset()
    seed: int = 0

    def apply(self, encoded: Encoded, model_number: int, pool_sizes: Sequence[Sequence[int]]) -> Encoded:
        """Changes a code and its switches.

        Args:
            encoded: one image's `(1, h, w, c)` code and `(1, ...)` switches; they are not changed in place.
            model_number: the number by which `erased` and `moved` name the model.
            pool_sizes: (height, width) of the windows of each of the model's poolings.

        Returns:
            The code and the switches that reach the decoder.

        >>> encoded = Encoded(np.float32([[[[0.2], [1.0]]]]), (np.uint8([[[[3], [15]]]]),))
        >>> Tampering(bits=1, erased=frozenset({(0, 0, 1, 0)}), switches="centred").apply(encoded, 0, [(4, 4)])
        Encoded(code=array([[[[0.],
                 [0.]]]], dtype=float32), switches=(array([[[[5],
                 [5]]]], dtype=uint8),))
        """
        code = self._quantize(self._add_noise(encoded.code * np.float32(self.scale)))
        # Another generator chooses the dropped values, so that the choice is independent of the noise.
        order = np.random.default_rng((self.seed, 1)).permutation(code.size)
        code.flat[order[: round(self.dropped * code.size)]] = 0
        for number, *place in self.erased:
            if number == model_number and is_inside(place, code.shape[1:]):
                code[(0, *place)] = 0
        received = Encoded(code, encoded.switches)
        if self.switches == SHUFFLED:
            received = shuffle_switches(received, self.seed)
        elif self.switches == CENTRED:
            received = centre_switches(received, pool_sizes)
        return Encoded(code, self._move_switches(received.switches, model_number, pool_sizes))

    def __str__(self) -> str:
        """Describes the changes in one line.

        >>> print(Tampering(bits=3, switches="shuffled"))
        code rounded to 3 bits; switches shuffled
        >>> print(Tampering())
        nothing
        """
        erased_count = len(self.erased)
        noun = "values" if erased_count > 1 else "value"
        changes = (
            (self.scale != 1, f"code times {self.scale:g}"),
            (self.noise, f"noise of {self.noise:g} times the code's largest value"),
            (self.bits, f"code rounded to {self.bits} {'bits' if self.bits > 1 else 'bit'}"),
            (self.dropped, f"{self.dropped:.0%} of the code's values set to 0"),
            (erased_count, f"{erased_count} {noun} erased, in every picture until put back"),
            (self.switches == SHUFFLED, "switches shuffled"),
            (
                self.switches == CENTRED,
                "all switches centred (in a 2x2 window, at the upper left)",
            ),
            (self.moved, f"{len(self.moved)} {'switches' if len(self.moved) > 1 else 'switch'} moved"),
        )
        return "; ".join(text for is_changed, text in changes if is_changed) or "nothing"

    def _move_switches(
        self, switches: tuple[np.ndarray, ...], model_number: int, pool_sizes: Sequence[Sequence[int]]
    ) -> tuple[np.ndarray, ...]:
        """Moves the switches that `moved` names, in a copy of the last pooling's switches."""
        if not self.moved:
            return switches
        *earlier, last = switches
        last = last.copy()
        for number, row, column, channel, place in self.moved:
            exists = is_inside((row, column, channel), last.shape[1:]) and place < math.prod(pool_sizes[-1])
            if number == model_number and exists:
                last[0, row, column, channel] = place
        return (*earlier, last)

    def _add_noise(self, code: np.ndarray) -> np.ndarray:
        # NumPy refuses a standard deviation of -0, so abs turns it into 0.
        deviation = abs(self.noise * float(np.max(code, initial=0)))
        noise = np.random.default_rng(self.seed).normal(0, deviation, code.shape)
        # Noise lowers no value below 0 or, in a channel with negative averages, below the lowest of them. So maxima
        # stay at least 0, as after a ReLU.
        lowest = np.minimum(code.min(axis=(0, 1, 2)), 0)
        return np.maximum(code + noise.astype(np.float32), lowest)

    def _quantize(self, code: np.ndarray) -> np.ndarray:
        code_range = float(np.max(code, initial=0)) - float(np.min(code, initial=0))
        if not self.bits or not code_range:
            return code.copy()
        step = np.float32(code_range / (2**self.bits - 1))
        return np.round(code / step) * step


PRESETS = {
    "Centre the switches": Tampering(switches=CENTRED),
    "Round to 3 bits": Tampering(bits=3),
    "Drop half of the values": Tampering(dropped=0.5),
}
"""Changes that each have a button: the code without its places, with less precision, or with fewer values."""


def is_inside(place: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether an array of this shape has an element at a place.

    >>> is_inside((0, 2), (3, 3)), is_inside((0, 3), (3, 3))
    (True, False)
    """
    return all(0 <= index < length for index, length in zip(place, shape))
