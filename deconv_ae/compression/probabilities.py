"""How probable each value is, given its neighbours: in integers only, so that every machine finds the same.

A plane's values are symbols 0 to n - 2; n - 1 says that a value was never seen in training, and follows apart. What is
known of a symbol beforehand, its context, is a few features, each a small whole number. The score of a symbol is the
sum of one weight for each feature, as in logistic regression; a frequency is a power of two of it, from a table.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SCORES_PER_BIT = 64
LARGEST_FREQUENCY = 2**15
"""Frequencies of 512 symbols have a sum below 2^24: exact in float32, which is what the entropy coder reads."""

LARGEST_WEIGHT = 2**15 - 1
MOST_SYMBOLS = 300
LARGEST_TABLE = 2**15
"""Numbers that stay in a processor's nearest memories."""


def _frequencies() -> np.ndarray:
    """2^(15 - i/64), rounded, at least 1: by integer square roots, as exp2 may differ by a bit between machines."""
    digits = 128
    ratio = 2 << digits
    for _ in range(SCORES_PER_BIT.bit_length() - 1):
        ratio = math.isqrt(ratio << digits)
    powers = [LARGEST_FREQUENCY << digits]
    while powers[-1] >> digits:
        powers.append((powers[-1] << digits) // ratio)
    return np.array([max(1, (power + (1 << (digits - 1))) >> digits) for power in powers], np.float32)


FREQUENCIES = _frequencies()


@dataclass(frozen=True, eq=False)
class Plane:
    """The probabilities of one channel's values.

    Attributes:
        lowest: the value of symbol 0.
        features: how many values each feature has; none of a plane that is not worth looking at its context.
        weights: `(1 + sum(features), symbols)` int16, in 1/64 bit: of no feature, then of each feature's values.
    """

    lowest: int
    features: tuple[int, ...]
    weights: np.ndarray

    @property
    def symbols(self) -> int:
        return self.weights.shape[1]

    @property
    def escape(self) -> int:
        """The symbol of all values that training pictures do not have."""
        return self.symbols - 1

    @property
    def highest(self) -> int:
        return self.lowest + self.symbols - 2

    def frequencies(self, context: Sequence[np.ndarray]) -> np.ndarray:
        """`(n, symbols)` float32 whole numbers of 1 and more; of a plane without features `(symbols,)`.

        Args:
            context: `(n,)` for each feature.
        """
        if not self.features:
            return _powers(self.weights[:1].astype(np.int32))[0]
        scores: np.ndarray | None = None
        for first, end, table in self._tables:
            row = context[first]
            for number in range(first + 1, end):
                row = row * self.features[number] + context[number]
            of_table = table.take(row, axis=0)
            scores = of_table if scores is None else np.add(scores, of_table, out=scores)
        assert scores is not None
        return _powers(scores)

    @functools.cached_property
    def _tables(self) -> list[tuple[int, int, np.ndarray]]:
        """The weights as few tables: each of some features that follow one another, by all their values together."""
        found: list[tuple[int, int, np.ndarray]] = []
        beginnings = 1 + np.cumsum([0, *self.features])
        for number, (begin, count) in enumerate(zip(beginnings, self.features)):
            weights = self.weights[begin : begin + count].astype(np.int32)
            if found and found[-1][2].size * count <= LARGEST_TABLE:
                first, _, table = found.pop()
                weights = (table[:, np.newaxis] + weights).reshape(-1, self.symbols)
            else:
                first = number
                weights = weights if found else weights + self.weights[0]
            found.append((first, number + 1, weights))
        return found


def _powers(scores: np.ndarray) -> np.ndarray:
    """Frequencies of `(n, symbols)` scores, whose array is used up."""
    # Column by column: along rows as short as these, NumPy's own maximum takes as long as all else here.
    highest = functools.reduce(np.maximum, scores.T)
    np.subtract(highest[:, np.newaxis], scores, out=scores)
    return FREQUENCIES.take(scores, mode="clip")
