"""What a tensor object is known to be, without looking at its values."""

import dataclasses
import weakref
from typing import Any

from deconv_ae.ops.windows import Size, Windows

# An argmax that a pooling made is in its own windows: there is nothing to check, the size to restore is known, and only
# windows that overlap can share a position. Looking would take longer than unpooling does, so the tensor object carries
# the fact, as Keras's tensors carry their mask. What is computed from the tensor is another object, without it.
_ORIGIN = "_deconv_ae_origin"
ARGMAX, SWITCHES = "_deconv_ae_argmax", "_deconv_ae_switches"

# JAX's tracers take no attributes: what they carry is kept here, as long as they live.
_beside: dict[tuple[int, str], tuple[weakref.ref, Any]] = {}


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
    attach(argmax, _ORIGIN, origin)
    return argmax


def origin_of(argmax: Any) -> Origin | None:
    return attached(argmax, _ORIGIN)


def attach(tensor: Any, name: str, value: Any) -> None:
    try:
        setattr(tensor, name, value)
    except AttributeError:
        key = (id(tensor), name)
        _beside[key] = (weakref.ref(tensor, lambda _: _beside.pop(key, None)), value)


def attached(tensor: Any, name: str) -> Any:
    reference, value = _beside.get((id(tensor), name), (lambda: None, None))
    return value if reference() is tensor else getattr(tensor, name, None)
