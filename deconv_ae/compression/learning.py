"""Learns the quantisation steps and the probabilities from training pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import optimize, sparse

from deconv_ae.compression.container import RATE_COUNT
from deconv_ae.compression.model_tensors import ModelTensors, Tensors
from deconv_ae.compression.probabilities import LARGEST_WEIGHT, SCORES_PER_BIT, Plane
from deconv_ae.compression.probability_file import Probabilities, feature_sizes_of, model_checksum
from deconv_ae.compression.quantization import choose_steps, dequantize, quantize, quantized_values
from deconv_ae.compression.traversal import Tensor, Visit, traverse
from deconv_ae.data.dataset import check_images
from deconv_ae.saved_model.serving import ServedAutoencoder
from deconv_ae.saved_model.signatures import CODE

MOST_PICTURES, MOST_VALUES = 4000, 2_000_000
"""The most pictures to learn from, and the most values of code and switches in all of these pictures."""

MOST_FITTED = 30_000
"""The most values to fit one channel's probabilities to."""

MEASURED_PICTURES = 200
"""The most pictures on which the channels' gains are measured."""

MOST_LEVELS = 48
"""The most symbols of a code's channel, without the escape; other values are escaped."""

CONSTANT_SHARE = 0.9995
"""A channel in which one value has at least this share is coded without a context."""

PRIOR = 0.5
"""A weight costs half of this times its square, in nats: a normal prior with a standard deviation of 1.4."""

FIT_STEPS = 40


def learn_probabilities(model: ServedAutoencoder, images: np.ndarray) -> Path:
    """Learns the probabilities that `Compressor` needs, and writes them to a file in the model's directory.

    Args:
        model: an exported model.
        images: its training pictures, `(N, height, width, channels)` uint8, of which at most 4,000 are used.

    Returns:
        The written file's path; the file has tens of kB.

    Raises:
        InputError: if images do not fit the model.
        RunError: if the file cannot be written.
    """
    check_images("images", images)
    model.check(images)
    return _learn(ModelTensors(model), images).write(model.path)


def _learn(model: ModelTensors, images: np.ndarray) -> Probabilities:
    count = min(len(images), MOST_PICTURES, max(1, MOST_VALUES // model.values_per_picture))
    indices = np.sort(np.random.default_rng(0).permutation(len(images))[:count])
    encoded = model.encode(images[indices])
    sample = {name: values[:MEASURED_PICTURES] for name, values in encoded.items()}
    steps = choose_steps(
        {tensor.name: sample[tensor.name] for tensor in model.tensors if tensor.is_code},
        lambda code: model.decode({**sample, **code}),
    )
    tensors = _set_values_in(model, sample, steps)
    planes: dict[str, tuple[tuple[Plane, ...], ...]] = {}
    fitted_by_rate = [_fit_planes(tensors, encoded, steps, rate) for rate in range(RATE_COUNT)]
    for tensor in tensors:
        planes[tensor.name] = tuple(fitted[tensor.name] for fitted in fitted_by_rate if tensor.name in fitted)
    return Probabilities(model_checksum(model.path), tensors, steps, planes, count)


def _set_values_in(model: ModelTensors, encoded: Tensors, steps: Mapping[str, np.ndarray]) -> tuple[Tensor, ...]:
    """Returns the model's tensors, with `values_in` set for switches that have no effect where the code is 0.

    To test a tensor of switches, quantises the code with the coarsest steps, sets the switches to 0 where the code is
    0, and compares the pictures decoded before and after.
    """
    quantised = dict(encoded)
    for name in steps:
        quantised[name] = dequantize(quantize(encoded[name], steps[name][0]), steps[name][0])
    decoded = model.decode(quantised)
    found = []
    for tensor in model.tensors:
        code = quantised.get(CODE)
        values = None if tensor.is_code or code is None else code[..., : tensor.shape[-1]]
        if values is not None and values.shape == encoded[tensor.name].shape:
            new_switches = np.where(values != 0, encoded[tensor.name], 0).astype(encoded[tensor.name].dtype)
            is_changed = np.any(new_switches != encoded[tensor.name])
            if is_changed and np.array_equal(model.decode({**quantised, tensor.name: new_switches}), decoded):
                tensor = Tensor(tensor.name, tensor.shape, False, CODE)
        found.append(tensor)
    return tuple(found)


def _fit_planes(
    tensors: Sequence[Tensor], encoded: Tensors, steps: Mapping[str, np.ndarray], rate: int
) -> dict[str, tuple[Plane, ...]]:
    """Fits the planes of the code at one rate. At the middle rate, also fits the switches' planes for all rates."""
    values = quantized_values(tensors, encoded, steps, rate)
    tensors_to_fit = [tensor for tensor in tensors if tensor.is_code or rate == RATE_COUNT // 2]
    unfitted_planes = {tensor.name: _unfitted_planes(tensor, values[tensor.name]) for tensor in tensors}
    samples: dict[tuple[str, int], list[tuple[np.ndarray, np.ndarray]]] = {}

    def collect(visit: Visit, plane: Plane) -> np.ndarray:
        offsets = values[visit.tensor.name][visit.channel][:, visit.plane_pass.places] - plane.lowest
        symbols = np.where((offsets < 0) | (offsets > plane.escape), plane.escape, offsets)
        present = np.ones(symbols.shape, bool) if visit.present is None else visit.present
        if visit.tensor in tensors_to_fit:
            context = [feature[present] for feature in visit.context]
            features = np.array(context, np.int16).reshape(len(context), int(present.sum()))
            samples.setdefault((visit.tensor.name, visit.channel), []).append((features, symbols[present]))
        return symbols

    picture_count = next(iter(values.values())).shape[1]
    traverse(tensors, unfitted_planes, picture_count, rate, collect)
    fitted = {}
    for tensor in tensors_to_fit:
        planes = []
        for channel, plane in enumerate(unfitted_planes[tensor.name]):
            features, symbols = (np.concatenate(each, axis=-1) for each in zip(*samples[tensor.name, channel]))
            if symbols.size > MOST_FITTED:
                indices = np.random.default_rng(0).choice(symbols.size, MOST_FITTED, replace=False)
                features, symbols = features[:, indices], symbols[indices]
            weights = _nats_to_scores(_fit_weights(plane, features, symbols))
            planes.append(Plane(plane.lowest, plane.feature_sizes, weights))
        fitted[tensor.name] = tuple(planes)
    return fitted


def _unfitted_planes(tensor: Tensor, values: np.ndarray) -> list[Plane]:
    """Makes a plane for each channel of `values`, with its symbols and features, but with weights of 0."""
    planes = []
    value_count = int(values.max()) + 1
    for channel_values in values:
        lowest, highest = 0, value_count - 1
        if tensor.is_code:
            lowest = max(min(0, int(channel_values.min())), -MOST_LEVELS // 2)
            highest = min(max(0, int(channel_values.max())), lowest + MOST_LEVELS - 1)
        _, occurrences = np.unique(channel_values, return_counts=True)
        sizes = (
            feature_sizes_of(tensor, value_count) if occurrences.max() < CONSTANT_SHARE * channel_values.size else ()
        )
        planes.append(Plane(lowest, sizes, np.zeros((1 + sum(sizes), highest - lowest + 2), np.int16)))
    return planes


def _fit_weights(plane: Plane, features: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    """Fits a plane's weights by logistic regression.

    Args:
        plane: the plane, whose own weights are ignored.
        features: `(features, n)`, the features of n values.
        symbols: `(n,)`, the symbols of these values.

    Returns:
        The weights in nats.
    """
    initial_weights = np.zeros(plane.weights.shape)
    counts = np.bincount(symbols, minlength=plane.symbol_count) + 0.1
    initial_weights[0] = np.log(counts / counts.sum())
    if not plane.feature_sizes or not len(symbols):
        return initial_weights
    offsets = 1 + np.cumsum([0, *plane.feature_sizes[:-1]])
    rows = np.vstack([np.zeros(features.shape[1], np.int64), features + offsets[:, np.newaxis], symbols])
    rows, repeats = np.unique(rows, axis=1, return_counts=True)
    rows, symbols = rows[:-1].T, rows[-1]
    row_count, width = rows.shape
    one_hot = sparse.csr_array(
        (np.ones(rows.size, np.float32), rows.ravel(), np.arange(row_count + 1) * width),
        shape=(row_count, len(initial_weights)),
    )
    transposed = one_hot.T.tocsr()
    float_repeats, total, row_numbers = repeats.astype(np.float32), repeats.sum(), np.arange(row_count)

    def cost(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(initial_weights.shape)
        scores = one_hot @ weights.astype(np.float32)
        scores -= scores.max(axis=1, keepdims=True)
        powers = np.exp(scores)
        sums = powers.sum(axis=1)
        nats = (float_repeats * (np.log(sums) - scores[row_numbers, symbols])).sum(dtype=np.float64)
        powers *= (float_repeats / sums)[:, np.newaxis]
        powers[row_numbers, symbols] -= float_repeats
        gradient = (transposed @ powers).astype(np.float64)
        gradient[1:] += PRIOR * weights[1:]
        return (nats + PRIOR / 2 * (weights[1:] ** 2).sum()) / total, gradient.ravel() / total

    best = optimize.minimize(cost, initial_weights.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": FIT_STEPS})
    return best.x.reshape(initial_weights.shape)


def _nats_to_scores(nats: np.ndarray) -> np.ndarray:
    """Converts weights from nats to scores, which are whole numbers.

    First it shifts each row so that the row's largest weight is 0. The shift changes no probability.
    """
    scores = np.round((nats - nats.max(axis=1, keepdims=True)) / np.log(2) * SCORES_PER_BIT)
    return np.clip(scores, -LARGEST_WEIGHT, LARGEST_WEIGHT).astype(np.int16)
