"""The order of a picture's code and switches, the same for learning, coding and decoding.

Code comes first, then switches: those of the last pooling before those of the first. Within a tensor it goes channel by
channel, within a channel pass by pass. At each pass the traversal computes the context and is given the symbols: the
encoder has them, the decoder reads them. So both see the same contexts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from deconv_ae.compression.contexts import CodeContext, Shape, SwitchContext, same_place
from deconv_ae.compression.order import Pass, passes, whole
from deconv_ae.compression.probabilities import Plane
from deconv_ae.records import Name
from deconv_ae.saved_model.signatures import CODE

Symbols = dict[str, np.ndarray]
"""By a tensor's name, `(channels, pictures, places)` int32."""


@dataclass(frozen=True)
class Tensor:
    """One of the encoder's outputs.

    Attributes:
        name, shape: as the signature has it, (height, width, channels).
        is_code: whether its values are to be quantised; else they are switches.
        values_in: the name of the code whose values its switches place: its first channels, as many as there are of
            switches. Where a value is 0, there is nothing to place, and the switch is not coded.
    """

    name: Name
    shape: Shape
    is_code: bool
    values_in: Name | None = None

    @property
    def places(self) -> int:
        return self.shape[0] * self.shape[1]


@dataclass(frozen=True, eq=False)
class Visit:
    """One pass over one plane: what is to be coded, and what is known of it.

    Attributes:
        tensor, channel, part: where the traversal is.
        context: each feature, `(pictures, n)`; none of a plane that is coded without.
        present: `(pictures, n)`, which of the values are coded at all; None for all of them.
    """

    tensor: Tensor
    channel: int
    part: Pass
    context: list[np.ndarray]
    present: np.ndarray | None


def in_order(tensors: Sequence[Tensor]) -> list[Tensor]:
    """As they are coded.

    >>> names = ["switches_1", "code", "switches_10", "switches_2"]
    >>> [each.name for each in in_order([Tensor(name, (1, 1, 1), name == "code") for name in names])]
    ['code', 'switches_10', 'switches_2', 'switches_1']
    """
    codes = sorted((each for each in tensors if each.is_code), key=lambda each: (each.name != CODE, each.name))
    switches = sorted((each for each in tensors if not each.is_code), key=lambda each: (len(each.name), each.name))
    return codes + switches[::-1]


def traverse(
    tensors: Sequence[Tensor],
    planes: Mapping[str, Sequence[Plane]],
    pictures: int,
    halvings: int,
    symbols_of: Callable[[Visit, Plane], np.ndarray],
) -> Symbols:
    """Goes through so many pictures at once; all symbols that it was told.

    Args:
        planes: of each tensor, its channels'.
        halvings: how often the code's steps are half the coarsest: switches look at the code in those, at every rate.
        symbols_of: gives `(pictures, n)` symbols for a visit; what it says of values that are not present is ignored.
    """
    symbols: Symbols = {}
    magnitudes: dict[str, np.ndarray] = {}
    for tensor in in_order(tensors):
        present = None if tensor.values_in is None else placed(tensor, magnitudes) > 0
        context: CodeContext | SwitchContext
        if tensor.is_code:
            context = CodeContext(tensor.shape, pictures)
            magnitudes[tensor.name] = context.magnitudes  # What is seen from here on.
        else:
            code = _code_at(tensor, tensors, magnitudes) >> halvings
            count = max(plane.highest for plane in planes[tensor.name]) + 1
            context = SwitchContext(tensor.shape, pictures, count, code)
        found = np.zeros((tensor.shape[2], pictures, tensor.places), np.int32)
        for channel, plane in enumerate(planes[tensor.name]):
            for part in passes(*tensor.shape[:2]) if plane.features else [whole(tensor.places)]:
                coded = None if present is None else present[channel][:, part.places]
                features = context.of(channel, part) if plane.features else []
                taken = symbols_of(Visit(tensor, channel, part, features, coded), plane)
                taken = taken if coded is None else np.where(coded, taken, 0)
                found[channel][:, part.places] = taken
                context.see(channel, part, taken + plane.lowest, coded)
        symbols[tensor.name] = found
    return symbols


def placed(tensor: Tensor, planes: Mapping[str, np.ndarray]) -> np.ndarray:
    """The values that switches place, among the planes of the code, `(channels, pictures, places)`."""
    return planes[str(tensor.values_in)][: tensor.shape[-1]]


def _code_at(tensor: Tensor, tensors: Sequence[Tensor], magnitudes: Mapping[str, np.ndarray]) -> np.ndarray:
    """How large the code is at each of a switches' places, `(channels or 1, pictures, places)`."""
    if tensor.values_in is not None:
        return placed(tensor, magnitudes)
    code = next(each for each in tensors if each.name == CODE)
    return magnitudes[CODE].sum(axis=0, keepdims=True)[..., same_place(code.shape, tensor.shape)]
