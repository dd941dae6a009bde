"""Pooling and unpooling by PyTorch's own operations, whose gradients are PyTorch's.

Its pooling is of channels first and numbers the positions of every channel by itself.
"""

from typing import Any

from deconv_ae.ops import every_backend
from deconv_ae.ops.windows import Size, Windows, product


def pools(windows: Windows, size: Size) -> bool:
    """Whether PyTorch can place the windows: it knows no padding that is longer on one side."""
    return all(axis.pad_before(n) == 0 and axis.pad_after(n) == 0 for axis, n in zip(windows.axes, size))


def max_pool(images: Any, windows: Windows) -> tuple[Any, Any]:
    """The maximum of every window and its position; of windows with no padding."""
    import torch

    functions = torch.nn.functional
    of_dimensions = (functions.max_pool1d, functions.max_pool2d, functions.max_pool3d)[windows.dimensions - 1]
    shape = tuple(images.shape)
    channels, size = shape[windows.channel_axis], windows.size_of(shape)
    planes = images.movedim(-1, 1) if windows.channels_last else images
    pooled, pixel = of_dimensions(planes, windows.pool_size, windows.strides, return_indices=True)
    # Of several NaNs, PyTorch takes the last. The sum, one pass, is NaN as well where infinities meet: slow, and right.
    if not torch.compiler.is_compiling() and bool(pooled.detach().sum().isnan()):
        return every_backend.max_pool(images, windows)
    if windows.channels_last:
        pooled, pixel = pooled.movedim(1, -1), pixel.movedim(1, -1)
    scale = channels if windows.channels_last else 1
    return pooled, torch.add(windows.channel_numbers(size, channels, "int64"), pixel, alpha=scale)


def max_unpool(values: Any, argmax: Any, size: Size, windows: Windows, in_windows: bool) -> Any:
    """Images of a size with the values at their positions.

    PyTorch scatters in parallel over the images, but only positions that all are in theirs. Else it scatters through
    the whole batch, and what lost or is in no image goes behind the last.
    """
    import torch

    shape = tuple(argmax.shape)
    image_shape = windows.shape_of(shape[0], size, shape[windows.channel_axis])
    if in_windows:
        if windows.sharing > 1:
            values = torch.where(every_backend.winners_in_windows(argmax, image_shape, windows), values, 0)
        images = values.new_zeros(shape[0], product(image_shape[1:]))
        return images.scatter_add_(1, argmax.flatten(1), values.flatten(1)).reshape(image_shape)
    positions = every_backend.positions_in_batch(argmax, image_shape).reshape(-1)
    length = product(image_shape)
    window = torch.arange(positions.numel(), device=positions.device)
    last = window.new_full((length + 1,), -1).scatter_reduce(0, positions, window, "amax")
    positions = torch.where(last[positions] == window, positions, length)
    flat = values.new_zeros(length + 1).scatter(0, positions, values.reshape(-1))
    return flat[:length].reshape(image_shape)
