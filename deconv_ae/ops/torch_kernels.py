"""Pooling and unpooling by PyTorch's own operations, whose gradients are PyTorch's.

Its pooling is of channels first and numbers the positions of every channel by itself.
"""

from typing import Any

from deconv_ae.ops import every_backend
from deconv_ae.ops.windows import Size, Windows, product


def pools(windows: Windows, size: Size) -> bool:
    """Whether PyTorch can place the windows.

    It pads both sides alike. One position more behind the image comes of rounding the number of windows up, but not
    where they move by one position at a time.
    """
    return all(axis.stride > 1 or len(set(axis.pads(length))) == 1 for axis, length in zip(windows.axes, size))


def max_pool(images: Any, windows: Windows) -> tuple[Any, Any]:
    """The maximum of every window and its position."""
    import torch

    functions = torch.nn.functional
    of_dimensions = (functions.max_pool1d, functions.max_pool2d, functions.max_pool3d)[windows.dimensions - 1]
    shape = tuple(images.shape)
    channels, size = shape[windows.channel_axis], windows.size_of(shape)
    planes = images.movedim(-1, 1) if windows.channels_last else images
    pooled, pixel = of_dimensions(
        planes,
        windows.pool_size,
        windows.strides,
        padding=tuple(axis.pads(length)[0] for axis, length in zip(windows.axes, size)),
        ceil_mode=windows.padding == "same",
        return_indices=True,
    )
    # Of several NaNs, PyTorch takes the last; of a window of -inf only, on a GPU with channels last, the first position
    # of the whole image. The sum, one pass, is not finite for either, nor for some others: slow, and right.
    total = pooled.detach().sum(dtype=torch.promote_types(pooled.dtype, torch.float32))
    if not torch.compiler.is_compiling() and not bool(total.isfinite()):
        return every_backend.max_pool(images, windows)
    if windows.channels_last:
        pooled, pixel = pooled.movedim(1, -1), pixel.movedim(1, -1)
    # Not `windows.channel_numbers`: for a small batch, keras.ops take as long as all the rest.
    step = windows.steps(size, channels)[1]
    own = torch.arange(channels, device=pixel.device).reshape(windows.shape_of(1, (1,) * windows.dimensions, channels))
    scale = channels if windows.channels_last else 1
    return pooled, torch.add(own * step, pixel, alpha=scale)


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
