"""What a tensor object is known to be, without looking at its values."""

from typing import Any

import tensorflow as tf

from deconv_ae.ops.windows import Size, Windows

# An argmax that a pooling made is inside its own windows: there is nothing to check, and only windows that overlap
# can share a position. Looking would take longer than unpooling does, so the tensor object carries the fact, as
# Keras's tensors carry their mask. What is computed from the tensor is another object, without it. Switches know
# their argmax by a weak reference: kept, they must not keep a tensor of eight times their size.
_WINDOWS = "_deconv_ae_windows"
ARGMAX = "_deconv_ae_argmax"


def with_windows(argmax: tf.Tensor, windows: Windows, size: Size) -> tf.Tensor:
    setattr(argmax, _WINDOWS, (windows, size))
    return argmax


def known_in_windows(argmax: Any, windows: Windows, size: Size) -> tf.Tensor | bool:
    """Whether argmax is known to be inside these windows without looking at it.

    A bool tensor where the sizes are only known at run time.
    """
    own_windows, own_size = getattr(argmax, _WINDOWS, (None, ()))
    if own_windows != windows:
        return False
    same = [own == n for own, n in zip(own_size, size)]
    return all(same) if all(isinstance(s, bool) for s in same) else tf.reduce_all(tf.stack(same))
