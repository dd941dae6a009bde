"""Where an argmax came from: the windows and the size that it was pooled by.

A pooling says so of its argmax, on backends whose tensors nobody can change in place. An unpooling takes from it the
size to restore and better error messages, and does not check again what the pooling has made. What is computed from the
argmax is another tensor, of unknown origin. Tensors of PyTorch can be changed, copied and stored: they carry nothing.
"""

import dataclasses
import weakref
from typing import Any

from deconv_ae.ops import environment
from deconv_ae.ops.windows import Size, Windows

_ATTRIBUTE = "_deconv_ae_origin"

# JAX's arrays and tracers take no attributes. Each origin is kept here for as long as its tensor lives.
_beside: dict[int, tuple[weakref.ref, "Origin"]] = {}


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where an argmax was made.

    Attributes:
        windows: of the pooling.
        size: of the images that were pooled.
        in_windows: whether every position is known to be in the window that chose it.
    """

    windows: Windows
    size: Size
    in_windows: bool = True


def with_origin(argmax: Any, origin: Origin) -> Any:
    """The argmax, whose origin is known from here on where tensors cannot be changed in place."""
    if not environment.HAS_IMMUTABLE_TENSORS:
        return argmax
    try:
        setattr(argmax, _ATTRIBUTE, origin)
    except AttributeError:
        key = id(argmax)
        _beside[key] = (weakref.ref(argmax, lambda _: _beside.pop(key, None)), origin)
    return argmax


def origin_of(argmax: Any) -> Origin | None:
    if not environment.HAS_IMMUTABLE_TENSORS:
        return None
    reference, origin = _beside.get(id(argmax), (None, None))
    if reference is not None and reference() is argmax:
        return origin
    return getattr(argmax, _ATTRIBUTE, None)
