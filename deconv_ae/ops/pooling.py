"""Max pooling that returns the maxima and their positions.

The implementation depends on what executes the operations. Milliseconds are for pooling 64x64x64x32 by 2, forward and
backward with unpooling, the best of 20 runs on two busy cores:

| executed by | implementation | why |
| --- | --- | --- |
| another runtime, inside of `portable()` | other_runtimes | it lacks TensorFlow's kernels |
| XLA (TensorFlow's, JAX); a deterministic GPU | xla | XLA has no such kernel (TensorFlow issue 103438) |
| TensorFlow | tensorflow | 35 to 43 ms; reference 310 to 360 |
| PyTorch | torch | its pooling returns indices: 93 ms; reference 521 |
| PyTorch's compiler, vmap, export | reference | reference reads no values: here they are unknown |
"""

from collections.abc import Callable
from typing import Any

import keras

from deconv_ae.ops import checks, environment, other_runtimes, reference, xla
from deconv_ae.ops.origin import Origin, with_origin
from deconv_ae.ops.windows import Windows, shape_of_pooled

POOLINGS: dict[str, Callable[..., tuple[Any, Any]]] = {
    environment.PORTABLE: other_runtimes.max_pool,
    environment.XLA: xla.max_pool,
    environment.TRACED_TORCH: reference.max_pool,
}
if environment.BACKEND == "tensorflow":
    from deconv_ae.ops import tensorflow

    POOLINGS[environment.TENSORFLOW] = tensorflow.max_pool
if environment.BACKEND == "torch":
    from deconv_ae.ops import torch

    POOLINGS[environment.TORCH] = torch.max_pool


def max_pool_with_argmax(
    x: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: str | None = None
) -> tuple[Any, Any]:
    """Returns the maximum of every window and its position.

    This is `MaxPoolingWithArgmax1D`, `2D` and `3D` as a function of tensors. Their docstrings are the specification.

    Args:
        x: images of one to three dimensions, of floating point numbers or integers, `(batch, *size, channels)` or,
            with `channels_first`, `(batch, channels, *size)`: a tensor, a variable or an array.
        pool_size: int, or one int for each dimension.
        strides: int, or one int for each dimension; `pool_size` if None.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`; Keras's setting if None.

    Returns:
        The maxima, and each one's position in its own image, counted as the image lies in memory: int64, or int32 on
        JAX.

    Raises:
        ValueError: If an argument is not as above, or if the padding is `"valid"` and the images are smaller than a
            window.

    >>> pooled, argmax = max_pool_with_argmax(keras.ops.array([[[3.0], [7.0], [5.0], [1.0]]]), pool_size=2)
    >>> [keras.ops.convert_to_numpy(tensor).squeeze().tolist() for tensor in (pooled, argmax)]
    [[7.0, 5.0], [1, 2]]
    """
    x = checks.as_tensor("x", x)
    return pool(x, Windows.from_arguments(pool_size, strides, padding, data_format, dimensions_of("x", x)))


def pool(images: Any, windows: Windows) -> tuple[Any, Any]:
    """Does what `max_pool_with_argmax` does; `windows` holds its other arguments. Records the origin of the argmax."""
    windows.check_rank("x", images.shape)
    shape = shape_of_pooled(images.shape, windows)
    pooled, argmax = POOLINGS[environment.runtime(images)](images, windows)
    pooled, argmax = (environment.with_static_shape(tensor, shape) for tensor in (pooled, argmax))
    return pooled, with_origin(argmax, Origin(windows, windows.size_of(keras.ops.shape(images))))


def dimensions_of(name: str, tensor: Any) -> int:
    """The number of spatial dimensions of a batch of images; ValueError if it is not 1, 2 or 3."""
    dimensions = len(tensor.shape) - 2
    if not 1 <= dimensions <= 3:
        raise ValueError(f"`{name}` must be a batch of images of one to three dimensions; got {tuple(tensor.shape)}")
    return dimensions
