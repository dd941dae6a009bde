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
    # Of several NaNs, PyTorch takes the last.
    if not torch.compiler.is_compiling() and bool(pooled.isnan().any()):
        return every_backend.max_pool(images, windows)
    if windows.channels_last:
        pooled, pixel = pooled.movedim(1, -1), pixel.movedim(1, -1)
    scale = channels if windows.channels_last else 1
    return pooled, pixel * scale + windows.channel_numbers(size, channels, "int64")


def max_unpool(values: Any, argmax: Any, size: Size, windows: Windows, in_windows: bool) -> Any:
    """Images of a size with the values at their positions; those that lost go behind the last image."""
    import torch

    shape = tuple(argmax.shape)
    image_shape = windows.shape_of(shape[0], size, shape[windows.channel_axis])
    positions = every_backend.positions_in_batch(argmax, image_shape).reshape(-1)
    length = product(image_shape)
    if not in_windows:
        window = torch.arange(positions.numel(), device=positions.device)
        last = window.new_full((length + 1,), -1).scatter_reduce(0, positions, window, "amax")
        positions = torch.where(last[positions] == window, positions, length)
    elif windows.sharing > 1:
        won = every_backend.winners_in_windows(argmax, image_shape, windows).reshape(-1)
        positions = torch.where(won, positions, length)
    flat = values.new_zeros(length + 1).scatter(0, positions, values.reshape(-1))
    return flat[:length].reshape(image_shape)
