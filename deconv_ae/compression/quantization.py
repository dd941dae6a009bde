"""Quantises the code with a step for each channel; channels that matter more in the picture have finer steps."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from deconv_ae.compression.container import RATE_COUNT
from deconv_ae.compression.model_tensors import Tensors, planes_first
from deconv_ae.compression.traversal import Tensor, placed_values

COARSEST_LEVELS = 1.5
"""With the coarsest steps, the 0.999 quantile of a channel's magnitudes above 0 is at most this many of its steps, and
exactly this many in at least one channel. Channels that never vary are not considered."""

LARGEST_LEVEL = 2**30


def quantize(code: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Divides the code by each channel's step, and rounds to int32 levels.

    >>> quantize(np.array([[0.2, 0.2]], np.float32), np.array([0.5, 0.25], np.float32)).tolist()
    [[0, 1]]
    """
    with np.errstate(invalid="ignore", over="ignore"):
        levels = np.floor(code / steps + np.float32(0.5))
    return np.clip(np.nan_to_num(levels), -LARGEST_LEVEL, LARGEST_LEVEL).astype(np.int32)


def dequantize(levels: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Turns levels into the decoder's input by one float32 multiplication, which is the same on every machine."""
    return levels.astype(np.float32) * steps


def choose_steps(
    code: Mapping[str, np.ndarray], decode: Callable[[Mapping[str, np.ndarray]], np.ndarray]
) -> dict[str, np.ndarray]:
    """Chooses steps such that rounding causes equally large errors in the picture for all channels.

    A channel's gain is the ratio of an error in the picture to the error in the channel. The function measures the gain
    by decoding a slightly disturbed code. Steps are inversely proportional to the gains.

    Args:
        code: the code of training pictures: each tensor by its name, `(N, h, w, channels)` float32.
        decode: decodes this code, changed or not, with the switches of the same pictures.

    Returns:
        The steps of each tensor by its name, `(RATE_COUNT, channels)` float32.
    """
    random = np.random.default_rng(0)
    undisturbed = decode(code).astype(np.float64)
    gains: dict[str, np.ndarray] = {}
    largest_effect = 0.0
    for name, values in code.items():
        gains[name] = np.zeros(values.shape[-1])
        for channel in range(values.shape[-1]):
            is_used = values[..., channel] != 0
            spread = float(values[..., channel].std())
            if not spread:
                continue
            noise = np.where(is_used, random.uniform(-1, 1, is_used.shape) * spread / 4, 0).astype(np.float32)
            disturbed = values.copy()
            disturbed[..., channel] += noise
            change = decode({**code, name: disturbed}) - undisturbed
            gains[name][channel] = np.sqrt((change**2).sum() / (noise.astype(np.float64) ** 2).sum())
            quantile = float(np.quantile(np.abs(values[..., channel][is_used]), 0.999))
            largest_effect = max(largest_effect, gains[name][channel] * quantile)
    coarsest_step = largest_effect / COARSEST_LEVELS or 1.0
    picture_steps = coarsest_step / 2.0 ** np.arange(RATE_COUNT)[:, np.newaxis]
    return {name: (picture_steps / np.where(gain > 0, gain, 1.0)).astype(np.float32) for name, gain in gains.items()}


def quantized_values(
    tensors: Sequence[Tensor], encoded: Tensors, steps: Mapping[str, np.ndarray], rate: int
) -> dict[str, np.ndarray]:
    """Computes the values to code at a rate, 0 to RATE_COUNT - 1: the levels of the code, and the switches.

    Switches with `values_in` become 0 where the code's level is 0, because they have no effect there.
    """
    values = {
        tensor.name: planes_first(
            quantize(encoded[tensor.name], steps[tensor.name][rate])
            if tensor.is_code
            else encoded[tensor.name].astype(np.int32)
        )
        for tensor in tensors
    }
    for tensor in tensors:
        if tensor.values_in is not None:
            values[tensor.name] = np.where(placed_values(tensor, values) != 0, values[tensor.name], 0)
    return values
