"""Max unpooling: values back to the positions of their maxima.

The first line that holds decides; the milliseconds are as in pooling.py:

| backend | where | implementation | why |
| --- | --- | --- | --- |
| any | within `portable()` | every_backend | other runtimes have no kernel of TensorFlow's |
| TensorFlow | XLA, or a GPU made deterministic | every_backend | there is no such kernel |
| TensorFlow | else | tensorflow_kernels | adds in parallel over the batch |
| PyTorch | | torch_kernels | `keras.ops.scatter` of Keras 3.15 loops in Python: 11.8 s instead of 4 ms |
| JAX | | every_backend | |

In every_backend, `spread` where windows lie side by side and positions are known to be in them (TensorFlow's XLA 24 to
26 ms, by `scatter` 37 to 38; JAX 82 to 84 and 108 to 111), else `scatter`.

The gradient takes the values at the same positions: `tensorflow_kernels.scatter_add` has one of its own, the others are
the backend's. Behind it a transposed convolution of few channels computes it by windows, in `pooled_convolution.py`.
"""

from typing import Any

import keras
from keras import ops

from deconv_ae.ops import every_backend, handover
from deconv_ae.ops.pooling import dimensions_of
from deconv_ae.ops.provenance import origin_of
from deconv_ae.ops.switches import are_in_windows
from deconv_ae.ops.windows import Size, Windows, size_argument, static


def max_unpool(
    values: Any,
    argmax: Any,
    pool_size: Any,
    strides: Any = None,
    padding: str = "valid",
    output_size: Any = None,
    like: Any = None,
    data_format: str | None = None,
) -> Any:
    """Images that are zero but for the values, each at its position.

    `MaxUnpooling1D`, `2D` and `3D` as a function of tensors; their docstrings are the specification.

    Args:
        values: `(batch, *pooled size, channels)` or, with `channels_first`, `(batch, channels, *pooled size)`.
        argmax: their positions, as `max_pool_with_argmax` returns them.
        pool_size, strides, padding, data_format: the pooling's.
        output_size: the size to restore: one int for each dimension, or an integer tensor of them.
        like: a tensor of the size to restore.

    Raises:
        ValueError: For an argument that is not as above, for a size that does not pool to the values' or is not that
            of the images that were pooled, and, on JAX outside of jit and on PyTorch, for positions that are out of
            range or in other channels.
        tf.errors.InvalidArgumentError: On TensorFlow, for the same where it is not known before it runs.

    >>> from deconv_ae.ops import max_pool_with_argmax
    >>> pooled, argmax = max_pool_with_argmax(keras.ops.array([[[3.0], [7.0], [5.0], [1.0]]]), pool_size=2)
    >>> keras.ops.convert_to_numpy(max_unpool(pooled, argmax, pool_size=2)).squeeze().tolist()
    [0.0, 7.0, 5.0, 0.0]
    """
    values = ops.convert_to_tensor(values)
    windows = Windows.from_arguments(pool_size, strides, padding, data_format, dimensions_of("values", values))
    return unpool(values, argmax, windows, output_size, like)


def unpool(values: Any, argmax: Any, windows: Windows, output_size: Any = None, like: Any = None) -> Any:
    """`max_unpool` of windows."""
    windows.check_rank("pooled", values.shape)
    handover.check_same_shape(values, argmax)
    size = size_to_restore(argmax, windows, output_size, like)
    checked, in_windows = _checked(argmax, values, size, windows)
    images = _implementation()(values, checked, size, windows, in_windows)
    if keras.backend.backend() == "tensorflow":
        from deconv_ae.ops.pooled_convolution import with_unpooled

        images.set_shape(windows.shape_of(values.shape[0], static(size), values.shape[windows.channel_axis]))
        images = with_unpooled(images, values, argmax, windows)
    return images


def size_to_restore(argmax: Any, windows: Windows, output_size: Any = None, like: Any = None) -> Size:
    """The size that is asked for, else that of the images that were pooled, else the usual one."""
    if output_size is not None and like is not None:
        raise ValueError("give `output_size` or `like`, not both")
    symbolic = isinstance(argmax, keras.KerasTensor)
    shape = argmax.shape if symbolic else ops.shape(argmax)
    pooled_size = windows.size_of(shape)
    origin = origin_of(argmax)
    if like is not None:
        windows.check_rank("like", like.shape)
        size = windows.size_of(like.shape if isinstance(like, keras.KerasTensor) else ops.shape(like))
    elif output_size is not None:
        size = size_argument("output_size", output_size, windows.dimensions)
    elif origin is not None:
        size = origin.size
    else:
        size = windows.usual_size(pooled_size)
    if origin is not None:
        if origin.windows.data_format != windows.data_format:
            raise ValueError(
                f"`argmax` was made with data_format={origin.windows.data_format!r}, which numbers its positions, and "
                f"this unpooling has {windows.data_format!r}"
            )
        if symbolic:
            handover.check_known_size(origin.size, size, windows)
    windows.check_restorable(size, pooled_size)
    return tuple(size)


def _checked(argmax: Any, values: Any, size: Size, windows: Windows) -> tuple[Any, Any]:
    """argmax behind all checks, and whether its positions are known to be in the windows that chose them.

    That is True, False or, where only the values can tell, a tensor.
    """
    origin = origin_of(argmax)
    argmax = ops.convert_to_tensor(handover.checked_shape(argmax, values), dtype=every_backend.ARGMAX_DTYPE)
    if origin is not None:
        argmax = handover.checked_same_size(argmax, origin.size, size, windows)
    if origin is not None and origin.windows == windows and origin.in_windows:
        return argmax, True
    argmax = handover.checked_restorable(argmax, size, windows)
    argmax = handover.checked_positions(argmax, size, windows)
    if _implementation() is every_backend.max_unpool or keras.backend.backend() == "torch":
        return argmax, False
    return argmax, are_in_windows(argmax, size, windows)


def _implementation() -> Any:
    if every_backend.is_portable():
        return every_backend.max_unpool
    if keras.backend.backend() == "tensorflow":
        from deconv_ae.ops import tensorflow_kernels

        return every_backend.max_unpool if tensorflow_kernels.must_compose() else tensorflow_kernels.max_unpool
    if keras.backend.backend() == "torch":
        from deconv_ae.ops import torch_kernels

        return torch_kernels.max_unpool
    return every_backend.max_unpool
