"""The probability of each value, given its neighbours, computed in integers, so that all machines agree.

A plane's values are symbols 0 to n - 2. Symbol n - 1, the escape, stands for all other values; such a value follows
separately. A symbol's context is a few features, each a small whole number. The score of a symbol is the sum of a
bias and one weight per feature, as in logistic regression. The symbol's frequency, from a table, is proportional to
2^(score / 64), but for rounding.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SCORES_PER_BIT = 64
LARGEST_FREQUENCY = 2**15
"""With this limit, 512 symbols' frequencies sum to at most 2^24, exact in float32, which the entropy coder takes."""

LARGEST_WEIGHT = 2**15 - 1
MOST_SYMBOLS = 300
LARGEST_TABLE = 2**15
"""The number of weights that fit into a processor's fastest caches."""


def _frequencies() -> np.ndarray:
    """The table of 2^(15 - i/64), rounded, at least 1.

    It uses integer square roots, because exp2 may differ by a bit between machines.
    """
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
        feature_sizes: the number of values of each feature; empty for a plane that is coded without a context.
        weights: `(1 + sum(feature_sizes), symbols)` int16, in 1/64 bit: first the biases, then the weights of each
            feature's values.
    """

    lowest: int
    feature_sizes: tuple[int, ...]
    weights: np.ndarray

    @property
    def symbols(self) -> int:
        return self.weights.shape[1]

    @property
    def escape(self) -> int:
        """The symbol of all values below `lowest` or above `highest`."""
        return self.symbols - 1

    @property
    def highest(self) -> int:
        return self.lowest + self.symbols - 2

    def frequencies(self, context: Sequence[np.ndarray]) -> np.ndarray:
        """Computes the frequencies of all symbols in each context.

        Args:
            context: an `(n,)` array for each feature.

        Returns:
            `(n, symbols)` float32 whole numbers of at least 1; for a plane without features `(symbols,)`.
        """
        if not self.feature_sizes:
            return _powers(self.weights[:1].astype(np.int32))[0]
        scores: np.ndarray | None = None
        for first, end, table in self._tables:
            row = context[first]
            for number in range(first + 1, end):
                row = row * self.feature_sizes[number] + context[number]
            of_table = table.take(row, axis=0)
            scores = of_table if scores is None else np.add(scores, of_table, out=scores)
        assert scores is not None
        return _powers(scores)

    @functools.cached_property
    def _tables(self) -> list[tuple[int, int, np.ndarray]]:
        """A few tables, each indexed by the values of consecutive features, with the sums of their weights.

        The sums in the first table include the biases.
        """
        found: list[tuple[int, int, np.ndarray]] = []
        beginnings = 1 + np.cumsum([0, *self.feature_sizes])
        for number, (begin, count) in enumerate(zip(beginnings, self.feature_sizes)):
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
    """Converts `(n, symbols)` scores to frequencies, and overwrites the scores."""
    # Column by column: NumPy's maximum along such short rows would take as long as the rest of this module.
    highest = functools.reduce(np.maximum, scores.T)
    np.subtract(highest[:, np.newaxis], scores, out=scores)
    return FREQUENCIES.take(scores, mode="clip")
