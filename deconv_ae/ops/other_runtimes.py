"""Pooling and unpooling for ONNX Runtime, LiteRT and OpenVINO, used inside of `environment.portable`."""

from typing import Any

from keras import ops

from deconv_ae.ops import in_windows, reference
from deconv_ae.ops.windows import Size, Windows


def max_pool(images: Any, windows: Windows) -> tuple[Any, Any]:
    """Does what `reference.max_pool` does."""
    values, argmax = reference.max_pool(images, windows)
    shape = ops.shape(images)
    pooled_size = windows.pooled_size(windows.size_of(shape))
    pooled_shape = windows.shape_of(shape[0], pooled_size, shape[windows.channel_axis])
    return _with_shape(values, pooled_shape, images, windows), argmax


def max_unpool(values: Any, argmax: Any, size: Size, windows: Windows, positions_are_in_windows: bool) -> Any:
    """Does what `reference.max_unpool` does."""
    if not positions_are_in_windows:
        return reference.max_unpool(values, argmax, size, windows)
    images = in_windows.max_unpool(values, argmax, size, windows, repeat=_repeat_by_concatenation)
    shape = ops.shape(argmax)
    return _with_shape(images, windows.shape_of(shape[0], size, shape[windows.channel_axis]), argmax, windows)


def _repeat_by_concatenation(tensor: Any, times: int) -> Any:
    # OpenVINO computes a tile in bfloat16 if the CPU has it, and cannot broadcast to a shape known only at run time.
    return ops.concatenate([tensor] * times, axis=2)


def _with_shape(result: Any, shape: tuple[Any, ...], source: Any, windows: Windows) -> Any:
    """Reshapes the result to the shape that it already has, if a length of the size of `source` is unknown.

    Without this reshape, LiteRT's converter would forget the shape. If all these lengths are known, the reshape is left
    out, because it would make OpenVINO lose the name of an output.
    """
    return ops.reshape(result, shape) if None in windows.size_of(tuple(source.shape)) else result
