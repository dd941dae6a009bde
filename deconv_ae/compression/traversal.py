"""The order of code and switches, which is the same in learning, coding and decoding.

The code comes first, then the switches, from the last pooling to the first. Within a tensor the order goes channel by
channel, and within a channel pass by pass. At each pass the traversal computes the contexts and then asks for the
symbols: coding already has them, decoding reads them from the file. A context depends only on earlier symbols, so
coding and decoding compute the same contexts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from deconv_ae.compression.contexts import CodeContext, Shape, SwitchContext, code_places
from deconv_ae.compression.order import Pass, passes, single_pass
from deconv_ae.compression.probabilities import Plane
from deconv_ae.records import Name
from deconv_ae.saved_model.signatures import CODE

Symbols = dict[str, np.ndarray]
"""Each tensor's symbols by its name, `(channels, pictures, places)` int32."""


@dataclass(frozen=True)
class Tensor:
    """Describes one output of the model's encoder.

    Attributes:
        name, shape: the name in the signature, and (height, width, channels).
        is_code: whether the values are a code, which is quantised; otherwise they are switches.
        values_in: the name of a code, if these are switches by which unpooling places the values of this code;
            otherwise None. Channel i of such switches belongs to channel i of the code. Where the code is 0, the switch
            has no effect, and `Visit.present` is false.
    """

    name: Name
    shape: Shape
    is_code: bool
    values_in: Name | None = None

    @property
    def place_count(self) -> int:
        return self.shape[0] * self.shape[1]


@dataclass(frozen=True, eq=False)
class Visit:
    """One pass over one plane.

    Attributes:
        tensor, channel, plane_pass: the plane's tensor and channel, and the pass, which has n values in each picture.
        context: a `(pictures, n)` array for each feature; empty for a plane that is coded without a context.
        present: `(pictures, n)`, False for switches without an effect; None for a tensor without `values_in`. Switches
            without an effect are not coded, but a plane without a context codes them as symbol 0.
    """

    tensor: Tensor
    channel: int
    plane_pass: Pass
    context: list[np.ndarray]
    present: np.ndarray | None


def coding_order(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors in the order in which they are coded.

    >>> names = ["switches_1", "code", "switches_10", "switches_2"]
    >>> [each.name for each in coding_order([Tensor(name, (1, 1, 1), name == "code") for name in names])]
    ['code', 'switches_10', 'switches_2', 'switches_1']
    """
    codes = sorted((each for each in tensors if each.is_code), key=lambda each: (each.name != CODE, each.name))
    switches = sorted((each for each in tensors if not each.is_code), key=lambda each: (len(each.name), each.name))
    return codes + switches[::-1]


def traverse(
    tensors: Sequence[Tensor],
    planes: Mapping[str, Sequence[Plane]],
    picture_count: int,
    halvings: int,
    get_symbols: Callable[[Visit, Plane], np.ndarray],
) -> Symbols:
    """Makes all passes over all planes of several pictures, and collects their symbols.

    Args:
        tensors: the outputs of the model's encoder.
        planes: the planes of each tensor's channels.
        picture_count: the number of pictures.
        halvings: this rate's quantisation steps are the coarsest rate's steps divided by 2^halvings. In the contexts of
            switches, the code's magnitudes are counted in the coarsest rate's steps, so that they mean the same at
            every rate.
        get_symbols: returns the `(pictures, n)` symbols of a visit. Where `Visit.present` is false, they are ignored.

    Returns:
        The symbols of all tensors.
    """
    symbols: Symbols = {}
    magnitudes: dict[str, np.ndarray] = {}
    for tensor in coding_order(tensors):
        present = None if tensor.values_in is None else placed_values(tensor, magnitudes) > 0
        context: CodeContext | SwitchContext
        if tensor.is_code:
            context = CodeContext(tensor.shape, picture_count)
            magnitudes[tensor.name] = context.magnitudes  # This is a view, which `context.record` fills below.
        else:
            code = _code_magnitudes(tensor, tensors, magnitudes) >> halvings
            value_count = max(plane.highest for plane in planes[tensor.name]) + 1
            context = SwitchContext(tensor.shape, picture_count, value_count, code)
        tensor_symbols = np.zeros((tensor.shape[2], picture_count, tensor.place_count), np.int32)
        for channel, plane in enumerate(planes[tensor.name]):
            for plane_pass in passes(*tensor.shape[:2]) if plane.feature_sizes else [single_pass(tensor.place_count)]:
                pass_present = None if present is None else present[channel][:, plane_pass.places]
                features = context.features(channel, plane_pass) if plane.feature_sizes else []
                pass_symbols = get_symbols(Visit(tensor, channel, plane_pass, features, pass_present), plane)
                pass_symbols = pass_symbols if pass_present is None else np.where(pass_present, pass_symbols, 0)
                tensor_symbols[channel][:, plane_pass.places] = pass_symbols
                # The escaped values are coded after the symbols of all passes, so decoding does not have them here. In
                # their place, both coding and decoding record `plane.highest + 1`.
                context.record(channel, plane_pass, pass_symbols + plane.lowest, pass_present)
        symbols[tensor.name] = tensor_symbols
    return symbols


def placed_values(tensor: Tensor, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Selects what unpooling places by a tensor of switches, as `(channels, pictures, places)`.

    Args:
        tensor: the switches, which have `values_in`.
        values: the values or the magnitudes of each code, by its name.
    """
    return values[str(tensor.values_in)][: tensor.shape[-1]]


def _code_magnitudes(tensor: Tensor, tensors: Sequence[Tensor], magnitudes: Mapping[str, np.ndarray]) -> np.ndarray:
    """Finds the code's magnitude for every switch of a tensor.

    Returns:
        If the switches have `values_in`, the magnitudes of the values that they place, `(channels, pictures, places)`.
        Otherwise the sum over the code's channels at the same part of the picture, `(1, pictures, places)`.
    """
    if tensor.values_in is not None:
        return placed_values(tensor, magnitudes)
    code = next(each for each in tensors if each.name == CODE)
    return magnitudes[CODE].sum(axis=0, keepdims=True)[..., code_places(code.shape, tensor.shape)]
