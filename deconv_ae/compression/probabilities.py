"""The probability of each value in its context, computed in integers, so that all machines agree.

A plane's values are symbols 0 to n - 2. Symbol n - 1, the escape, stands for all other values; such a value follows
separately. A symbol's context is a few features, each a small whole number. The score of a symbol is the sum of a
bias and one weight per feature, as in logistic regression. A table maps scores to frequencies, which are proportional
to 2^(score / 64), apart from rounding.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SCORES_PER_BIT = 64
LARGEST_FREQUENCY = 2**15
"""With this limit, the frequencies of 512 symbols sum to at most 2^24, which the coder's float32 holds exactly."""

LARGEST_WEIGHT = 2**15 - 1
MOST_SYMBOLS = 300
LARGEST_TABLE = 2**15
"""The most weights in one of `Plane._tables`: about as many as fit into a processor's fastest caches."""


def _frequency_table() -> np.ndarray:
    """Computes the frequencies 2^(15 - i/64) for i = 0, 1, 2, ..., rounded, and at least 1.

    Uses integer square roots, because exp2 may differ by a bit between machines.
    """
    fraction_bits = 128
    ratio = 2 << fraction_bits
    for _ in range(SCORES_PER_BIT.bit_length() - 1):
        ratio = math.isqrt(ratio << fraction_bits)
    powers = [LARGEST_FREQUENCY << fraction_bits]
    while powers[-1] >> fraction_bits:
        powers.append((powers[-1] << fraction_bits) // ratio)
    return np.array([max(1, (power + (1 << (fraction_bits - 1))) >> fraction_bits) for power in powers], np.float32)


FREQUENCIES = _frequency_table()


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
    def symbol_count(self) -> int:
        return self.weights.shape[1]

    @property
    def escape(self) -> int:
        """The symbol of all values below `lowest` or above `highest`."""
        return self.symbol_count - 1

    @property
    def highest(self) -> int:
        """The value of the last symbol before the escape."""
        return self.lowest + self.symbol_count - 2

    def frequencies(self, context: Sequence[np.ndarray]) -> np.ndarray:
        """Computes the frequencies of all symbols in each context.

        Args:
            context: an `(n,)` array for each feature.

        Returns:
            `(n, symbols)` float32 whole numbers of at least 1; for a plane without features `(symbols,)`.
        """
        if not self.feature_sizes:
            return _scores_to_frequencies(self.weights[:1].astype(np.int32))[0]
        scores: np.ndarray | None = None
        for first, end, table in self._tables:
            # Each combination of the features' values has a row in the table.
            rows = context[first]
            for feature in range(first + 1, end):
                rows = rows * self.feature_sizes[feature] + context[feature]
            table_scores = table.take(rows, axis=0)
            scores = table_scores if scores is None else np.add(scores, table_scores, out=scores)
        assert scores is not None
        return _scores_to_frequencies(scores)

    @functools.cached_property
    def _tables(self) -> list[tuple[int, int, np.ndarray]]:
        """Divides the features into a few groups, and adds up the weights of each group in a table.

        A table has a row for every combination of its features' values, and in it a sum for each symbol. The sums of
        the first table include the biases.

        Returns:
            For each group, the index of its first feature, the index after its last feature, and the table.
        """
        found: list[tuple[int, int, np.ndarray]] = []
        first_rows = 1 + np.cumsum([0, *self.feature_sizes])
        for feature, (first_row, size) in enumerate(zip(first_rows, self.feature_sizes)):
            weights = self.weights[first_row : first_row + size].astype(np.int32)
            if found and found[-1][2].size * size <= LARGEST_TABLE:
                first, _, table = found.pop()
                weights = (table[:, np.newaxis] + weights).reshape(-1, self.symbol_count)
            else:
                first = feature
                weights = weights if found else weights + self.weights[0]
            found.append((first, feature + 1, weights))
        return found


def _scores_to_frequencies(scores: np.ndarray) -> np.ndarray:
    """Converts `(n, symbols)` scores to frequencies, and overwrites the scores."""
    # Compares column with column. NumPy's maximum along such short rows would take as long as the rest of this module.
    highest = functools.reduce(np.maximum, scores.T)
    np.subtract(highest[:, np.newaxis], scores, out=scores)
    return FREQUENCIES.take(scores, mode="clip")
