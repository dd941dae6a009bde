"""Max pooling that remembers where the maxima were.

The first line that holds decides; the milliseconds are of 64x64x64x32 pooled by 2, forward and backward with unpooling,
the best of 20 on two busy cores:

| backend | where | implementation | why |
| --- | --- | --- | --- |
| any | within `portable()` | every_backend | other runtimes have no kernel of TensorFlow's |
| TensorFlow | XLA, or a GPU made deterministic | every_backend | XLA has no such kernel (TensorFlow issue 103438) |
| TensorFlow | what BandedConv2D gave in a graph, windows side by side | pooled_convolution | the presets' \
encoders of 1,024 digits 5 to 19 ms, by tensorflow_kernels 5 to 33 |
| TensorFlow | else, and in forward mode | tensorflow_kernels | 35 to 43 ms; every_backend without XLA 310 to 360 |
| PyTorch | windows that it can place | torch_kernels | its pooling has indices: 93 ms, every_backend 521 |
| JAX, PyTorch | else | every_backend | |
"""

from typing import Any

import keras
from keras import ops

from deconv_ae.ops import every_backend
from deconv_ae.ops.provenance import Origin, with_origin
from deconv_ae.ops.windows import Windows


def max_pool_with_argmax(
    x: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: str | None = None
) -> tuple[Any, Any]:
    """The maximum of every window, and where it was.

    `MaxPoolingWithArgmax1D`, `2D` and `3D` as a function of tensors; their docstrings are the specification.

    Args:
        x: floating point images of one to three dimensions, `(batch, *size, channels)` or, with `channels_first`,
            `(batch, channels, *size)`.
        pool_size: int, or one int for each dimension.
        strides: the same; `pool_size` if None.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`; Keras's setting if None.

    Returns:
        The maxima, and their positions in their own image as it lies in memory: int64, int32 on JAX.

    Raises:
        ValueError: For an argument that is not as above, and for images smaller than a window.

    >>> pooled, argmax = max_pool_with_argmax(keras.ops.array([[[3.0], [7.0], [5.0], [1.0]]]), pool_size=2)
    >>> [keras.ops.convert_to_numpy(tensor).squeeze().tolist() for tensor in (pooled, argmax)]
    [[7.0, 5.0], [1, 2]]
    """
    x = ops.convert_to_tensor(x)
    windows = Windows.from_arguments(pool_size, strides, padding, data_format, dimensions_of("x", x))
    return pool(x, windows)


def pool(images: Any, windows: Windows) -> tuple[Any, Any]:
    """`max_pool_with_argmax` of windows; the argmax knows where it is from."""
    windows.check_rank("x", images.shape)
    shape = every_backend.shape_of_pooled(images.shape, windows)
    size = windows.size_of(ops.shape(images))
    pooled, argmax = _implementation(windows, size, images)(images, windows)
    if keras.backend.backend() == "tensorflow":
        # Padding of a length that is not known makes TensorFlow forget the channels, too. Not by tf.ensure_shape, which
        # tf.autodiff.ForwardAccumulator cannot trace (TensorFlow 2.21: "Could not generate a generic TraceType").
        pooled.set_shape(shape)
        argmax.set_shape(shape)
    return pooled, with_origin(argmax, Origin(windows, size))


def _implementation(windows: Windows, size: Any, images: Any) -> Any:
    if every_backend.is_portable():
        return every_backend.max_pool
    if keras.backend.backend() == "tensorflow":
        from deconv_ae.ops import pooled_convolution, tensorflow_kernels

        if tensorflow_kernels.must_compose():
            return every_backend.max_pool
        return pooled_convolution.max_pool if pooled_convolution.pools(images, windows) else tensorflow_kernels.max_pool
    if keras.backend.backend() == "torch":
        from deconv_ae.ops import torch_kernels

        return torch_kernels.max_pool if torch_kernels.pools(windows, size) else every_backend.max_pool
    return every_backend.max_pool


def dimensions_of(name: str, tensor: Any) -> int:
    dimensions = len(tensor.shape) - 2
    if not 1 <= dimensions <= 3:
        raise ValueError(f"`{name}` must be a batch of images of one to three dimensions; got {tuple(tensor.shape)}")
    return dimensions
