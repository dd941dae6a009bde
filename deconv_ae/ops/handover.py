"""What can be wrong with an argmax that someone hands over, said in a sentence."""

from typing import Any

import keras
from keras import ops

from deconv_ae.ops.windows import Size, Windows, check_integers, product, static

OUT_OF_RANGE = (
    "`argmax` is out of range of its own image: numbers that count through the batch (include_batch_in_index=True of "
    "TensorFlow, or ONNX) are taken modulo the length of an image first, and the size to restore has to be that of the "
    "images that were pooled; smallest and largest position, and the length of an image:"
)
OTHER_CHANNEL = (
    "`argmax` has positions in other channels than its own, as the indices of PyTorch have, which number every channel "
    "by itself: here a number is that of the value in its image as it lies in memory, with channels last "
    "(row * width + column) * channels + channel"
)
OUTSIDE_WINDOWS = "`argmax` has positions outside of the windows that chose them"
OUTSIDE_WINDOW = "`switches` has positions outside of the window, or of the image"
ANOTHER_SHAPE = "`argmax` and `pooled` are of different shapes: each value needs the position of its own maximum"
NOT_RESTORABLE = "the size to restore, what it pools to, and the size of the pooled images do not fit together:"
ANOTHER_SIZE = "`argmax` is of images of another size than the one to restore:"


def checked(tensor: Any, condition: Any, sentence: str, *numbers: Any) -> Any:
    """The tensor, if a condition holds; else tf.errors.InvalidArgumentError on TensorFlow, ValueError elsewhere.

    What is compiled cannot raise: there the tensor is returned unseen.
    """
    if keras.backend.backend() == "tensorflow":
        from deconv_ae.ops import tensorflow_kernels

        return tensorflow_kernels.checked(tensor, condition, sentence, numbers)
    if can_look(condition) and not bool(condition):
        raise ValueError(" ".join([sentence, ", ".join(str(ops.convert_to_numpy(n).tolist()) for n in numbers)]))
    return tensor


def can_look(tensor: Any) -> bool:
    """Whether a tensor's values are there, and something can be raised if they are wrong."""
    if keras.backend.backend() == "jax":
        from jax.core import Tracer

        return not isinstance(tensor, Tracer)
    if keras.backend.backend() == "torch":
        from torch.compiler import is_compiling

        return not is_compiling()
    from deconv_ae.ops import tensorflow_kernels

    return not tensorflow_kernels.compiled_by_xla()


def check_same_shape(pooled: Any, argmax: Any) -> None:
    """Raises ValueError if it is known that argmax is not of the shape of what is unpooled, or no integers."""
    check_integers("argmax", argmax)
    ours, theirs = tuple(pooled.shape), tuple(argmax.shape)
    if len(ours) != len(theirs) or any(None not in (a, b) and a != b for a, b in zip(ours, theirs)):
        raise ValueError(
            f"`argmax` must have the shape of `pooled`, {ours}; got {theirs}. What is unpooled has one position for "
            "each of its values: bring its channels to those that were pooled, by a convolution, say"
        )


def checked_shape(argmax: Any, pooled: Any) -> Any:
    """argmax, if it has the shape of pooled, looked at when it runs where that is not known before."""
    check_same_shape(pooled, argmax)
    # Of a batch that is unknown, no one hands over another.
    if None not in (*pooled.shape[1:], *argmax.shape[1:]):
        return argmax
    ours, theirs = (ops.stack(list(ops.shape(tensor))) for tensor in (pooled, argmax))
    return checked(argmax, ops.all(ours == theirs), ANOTHER_SHAPE, ours, theirs)


def checked_restorable(tensor: Any, size: Size, windows: Windows) -> Any:
    """The tensor, if images of `size` pool to its size: ValueError where it is known now that they do not."""
    windows.check_rank("argmax", tensor.shape)
    pooled_size = windows.size_of(ops.shape(tensor))
    windows.check_restorable(size, pooled_size)
    expected = windows.pooled_size(size)
    if None not in static((*expected, *pooled_size)):
        return tensor
    expected, actual = ops.stack(list(expected)), ops.stack(list(pooled_size))
    return checked(tensor, ops.all(expected == actual), NOT_RESTORABLE, ops.stack(list(size)), expected, actual)


def check_known_size(pooled_from: Size, size: Size, windows: Windows) -> None:
    """Raises ValueError if the size to restore is known not to be the one that argmax was made in."""
    for name, ours, theirs in zip(windows.size_names, pooled_from, size):
        if isinstance(ours, int) and isinstance(theirs, int) and ours != theirs:
            raise ValueError(
                f"`argmax` is of images of {name} {ours}, and the size to restore is of {name} {theirs}: its positions "
                "are numbered for the former, which is the default"
            )


def checked_same_size(argmax: Any, pooled_from: Size, size: Size, windows: Windows) -> Any:
    """argmax, if the size to restore is the one that it was made in."""
    check_known_size(pooled_from, size, windows)
    if all(a is b or (isinstance(a, int) and isinstance(b, int)) for a, b in zip(pooled_from, size)):
        return argmax
    ours, theirs = ops.stack(list(pooled_from)), ops.stack(list(size))
    return checked(argmax, ops.all(ours == theirs), ANOTHER_SIZE, ours, theirs)


def checked_positions(argmax: Any, size: Size, windows: Windows) -> Any:
    """argmax of unknown origin, if each position is in its own image and its own channel."""
    if not can_look(argmax):
        return argmax
    shape = ops.shape(argmax)
    channels, dtype = shape[windows.channel_axis], argmax.dtype
    image_length = ops.cast(product((*size, channels)), dtype)
    # Zero is in range, for an empty batch.
    smallest, largest = ops.min(argmax, initial=0), ops.max(argmax, initial=0)
    in_range = (smallest >= 0) & (largest < image_length)
    argmax = checked(argmax, in_range, OUT_OF_RANGE, smallest, largest, image_length)
    own = windows.along(ops.arange(channels, dtype=dtype), windows.channel_axis)
    if windows.channels_last:
        in_channel = argmax % ops.cast(channels, dtype) == own
    else:
        in_channel = argmax // ops.cast(product(size), dtype) == own
    return checked(argmax, ops.all(in_channel), OTHER_CHANNEL)
