"""The origin of an argmax: the windows that chose its positions, and the size of the images that were pooled.

A pooling and `switches_to_argmax` record the origin of their argmax, on backends whose tensors cannot change in place.
With an origin, an unpooling knows the size to restore and gives better error messages. An unpooling with the same
windows also skips the check of positions, if each is known to be in its window. A tensor computed from an argmax is
another tensor, of unknown origin. Tensors of PyTorch can change in place, so they carry no origin.
"""

import dataclasses
import weakref
from typing import Any

from deconv_ae.ops import environment
from deconv_ae.ops.windows import Size, Windows

_ATTRIBUTE = "_deconv_ae_origin"

# JAX's arrays and tracers take no attributes. This table keeps each origin for as long as its tensor lives.
_origins_by_id: dict[int, tuple[weakref.ref, "Origin"]] = {}


@dataclasses.dataclass(frozen=True)
class Origin:
    """Which pooling chose the positions of an argmax.

    Attributes:
        windows: the pooling's windows.
        size: the size of the images that were pooled.
        positions_are_in_windows: whether every position is known to be in the window that chose it.
    """

    windows: Windows
    size: Size
    positions_are_in_windows: bool = True


def with_origin(argmax: Any, origin: Origin) -> Any:
    """Records the origin of an argmax if its tensor cannot change in place; returns the argmax."""
    if not environment.HAS_IMMUTABLE_TENSORS:
        return argmax
    try:
        setattr(argmax, _ATTRIBUTE, origin)
    except AttributeError:
        key = id(argmax)
        _origins_by_id[key] = (weakref.ref(argmax, lambda _: _origins_by_id.pop(key, None)), origin)
    return argmax


def origin_of(argmax: Any) -> Origin | None:
    """The recorded origin of an argmax; None if it is unknown."""
    if not environment.HAS_IMMUTABLE_TENSORS:
        return None
    reference, origin = _origins_by_id.get(id(argmax), (None, None))
    if reference is not None and reference() is argmax:
        return origin
    return getattr(argmax, _ATTRIBUTE, None)
