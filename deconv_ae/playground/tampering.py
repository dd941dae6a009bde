"""What can be done to a code and its switches between the encoder and the decoder."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deconv_ae.pictures.explanation import centred, shuffled
from deconv_ae.saved_model.serving import Encoded

KEPT, SHUFFLED, CENTRED = "kept", "shuffled", "centred"
SWITCHES = (KEPT, SHUFFLED, CENTRED)
LARGEST_SCALE = 3.0
LARGEST_NOISE = 1.0
MOST_BITS = 8
SEEDS = 1000

Pixel = tuple[int, int, int, int]
"""A code's pixel: the model's number, row, column and channel."""


@dataclass(frozen=True)
class Tampering:
    """What happens to a code on its way, in this order, and to its switches.

    Attributes:
        scale: factor, 0 to 3.
        noise: standard deviation of normal noise, as a share of the code's largest value, 0 to 1.
        bits: whole levels from 0 to the code's largest value, 1 to 8 bits; 0 leaves float32.
        erased: pixels that are set to 0.
        switches: "kept"; "shuffled" among the windows of a pooling; or "centred", each at the middle of its window.
        seed: of the noise and the shuffling, below 1,000.
    """

    scale: float = 1.0
    noise: float = 0.0
    bits: int = 0
    erased: frozenset[Pixel] = frozenset()
    switches: str = KEPT
    seed: int = 0

    def apply(self, encoded: Encoded, model_number: int, pool_sizes: Sequence[Sequence[int]]) -> Encoded:
        """What reaches the decoder of one image's `(1, h, w, c)` code and `(1, ...)` switches.

        >>> encoded = Encoded(np.float32([[[[0.2], [1.0]]]]), (np.uint8([[[[3], [15]]]]),))
        >>> Tampering(bits=1, erased=frozenset({(0, 0, 1, 0)}), switches="centred").apply(encoded, 0, [(4, 4)])
        Encoded(code=array([[[[0.],
                 [0.]]]], dtype=float32), switches=(array([[[[5],
                 [5]]]], dtype=uint8),))
        """
        code = self._quantized(self._noisy(encoded.code * np.float32(self.scale)))
        for number, row, column, channel in self.erased:
            if number == model_number and all(
                0 <= n < limit for n, limit in zip((row, column, channel), code.shape[1:])
            ):
                code[0, row, column, channel] = 0
        received = Encoded(code, encoded.switches)
        if self.switches == SHUFFLED:
            return shuffled(received, self.seed)
        return centred(received, pool_sizes) if self.switches == CENTRED else received

    def _noisy(self, code: np.ndarray) -> np.ndarray:
        spread = self.noise * float(np.max(code, initial=0))
        noise = np.random.default_rng(self.seed).normal(0, spread, code.shape)
        # A code comes out of a ReLU: the decoder never meets anything below 0.
        return np.maximum(code + noise.astype(np.float32), 0)

    def _quantized(self, code: np.ndarray) -> np.ndarray:
        highest = float(np.max(code, initial=0))
        if not self.bits or not highest:
            return code.copy()
        step = np.float32(highest / (2**self.bits - 1))
        return np.round(code / step) * step
