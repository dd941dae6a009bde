"""The code in whole numbers: steps by channel, finer the more the channel matters in the picture."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from deconv_ae.compression.container import RATES
from deconv_ae.compression.model_tensors import Tensors, planes_first
from deconv_ae.compression.traversal import Symbols, Tensor, placed

COARSEST_LEVELS = 1.5
"""Steps of the coarsest rate in the largest values, but for one in a thousand."""

LARGEST = 2**30


def quantize(code: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The nearest multiple of each channel's step, as int32.

    >>> quantize(np.array([[0.2, 0.2]], np.float32), np.array([0.5, 0.25], np.float32)).tolist()
    [[0, 1]]
    """
    with np.errstate(invalid="ignore", over="ignore"):
        levels = np.floor(code / steps + np.float32(0.5))
    return np.clip(np.nan_to_num(levels), -LARGEST, LARGEST).astype(np.int32)


def dequantize(levels: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The values that a decoder is given: one multiplication of float32, the same on every machine."""
    return levels.astype(np.float32) * steps


def choose_steps(
    code: Mapping[str, np.ndarray], decode: Callable[[Mapping[str, np.ndarray]], np.ndarray]
) -> dict[str, np.ndarray]:
    """`(RATES, channels)` float32 for each of a code's parts.

    An error in a channel is as large in the picture as the channel's gain says, which is measured: the code is
    disturbed there a little, and decoded. Steps in inverse proportion to it make all channels' errors alike.

    Args:
        code: what the encoder makes of training pictures, `(N, h, w, channels)` float32 each.
        decode: makes pictures of a code that takes the place of this one.
    """
    random = np.random.default_rng(0)
    undisturbed = decode(code).astype(np.float64)
    gains: dict[str, np.ndarray] = {}
    largest = 0.0
    for name, values in code.items():
        gains[name] = np.zeros(values.shape[-1])
        for channel in range(values.shape[-1]):
            used = values[..., channel] != 0
            spread = float(values[..., channel].std())
            if not spread:
                continue
            noise = np.where(used, random.uniform(-1, 1, used.shape) * spread / 4, 0).astype(np.float32)
            disturbed = values.copy()
            disturbed[..., channel] += noise
            change = decode({**code, name: disturbed}) - undisturbed
            gains[name][channel] = np.sqrt((change**2).sum() / (noise.astype(np.float64) ** 2).sum())
            high = float(np.quantile(np.abs(values[..., channel][used]), 0.999))
            largest = max(largest, gains[name][channel] * high)
    coarsest = largest / COARSEST_LEVELS or 1.0
    halved = coarsest / 2.0 ** np.arange(RATES)[:, np.newaxis]
    return {name: (halved / np.where(gain > 0, gain, 1.0)).astype(np.float32) for name, gain in gains.items()}


def whole_numbers(tensors: Sequence[Tensor], encoded: Tensors, steps: Mapping[str, np.ndarray], rate: int) -> Symbols:
    """Code and switches as they are coded at a rate: quantised, and no switch where there is no value."""
    numbers = {
        tensor.name: planes_first(
            quantize(encoded[tensor.name], steps[tensor.name][rate])
            if tensor.is_code
            else encoded[tensor.name].astype(np.int32)
        )
        for tensor in tensors
    }
    for tensor in tensors:
        if tensor.values_in is not None:
            numbers[tensor.name] = np.where(placed(tensor, numbers) != 0, numbers[tensor.name], 0)
    return numbers
