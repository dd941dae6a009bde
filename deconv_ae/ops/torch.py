"""Pooling and unpooling by PyTorch's own operations and their gradients.

PyTorch's pooling takes channels first and numbers the positions of each channel separately. On PyTorch, keras.ops
has no fast and exact scatter: in Keras 3.15, `scatter` loops in Python (keras pull request 23196), and `segment_sum`
and `segment_max` compute in float32.
"""

import torch

from deconv_ae.ops import environment, in_windows, reference
from deconv_ae.ops.windows import Size, Windows, product


def max_pool(images: torch.Tensor, windows: Windows) -> tuple[torch.Tensor, torch.Tensor]:
    """Does what `reference.max_pool` does."""
    # PyTorch takes the last of several NaNs. For a window of only -inf, on a GPU with channels last, it returns the
    # first position of the whole image. One pass detects both cases, because the sum is then not finite. Some other
    # images also have a sum that is not finite; they take the slower path, which is right as well.
    total = images.detach().sum(dtype=torch.promote_types(images.dtype, torch.float32))
    if not _can_pool(windows, images.shape) or not environment.truth_of(total.isfinite()):
        return reference.max_pool(images, windows)
    return _max_pool_kernel(images, windows)


def _can_pool(windows: Windows, shape: torch.Size) -> bool:
    """Whether PyTorch's own pooling can pool images of this shape with these windows.

    PyTorch pads both sides equally. Rounding the number of windows up (`ceil_mode`) adds one position behind the image,
    except with strides of 1. PyTorch refuses images without channels.
    """
    size = windows.size_of(shape)
    return shape[windows.channel_axis] > 0 and all(
        axis.stride > 1 or len(set(axis.pads(length))) == 1 for axis, length in zip(windows.axes, size)
    )


def _max_pool_kernel(images: torch.Tensor, windows: Windows) -> tuple[torch.Tensor, torch.Tensor]:
    functions = torch.nn.functional
    pooling = (functions.max_pool1d, functions.max_pool2d, functions.max_pool3d)[windows.dimensions - 1]
    channels, size = images.shape[windows.channel_axis], windows.size_of(images.shape)
    last_axis = windows.dimensions + 1
    pooled, pixel_numbers = pooling(
        images.movedim(last_axis, 1) if windows.channels_last else images,
        windows.pool_size,
        windows.strides,
        padding=tuple(axis.pads(length)[0] for axis, length in zip(windows.axes, size)),
        ceil_mode=windows.padding == "same",
        return_indices=True,
    )
    if windows.channels_last:
        pooled, pixel_numbers = pooled.movedim(1, last_axis), pixel_numbers.movedim(1, last_axis)
    # `windows.channel_numbers` is not called here: for a small batch, it takes as long as the rest of the pooling.
    step = windows.steps(size, channels)[1]
    channel_numbers = torch.arange(channels, device=pixel_numbers.device).reshape(
        windows.shape_of(1, (1,) * windows.dimensions, channels)
    )
    return pooled, torch.add(channel_numbers * step, pixel_numbers, alpha=channels if windows.channels_last else 1)


def max_unpool(
    values: torch.Tensor, argmax: torch.Tensor, size: Size, windows: Windows, positions_are_in_windows: bool
) -> torch.Tensor:
    """Does what `reference.max_unpool` does.

    If all positions are in their windows, PyTorch scatters in parallel over the images. Else PyTorch scatters over the
    whole batch at once; then values that lost, and values whose position is not in their own image, go behind the last
    image.
    """
    batch = argmax.shape[0]
    image_shape = windows.shape_of(batch, size, argmax.shape[windows.channel_axis])
    if positions_are_in_windows:
        if windows.windows_per_position > 1:
            values = torch.where(in_windows.winners(argmax, image_shape, windows), values, 0)
        images = values.new_zeros(batch, product(image_shape[1:]))
        return images.scatter_add(1, argmax.flatten(1), values.flatten(1)).reshape(image_shape)
    positions = reference.positions_in_batch(argmax, image_shape).reshape(-1)
    length = product(image_shape)
    numbers = torch.arange(positions.numel(), device=positions.device)
    winner_numbers = numbers.new_full((length + 1,), -1).scatter_reduce(0, positions, numbers, "amax")
    positions = torch.where(winner_numbers[positions] == numbers, positions, length)
    flat = values.new_zeros(length + 1).scatter(0, positions, values.reshape(-1))
    return flat[:length].reshape(image_shape)
