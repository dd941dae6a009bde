"""The context of a value: its neighbours, the channels before it, and the code at its place.

Values enter a context as classes, which are small whole numbers. A context holds only values that the decoder already
has; `order.py` and `traversal.py` define which those are.
"""

import numpy as np

from deconv_ae.compression.order import KINDS, NEIGHBOURS, Pass
from deconv_ae.records import Length

Shape = tuple[Length, Length, Length]
"""(height, width, channels) of a tensor."""

CLASS_STARTS = np.array([0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128])
"""The smallest magnitude of each class; classes of larger magnitudes are wider."""

MAGNITUDE_CLASSES = len(CLASS_STARTS)
MOST_SWITCH_CLASSES = 16
"""The most classes of switches. In a window with more positions, several positions share a class."""


def magnitude_class(magnitudes: np.ndarray) -> np.ndarray:
    """The class of each magnitude, 0 to MAGNITUDE_CLASSES - 1.

    >>> magnitude_class(np.array([0, 1, 5, 1000])).tolist()
    [0, 1, 4, 14]
    """
    return _CLASSES[np.minimum(magnitudes, len(_CLASSES) - 1)]


_CLASSES = (np.searchsorted(CLASS_STARTS, np.arange(CLASS_STARTS[-1] + 1), side="right") - 1).astype(np.int64)


class CodeContext:
    """The context of a code's values: the magnitudes of the neighbours, and of earlier channels at the same place.

    Args:
        shape: the code's shape.
        picture_count: the number of pictures.
    """

    feature_sizes = (KINDS * (MAGNITUDE_CLASSES + 1), MAGNITUDE_CLASSES + 1, MAGNITUDE_CLASSES)

    def __init__(self, shape: Shape, picture_count: int) -> None:
        height, width, channels = shape
        # A 0 after the last place stands for a missing neighbour.
        self._magnitudes = np.zeros((channels, picture_count, height * width + 1), np.int32)

    @property
    def magnitudes(self) -> np.ndarray:
        """The magnitudes that are known so far, `(channels, pictures, places)`; others are 0."""
        return self._magnitudes[..., :-1]

    def features(self, channel: int, plane_pass: Pass) -> list[np.ndarray]:
        """Computes the features of a pass's n values: for each feature, a `(pictures, n)` array."""
        missing_place = self._magnitudes.shape[-1] - 1
        counts = (plane_pass.neighbours != missing_place).sum(axis=-1)
        sums = self._magnitudes[channel][:, plane_pass.neighbours].sum(axis=-1)
        classes = magnitude_class(sums * NEIGHBOURS // np.maximum(counts, 1))
        neighbours = np.where(counts > 0, classes, MAGNITUDE_CLASSES) + plane_pass.kind * (MAGNITUDE_CLASSES + 1)
        earlier = self._magnitudes[:channel][..., plane_pass.places]
        previous = magnitude_class(earlier[-1]) if channel else np.full(neighbours.shape, MAGNITUDE_CLASSES)
        return [neighbours, previous, magnitude_class(earlier.sum(axis=0))]

    def record(self, channel: int, plane_pass: Pass, values: np.ndarray, present: np.ndarray | None) -> None:
        """Stores the magnitudes of `values`, the `(pictures, n)` values of a pass. `present` is always None here."""
        self._magnitudes[channel][:, plane_pass.places] = np.abs(values)


class SwitchContext:
    """The context of switches: the neighbours, the previous channel, and the code's magnitude at the same place.

    Args:
        shape: the switches' shape.
        picture_count: the number of pictures.
        value_count: the number of values that a switch has: 1 + the largest switch of the training pictures.
        magnitudes: the code's magnitude at each place, `(channels, pictures, places)`, or `(1, pictures, places)` if
            all channels of switches share it.
    """

    def __init__(self, shape: Shape, picture_count: int, value_count: int, magnitudes: np.ndarray) -> None:
        height, width, channels = shape
        self._class_count = min(value_count, MOST_SWITCH_CLASSES)
        self._value_count = value_count
        # The class after the last one stands for a missing switch.
        self._switch_classes = np.full((channels, picture_count, height * width + 1), self._class_count, np.int32)
        self._code_classes = magnitude_class(magnitudes)

    @staticmethod
    def feature_sizes(value_count: int) -> tuple[int, ...]:
        """The number of values of each feature, for switches that have `value_count` values."""
        classes = min(value_count, MOST_SWITCH_CLASSES) + 1
        return (*[KINDS * classes] * NEIGHBOURS, classes, MAGNITUDE_CLASSES)

    def features(self, channel: int, plane_pass: Pass) -> list[np.ndarray]:
        """Computes the features of a pass's n values: for each feature, a `(pictures, n)` array."""
        kind_offset = plane_pass.kind * (self._class_count + 1)
        neighbours = [self._switch_classes[channel][:, places] + kind_offset for places in plane_pass.neighbours.T]
        previous = (
            self._switch_classes[channel - 1][:, plane_pass.places]
            if channel
            else np.full(neighbours[0].shape, self._class_count, np.int32)
        )
        code_classes = self._code_classes[min(channel, len(self._code_classes) - 1)]
        return [*neighbours, previous, code_classes[:, plane_pass.places]]

    def record(self, channel: int, plane_pass: Pass, values: np.ndarray, present: np.ndarray | None) -> None:
        """Stores the classes of `values`, the `(pictures, n)` switches of a pass.

        Where `present` is false, stores the class of a missing switch.
        """
        # An escaped switch arrives as `self._value_count`, and is put into the class of the largest switch.
        classes = np.minimum(values, self._value_count - 1) * self._class_count // self._value_count
        self._switch_classes[channel][:, plane_pass.places] = (
            classes if present is None else np.where(present, classes, self._class_count)
        )


def code_places(code_shape: Shape, shape: Shape) -> np.ndarray:
    """For each place of a tensor, the index of the code's place that contains it.

    >>> code_places((1, 2, 8), (2, 4, 1)).tolist()
    [0, 0, 1, 1, 0, 0, 1, 1]
    """
    rows, columns = (np.arange(length) * code_length // length for length, code_length in zip(shape[:2], code_shape))
    return (rows[:, np.newaxis] * code_shape[1] + columns).ravel()
