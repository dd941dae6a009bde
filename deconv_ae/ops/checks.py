"""Converts arguments to tensors, and explains in one sentence what is wrong with them.

Functions named `check_...` raise an error while a call is traced, if the fault is known by then. Functions named
`checked_...` also add a check that runs with the graph, and return the checked tensor.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from deconv_ae.ops import environment
from deconv_ae.ops.environment import ARGMAX_DTYPE, checked
from deconv_ae.ops.windows import Size, Windows, check_integers, product, static

OUT_OF_RANGE = (
    "`argmax` is out of range of its own image: restore the size of the images that were pooled; if positions count "
    "through the batch (include_batch_in_index=True of TensorFlow, ONNX), take them modulo the length of an image; "
    "smallest position, largest position, length of an image:"
)
OTHER_CHANNEL = (
    "`argmax` has positions in other channels than the ones that chose them, as the indices of PyTorch have, because "
    "they number each channel separately: number the values of an image as they lie in memory; with channels last, "
    "(row * width + column) * channels + channel"
)
OUTSIDE_WINDOWS = "`argmax` has positions outside of the windows that chose them"
NOT_OF_DEFAULT_SIZE = (
    "`argmax` does not fit images of the default size, but fits another size: give the size of the images that were "
    "pooled as `output_size`, or a tensor of that size as `like`; the possible sizes, and whether `argmax` fits each:"
)
SWITCH_OUTSIDE_WINDOW = "`switches` has positions outside of the window, or of the image"
ANOTHER_SHAPE = (
    "`argmax` and the pooled values are of different shapes: each value needs the position of its own maximum; "
    "shape of the values, shape of `argmax`:"
)
NOT_RESTORABLE = (
    "the size of the images does not pool to the size of `argmax` or `switches`; size of the images, its pooled size, "
    "size of `argmax` or `switches`:"
)
ANOTHER_SIZE = "`argmax` holds positions in images of another size than the given one; their size, the given size:"


def as_tensor(name: str, value: Any, dtype: str | None = None) -> Any:
    """Converts a tensor, a variable, an array or a list of numbers to a tensor of the backend.

    Args:
        name: the argument's name, for messages.
        value: the argument.
        dtype: the type to cast to; None keeps the value's type.

    Returns:
        A dense tensor.

    Raises:
        ValueError: For symbolic, sparse and ragged tensors, and for complex numbers and text.
    """
    if isinstance(value, keras.KerasTensor):
        raise ValueError(f"`{name}` is symbolic: call the layer instead of this function to build a Keras model")
    if not environment.is_dense(value):
        raise ValueError(f"`{name}` is a {type(value).__name__}; give a dense tensor")
    tensor = environment.value_of(ops.convert_to_tensor(value))
    if any(kind in str(tensor.dtype) for kind in ("complex", "string")):
        # Layers cast their input, which would drop the imaginary part.
        raise ValueError(f"`{name}` holds no real numbers: its type is {tensor.dtype}")
    return tensor if dtype is None else ops.cast(tensor, dtype)


def as_integers(name: str, value: Any) -> Any:
    """Converts integers to a tensor of argmax's type, without overflow.

    Args:
        name: the argument's name, for messages.
        value: a tensor, a variable, an array or a list.

    Returns:
        A tensor of `ARGMAX_DTYPE`.

    Raises:
        ValueError: If `as_tensor` raises it; if the values are not integers, or are known not to fit `ARGMAX_DTYPE`.
    """
    if not ops.is_tensor(value) and not isinstance(value, (keras.KerasTensor, keras.Variable)):
        value = np.asarray(value)
    check_integers(name, value)
    check_width(name, value)
    return as_tensor(name, value, ARGMAX_DTYPE)


def check_width(name: str, value: Any) -> None:
    """Raises ValueError if integers are known not to fit argmax's type: int32 does not hold 2**32."""
    dtype = keras.backend.standardize_dtype(value.dtype)
    limits = np.iinfo(ARGMAX_DTYPE)
    if "int" not in dtype or np.iinfo(dtype).max <= limits.max or isinstance(value, keras.KerasTensor):
        return
    least, most = max(limits.min, np.iinfo(dtype).min), limits.max
    fits = (value >= least) & (value <= most)
    # NumPy reduces arrays, because within JAX's `jit` the result of `ops.all` would be a tracer without a truth value.
    if environment.truth_of(fits.all() if isinstance(fits, np.ndarray) else ops.all(fits)) is False:
        raise ValueError(f"`{name}` is out of range: it has numbers that do not fit {ARGMAX_DTYPE}")


def check_same_shape(pooled: Any, argmax: Any, channel_axis: int) -> None:
    """Raises ValueError if argmax does not hold integers, or is known to have another shape than the pooled values."""
    check_integers("argmax", argmax)
    expected, actual = tuple(pooled.shape), tuple(argmax.shape)
    may_agree = [None in pair or pair[0] == pair[1] for pair in zip(expected, actual)]
    if len(expected) != len(actual) or not all(may_agree):
        only_channels_differ = len(expected) == len(actual) and not may_agree.pop(channel_axis) and all(may_agree)
        advice = f": add a 1x1 convolution with {actual[channel_axis]} filters" if only_channels_differ else ""
        raise ValueError(
            f"`argmax` must have the shape of the pooled values, {expected}; got {actual}. Each value needs one "
            f"position{advice}"
        )


def checked_shape(argmax: Any, pooled: Any, channel_axis: int) -> Any:
    """Checks that argmax has the shape of pooled, now or when the graph runs; returns argmax."""
    check_same_shape(pooled, argmax, channel_axis)
    # An unknown batch size is not checked here: every unpooling fails if the batch sizes differ.
    if None not in (*pooled.shape[1:], *argmax.shape[1:]):
        return argmax
    expected, actual = (ops.stack(list(ops.shape(tensor))) for tensor in (pooled, argmax))
    return checked(argmax, ops.all(ops.equal(expected, actual)), ANOTHER_SHAPE, expected, actual)


def checked_restorable(tensor: Any, size: Size, windows: Windows) -> Any:
    """Checks that images of `size` pool to the size of the tensor, now or when the graph runs; returns the tensor."""
    windows.check_rank("argmax", tensor.shape)
    pooled_size = windows.size_of(ops.shape(tensor))
    windows.check_restorable(size, pooled_size)
    expected = windows.pooled_size(size)
    if None not in static((*expected, *pooled_size)):
        return tensor
    expected, actual = ops.stack(list(expected)), ops.stack(list(pooled_size))
    return checked(
        tensor, ops.all(ops.equal(expected, actual)), NOT_RESTORABLE, ops.stack(list(size)), expected, actual
    )


def check_known_size(original_size: Size, size: Size, windows: Windows) -> None:
    """Raises ValueError if the given size is known to differ from the size of the images that were pooled."""
    for name, original, given in zip(windows.size_names, original_size, size):
        if isinstance(original, int) and isinstance(given, int) and original != given:
            raise ValueError(
                f"`argmax` holds positions in images of {name} {original}, and the given size has {name} {given}: "
                f"give {name} {original}, which is the default of an unpooling"
            )


def checked_same_size(argmax: Any, original_size: Size, size: Size, windows: Windows) -> Any:
    """Checks, now or when the graph runs, that argmax holds positions in images of the given size; returns argmax."""
    check_known_size(original_size, size, windows)
    if all(a is b or (isinstance(a, int) and isinstance(b, int)) for a, b in zip(original_size, size)):
        return argmax
    original, given = ops.stack(list(original_size)), ops.stack(list(size))
    return checked(argmax, ops.all(ops.equal(original, given)), ANOTHER_SIZE, original, given)


def checked_positions(argmax: Any, size: Size, windows: Windows) -> Any:
    """Checks, if errors can be raised, that each position is in its own image and channel; returns argmax."""
    if not environment.can_raise():
        return argmax
    channels, dtype = ops.shape(argmax)[windows.channel_axis], argmax.dtype
    image_length = ops.cast(product((*size, channels)), dtype)
    # The initial 0 is for an empty batch, and is in range.
    smallest, largest = ops.min(argmax, initial=0), ops.max(argmax, initial=0)
    in_range = (smallest >= 0) & (largest < image_length)
    argmax = checked(argmax, in_range, OUT_OF_RANGE, smallest, largest, image_length)
    expected_channel = windows.along(ops.arange(channels, dtype=dtype), windows.channel_axis)
    step = ops.cast(channels if windows.channels_last else product(size), dtype)
    channel = argmax % step if windows.channels_last else argmax // step
    return checked(argmax, ops.all(ops.equal(channel, expected_channel)), OTHER_CHANNEL)
