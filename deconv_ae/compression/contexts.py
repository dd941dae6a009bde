"""What is known of a value before it is coded: its neighbours, the channels before it, the code at its place.

Values are looked at in classes, and a class is a small whole number. What a decoder has not decoded yet is never looked
at: `order.py` says what it has.
"""

import numpy as np

from deconv_ae.compression.order import KINDS, NEIGHBOURS, Pass
from deconv_ae.records import Length

Shape = tuple[Length, Length, Length]
"""(height, width, channels) of a tensor."""

STEPS = np.array([0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128])
"""Where a class of magnitudes begins: the larger, the wider."""

MAGNITUDES = len(STEPS)
SWITCH_CLASSES = 16
"""More places in a window than these are looked at as bands of it."""


def magnitude_class(values: np.ndarray) -> np.ndarray:
    """0 to MAGNITUDES - 1.

    >>> magnitude_class(np.array([0, 1, 5, 1000])).tolist()
    [0, 1, 4, 14]
    """
    return _CLASSES[np.minimum(values, len(_CLASSES) - 1)]


_CLASSES = (np.searchsorted(STEPS, np.arange(STEPS[-1] + 1), side="right") - 1).astype(np.int64)


class CodeContext:
    """Of a code's values: how large those around one are, and those before it at its place.

    Args:
        shape: the code's.
        pictures: how many are looked at at once.
    """

    features = (KINDS * (MAGNITUDES + 1), MAGNITUDES + 1, MAGNITUDES)

    def __init__(self, shape: Shape, pictures: int) -> None:
        height, width, channels = shape
        # Past the last place is a 0, for neighbours that there are not.
        self._magnitudes = np.zeros((channels, pictures, height * width + 1), np.int32)

    @property
    def magnitudes(self) -> np.ndarray:
        """What has been seen, `(channels, pictures, places)`."""
        return self._magnitudes[..., :-1]

    def of(self, channel: int, part: Pass) -> list[np.ndarray]:
        """Each feature of a pass's values, `(pictures, n)`."""
        outside = self._magnitudes.shape[-1] - 1
        count = (part.neighbours != outside).sum(axis=-1)
        around = self._magnitudes[channel][:, part.neighbours].sum(axis=-1)
        around = magnitude_class(around * NEIGHBOURS // np.maximum(count, 1))
        around = np.where(count > 0, around, MAGNITUDES) + part.kind * (MAGNITUDES + 1)
        before = self._magnitudes[:channel][..., part.places]
        previous = magnitude_class(before[-1]) if channel else np.full(around.shape, MAGNITUDES)
        return [around, previous, magnitude_class(before.sum(axis=0))]

    def see(self, channel: int, part: Pass, values: np.ndarray, present: np.ndarray | None) -> None:
        """Values that have been decoded, `(pictures, n)`; those of a code are all present."""
        self._magnitudes[channel][:, part.places] = np.abs(values)


class SwitchContext:
    """Of switches: those around one, that of the channel before, and how large the code is at its place.

    Args:
        shape: the switches'.
        pictures: how many are looked at at once.
        count: of places in a window.
        magnitudes: of the code at each place, `(channels or 1, pictures, places)`.
    """

    def __init__(self, shape: Shape, pictures: int, count: int, magnitudes: np.ndarray) -> None:
        height, width, channels = shape
        self._classes = min(count, SWITCH_CLASSES)
        self._count = count
        # One class more is for a switch that there is not.
        self._seen = np.full((channels, pictures, height * width + 1), self._classes, np.int32)
        self._code = magnitude_class(magnitudes)

    @staticmethod
    def features(count: int) -> tuple[int, ...]:
        """How many values each feature has where a window has `count` places."""
        classes = min(count, SWITCH_CLASSES) + 1
        return (*[KINDS * classes] * NEIGHBOURS, classes, MAGNITUDES)

    def of(self, channel: int, part: Pass) -> list[np.ndarray]:
        """Each feature of a pass's values, `(pictures, n)`."""
        kind = part.kind * (self._classes + 1)
        around = [self._seen[channel][:, places] + kind for places in part.neighbours.T]
        previous = (
            self._seen[channel - 1][:, part.places] if channel else np.full(around[0].shape, self._classes, np.int32)
        )
        return [*around, previous, self._code[min(channel, len(self._code) - 1)][:, part.places]]

    def see(self, channel: int, part: Pass, values: np.ndarray, present: np.ndarray | None) -> None:
        """Values that have been decoded, `(pictures, n)`, and which of them are switches at all."""
        classes = np.minimum(values, self._count - 1) * self._classes // self._count
        self._seen[channel][:, part.places] = classes if present is None else np.where(present, classes, self._classes)


def same_place(code_shape: Shape, shape: Shape) -> np.ndarray:
    """The number of the code's place that each place of another tensor lies in.

    >>> same_place((1, 2, 8), (2, 4, 1)).tolist()
    [0, 0, 1, 1, 0, 0, 1, 1]
    """
    rows, columns = (np.arange(length) * of_code // length for length, of_code in zip(shape[:2], code_shape))
    return (rows[:, np.newaxis] * code_shape[1] + columns).ravel()
