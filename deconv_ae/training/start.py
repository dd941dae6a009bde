"""The initial weights of a run: one of several encoders, and a decoder for it.

Given the switches, everything after the code is linear. So the transposed convolutions need not start at random. Least
squares fits each of them: its input is what the inner stages reconstruct from the code, and its target is the input of
its stage. `set_initial_weights` compares several encoders by the RMSE of their fitted decoders. The model's own
encoder keeps the fitted decoder; a guess's encoder, if it is used, gets the guess's own decoder in place of the fitted
one.

Random kernels are made to fire, so that no channel is silent from the start. Each filter gets the sign that makes the
mean of its outputs before the ReLU positive, and the scale that makes their standard deviation the input's RMS.

A smooth path starts from the principal components of the pictures' blocks, because no other linear averages preserve
the blocks better. The stages start from the rest: the pictures minus what the smooth path reconstructs.
"""

from collections.abc import Sequence

import keras
import numpy as np

from deconv_ae.data import scale
from deconv_ae.data.dataset import evenly_spaced
from deconv_ae.model.arrays import to_array
from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.model.objective import per_image_rmse
from deconv_ae.model.smooth_path import AVERAGES, ENLARGE

# Pictures that the fit uses at most: enough equations for the largest kernels in use, few enough for the memory.
MOST_IMAGES = 256
MOST_VALUES = 2**26
FEWEST_PIXELS = 4_000
PIXELS_PER_UNKNOWN = 8
# With more unknowns, solving takes longer than it saves. Then the kernel of a transposed convolution starts as its
# stage's convolution kernel, times one number.
MOST_UNKNOWNS = 4096
# Numbers in the blocks whose principal components are computed.
MOST_BLOCK_VALUES = 2**24
# Ridge regression, relative to the equations' mean square: unknowns that the pictures do not determine stay near zero.
RIDGE = 1e-3
# The model's own random kernels replace a guess only if their RMSE is at most this share of the guess's RMSE: random
# kernels that start a little ahead end behind.
OWN_KERNELS_MARGIN = 0.8


Guess = tuple[keras.Initializer, keras.Initializer]
"""Initializers of the convolutions' kernels and of the transposed convolutions' kernels."""


def set_initial_weights(model: Autoencoder, images: np.ndarray, guesses: Sequence[Guess] = (), seed: int = 0) -> None:
    """Gives an untrained model one of several encoders, and a decoder for it.

    Args:
        model: a built model. If no guess is used, the encoder keeps the model's own kernels, with signs and scales that
            make every filter fire, and the decoder is fitted.
        images: `(N, height, width, channels)` uint8, all training images; at most 256 are used.
        guesses: other initial weights. Each guess's encoder is compared with the model's own kernels, both with fitted
            decoders. A guess loses only if the RMSE of the model's kernels is at most 0.8 times the guess's RMSE. The
            first guess that does not lose is used, with its own decoder in place of the fitted one.
        seed: decides which pixels the decoder is fitted to, and which blocks the averages are fitted to.

    >>> from deconv_ae.model.architecture import Architecture
    >>> images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), np.uint8)
    >>> model = Autoencoder(Architecture((4,), (2,)), (12, 12, 1))
    >>> before = float(np.mean(per_image_rmse(scale(images), model(scale(images)))))
    >>> set_initial_weights(model, images)
    >>> float(np.mean(per_image_rmse(scale(images), model(scale(images))))) < before
    True
    """
    stages = [(model.get_layer(f"conv{n}"), model.get_layer(f"deconv{n}")) for n in _stage_numbers(model)]
    most_filters = max(convolution.filters for convolution, _ in stages)
    count = int(np.clip(MOST_VALUES // (images[0, ..., 0].size * most_filters), 1, min(MOST_IMAGES, len(images))))
    sample = scale(evenly_spaced(images, count))
    if model.architecture.averages:
        sample = sample - _fit_smooth_path(model, sample, np.random.default_rng(seed))
    own_kernels = [_array(convolution.kernel) for convolution, _ in stages]
    own_rmse = _use_encoder(model, own_kernels, sample, seed) if guesses else np.inf
    for encoder, decoder in guesses:
        kernels = [_array(encoder(kernel.shape)) for kernel in own_kernels]
        if own_rmse > OWN_KERNELS_MARGIN * _use_encoder(model, kernels, sample, seed):
            for _, deconvolution in stages:
                deconvolution.kernel.assign(decoder(deconvolution.kernel.shape))
                if deconvolution.use_bias:
                    deconvolution.bias.assign(keras.ops.zeros_like(deconvolution.bias))
            return
    _use_encoder(model, _make_filters_fire(model, own_kernels, sample), sample, seed)


def _fit_smooth_path(model: Autoencoder, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Fits the smooth path, and returns the images that it reconstructs.

    The smooth path is the layers that average blocks and enlarge the averages. Their weights become the principal
    components of the images' blocks.
    """
    averages, enlarge = model.get_layer(AVERAGES), model.get_layer(ENLARGE)
    height, width, channels, count = averages.kernel.shape
    rows, columns = (length // side for length, side in zip(images.shape[1:3], (height, width)))
    blocks = images[:, : rows * height, : columns * width].reshape(-1, rows, height, columns, width, channels)
    blocks = blocks.transpose(0, 1, 3, 2, 4, 5).reshape(-1, height * width * channels)
    most_blocks = max(1, MOST_BLOCK_VALUES // blocks.shape[1])
    if len(blocks) > most_blocks:
        blocks = blocks[random.choice(len(blocks), most_blocks, replace=False)]
    mean = blocks.mean(axis=0)
    components = np.linalg.svd(blocks - mean, full_matrices=False)[2][:count]
    # A component's sign is arbitrary. This choice gives bright blocks large averages.
    components *= np.where(components.sum(axis=1) < 0, -1, 1)[:, np.newaxis]
    kernel = np.zeros((count, blocks.shape[1]), np.float32)
    kernel[: len(components)] = components
    colour = mean.reshape(-1, channels).mean(axis=0)
    kernel = kernel.reshape(count, height, width, channels)
    averages.kernel.assign(kernel.transpose(1, 2, 3, 0))
    # The bias subtracts the mean colour from each block before its projection.
    averages.bias.assign(-(kernel * colour).sum(axis=(1, 2, 3)))
    enlarge.kernel.assign(kernel.transpose(1, 2, 3, 0))
    enlarge.bias.assign(colour)
    return _array(model.smooth(images))


def _make_filters_fire(model: Autoencoder, kernels: Sequence[np.ndarray], images: np.ndarray) -> list[np.ndarray]:
    """Changes each filter's sign and scale, so that no channel is silent.

    The filter's outputs before the ReLU get a positive mean, and a standard deviation equal to the RMS of its input.

    Also assigns the changed kernels to the model's convolutions; returns them.
    """
    values, firing_kernels = images, []
    for number, kernel in zip(_stage_numbers(model), kernels):
        outputs = _array(keras.ops.conv(values, kernel, padding="same", data_format="channels_last"))
        spread, input_rms = outputs.std(axis=(0, 1, 2)), np.sqrt(np.mean(np.square(values)))
        gain = np.where(spread > 0, input_rms / np.maximum(spread, 1e-12), 1)
        firing_kernels.append(kernel * gain * np.where(outputs.mean(axis=(0, 1, 2)) < 0, -1, 1))
        convolution = model.get_layer(f"conv{number}")
        convolution.kernel.assign(firing_kernels[-1])
        values = _array(model.get_layer(f"pool{number}")(convolution(values))[0])
    return firing_kernels


def _use_encoder(model: Autoencoder, kernels: Sequence[np.ndarray], images: np.ndarray, seed: int) -> float:
    """Gives the model an encoder of these kernels and fits a decoder to it; returns the RMSE."""
    for number, kernel in zip(_stage_numbers(model), kernels):
        model.get_layer(f"conv{number}").kernel.assign(kernel)
    return _fit_decoder(model, images, np.random.default_rng(seed))


def _stage_numbers(model: Autoencoder) -> range:
    return range(1, len(model.architecture.filters) + 1)


def _fit_decoder(model: Autoencoder, images: np.ndarray, random: np.random.Generator) -> float:
    """Fits every transposed convolution, innermost first; returns the RMSE, or infinity in place of NaN."""
    values, encodings = keras.ops.convert_to_tensor(images), []
    for number in _stage_numbers(model):
        inputs = values
        values, argmax = model.get_layer(f"pool{number}")(model.get_layer(f"conv{number}")(inputs))
        encodings.append((inputs, argmax))
    for number, (inputs, argmax) in reversed(list(zip(_stage_numbers(model), encodings))):
        unpooled = model.get_layer(f"unpool{number}")(values, argmax, output_size=tuple(inputs.shape[1:3]))
        deconvolution = model.get_layer(f"deconv{number}")
        _fit_deconvolution(deconvolution, model.get_layer(f"conv{number}"), _array(unpooled), _array(inputs), random)
        values = deconvolution(unpooled)
    rmse = float(np.mean(per_image_rmse(images, values)))
    return rmse if np.isfinite(rmse) else np.inf


def _fit_deconvolution(
    deconvolution: keras.layers.Conv2DTranspose,
    convolution: keras.layers.Conv2D,
    unpooled: np.ndarray,
    targets: np.ndarray,
    random: np.random.Generator,
) -> None:
    """Fits kernel and bias of a transposed convolution to the targets, by least squares.

    With more than `MOST_UNKNOWNS` unknowns, the kernel becomes the convolution's kernel times one fitted number, and
    the bias stays as it is.
    """
    height, width, channels, filters = deconvolution.kernel.shape
    unknowns = height * width * filters
    if unknowns > MOST_UNKNOWNS:
        deconvolution.kernel.assign(convolution.kernel)
        restored = _array(deconvolution(unpooled))
        gain = np.sum(restored * targets) / max(np.sum(np.square(restored)), 1e-12)
        deconvolution.kernel.assign(convolution.kernel * gain)
        return
    pixels = targets[..., 0].size
    chosen = random.choice(pixels, min(max(FEWEST_PIXELS, PIXELS_PER_UNKNOWN * unknowns), pixels), replace=False)
    images, rows, columns = np.unravel_index(np.sort(chosen), targets.shape[:3])
    # With padding "same", a convolution reads (length - 1) // 2 pixels before each of its output pixels. So the
    # transposed convolution reads as many pixels after each of its output pixels.
    pixels_after = [(length - 1) // 2 for length in (height, width)]
    paddings = [(length - 1 - count, count) for length, count in zip((height, width), pixels_after)]
    padded = np.pad(unpooled, ((0, 0), *paddings, (0, 0)))
    terms = [
        padded[images, rows + height - 1 - kernel_row, columns + width - 1 - kernel_column]
        for kernel_row in range(height)
        for kernel_column in range(width)
    ]
    if deconvolution.use_bias:
        terms.append(np.ones((len(images), 1), np.float32))
    equations = np.concatenate(terms, axis=1).astype(np.float64)
    normal_matrix = equations.T @ equations
    normal_matrix += np.eye(len(normal_matrix)) * max(RIDGE * np.trace(normal_matrix) / len(normal_matrix), 1e-12)
    solution = np.linalg.solve(normal_matrix, equations.T @ targets[images, rows, columns].astype(np.float64))
    deconvolution.kernel.assign(solution[:unknowns].reshape(height, width, filters, channels).swapaxes(2, 3))
    if deconvolution.use_bias:
        deconvolution.bias.assign(solution[unknowns])


def _array(tensor: object) -> np.ndarray:
    return np.array(to_array(tensor), np.float32)
