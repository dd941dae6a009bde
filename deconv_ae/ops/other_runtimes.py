"""Pooling and unpooling for ONNX Runtime, LiteRT and OpenVINO: within `environment.portable`."""

from typing import Any

from keras import ops

from deconv_ae.ops import in_windows, reference
from deconv_ae.ops.windows import Size, Windows


def max_pool(images: Any, windows: Windows) -> tuple[Any, Any]:
    """As `reference.max_pool`."""
    values, argmax = reference.max_pool(images, windows)
    shape = ops.shape(images)
    pooled_size = windows.pooled_size(windows.size_of(shape))
    return _shaped(
        values, images, windows.shape_of(shape[0], pooled_size, shape[windows.channel_axis]), windows
    ), argmax


def max_unpool(values: Any, argmax: Any, size: Size, windows: Windows, in_their_windows: bool) -> Any:
    """As `reference.max_unpool`."""
    if not in_their_windows:
        return reference.max_unpool(values, argmax, size, windows)
    images = in_windows.max_unpool(values, argmax, size, windows, repeat=_beside_one_another)
    shape = ops.shape(argmax)
    return _shaped(images, argmax, windows.shape_of(shape[0], size, shape[windows.channel_axis]), windows)


def _beside_one_another(tensor: Any, times: int) -> Any:
    # OpenVINO computes a tile in bfloat16 where the CPU has it, and broadcasts to no shape known only at run time.
    return ops.concatenate([tensor] * times, axis=2)


def _shaped(result: Any, given: Any, shape: tuple[Any, ...], windows: Windows) -> Any:
    """The result, of a shape that LiteRT's converter forgets where the given tensor's lengths are unknown.

    Not where they are known: OpenVINO would lose the name of an output.
    """
    return ops.reshape(result, shape) if None in windows.size_of(tuple(given.shape)) else result
