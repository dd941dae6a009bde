"""Whether a converted file computes, in its own runtime, what the SavedModel computes.

Where several values of a window are its maximum but for rounding, as in every flat part of a picture, runtimes choose
among them as they please. Any of these is right; what is drawn then is held against what the SavedModel's decoder
draws of the same choice.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deconv_ae.data import scale
from deconv_ae.errors import RunError
from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.model.objective import per_image_rmse
from deconv_ae.numbers import Pair
from deconv_ae.saved_model.serving import Encoded, ServedAutoencoder
from deconv_ae.saved_model.signatures import CODE, IMAGES, RECONSTRUCTION

Tensors = dict[str, np.ndarray]
Runner = Callable[[Tensors], Tensors]
"""A converted file, opened: inputs by name to outputs by name."""

BATCH_SIZES = (1, 3, 64)
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Agreement:
    """How far a converted part is from the SavedModel, over all images and batch sizes.

    Attributes:
        code, reconstruction: the largest absolute difference; None where the part has no such output.
        relative: the largest difference of any output, over that output's largest magnitude where that is above 1:
            float32 has 7 digits, however large a model's values are.
        switches: how many point to a value that is not its window's maximum; None where the part has none.
        rmse: mean per-image RMSE of the images' reconstruction with this part in place of the SavedModel's.
        rmse_cost: by how much that is above the SavedModel's own.
    """

    code: float | None
    reconstruction: float | None
    relative: float
    switches: int | None
    rmse: float
    rmse_cost: float

    @property
    def is_exact(self) -> bool:
        """Whether values agree to 1e-5 of their scale and all switches are equal."""
        # Not `> TOLERANCE`, which NaN passes.
        return self.relative <= TOLERANCE and not self.switches

    def __str__(self) -> str:
        values = [("code", self.code), ("reconstruction", self.reconstruction)]
        said = [f"{name} off by {value:.2g}" for name, value in values if value is not None]
        return ", ".join(said + ([] if self.switches is None else [f"{self.switches} switches are wrong"]))


class Reference:
    """What the SavedModel makes of images.

    Args:
        served: the SavedModel.
        model: the same as a Keras model, which shows the values that are pooled.
        images: `(N, height, width, channels)` uint8.

    Attributes:
        tensors: `images` scaled, `code`, `switches_1` to `switches_n` and `reconstruction`.
    """

    def __init__(self, served: ServedAutoencoder, model: Autoencoder, images: np.ndarray) -> None:
        encoded = served.encode(images)
        self._served, self._model = served, model
        self.tensors: Tensors = {
            IMAGES: scale(images),
            **encoded.named(),
            RECONSTRUCTION: served.decode(encoded),
        }

    def compare(self, file_name: str, run: Runner, inputs: list[str], encoder: Runner | None = None) -> Agreement:
        """Runs a converted part on all images in batches of 1, 3 and 64.

        Args:
            file_name: the file's, for messages.
            run: the file.
            inputs: the names of what it takes.
            encoder: of a whole autoencoder, the encoder in the same format, already compared: its code and switches
                decoded by the SavedModel are what the whole has to give.

        Raises:
            RunError: if the runtime fails, or the outputs' names, shapes or types are not the SavedModel's.
        """
        compared = []
        for size in BATCH_SIZES:
            outputs = _in_batches(file_name, run, {name: self.tensors[name] for name in inputs}, size)
            expected = self.tensors
            if encoder is not None:
                own = _in_batches(file_name, encoder, {IMAGES: self.tensors[IMAGES]}, size)
                expected = {**expected, RECONSTRUCTION: self._decoded(own)}
            compared.append(self._agreement(outputs, expected, file_name))
        return max(compared, key=lambda a: (not a.is_exact, a.switches or 0, a.reconstruction or 0, a.code or 0))

    def _agreement(self, outputs: Tensors, expected: Tensors, file_name: str) -> Agreement:
        for name, values in outputs.items():
            wanted = expected.get(name)
            if wanted is None or (values.shape, values.dtype) != (wanted.shape, wanted.dtype):
                raise RunError(f"{file_name}: its output {name} is {values.dtype} of {values.shape}; not written")
        switches = {name: values for name, values in outputs.items() if name.startswith("switches")}
        rmse = self._rmse(outputs[RECONSTRUCTION] if RECONSTRUCTION in outputs else self._decoded(outputs))
        differences = {
            name: float(np.max(np.abs(outputs[name] - expected[name])))
            for name in (CODE, RECONSTRUCTION)
            if name in outputs
        }
        return Agreement(
            code=differences.get(CODE),
            reconstruction=differences.get(RECONSTRUCTION),
            # NumPy's maximum, which is NaN if any is.
            relative=float(np.max([value / self._scale(name) for name, value in differences.items()])),
            switches=self._wrong(switches) if switches else None,
            rmse=rmse,
            rmse_cost=rmse - self._rmse(self.tensors[RECONSTRUCTION]),
        )

    def _wrong(self, switches: Tensors) -> int:
        """How many switches point to a value that is not within TOLERANCE of its window's maximum."""
        if all(np.array_equal(values, self.tensors[name]) for name, values in switches.items()):
            return 0
        wrong, pooled = 0, self.tensors[IMAGES]
        for number, (name, own) in enumerate(switches.items(), start=1):
            convolved = self._model.get_layer(f"conv{number}")(pooled)
            pooled, _ = self._model.get_layer(f"pool{number}")(convolved)
            windows = _windows(np.asarray(convolved), own.shape, self._model.architecture.pool_sizes[number - 1])
            # One that points out of its window points to nothing.
            inside = np.minimum(own, windows.shape[-1] - 1)
            chosen = np.take_along_axis(windows, inside[..., np.newaxis].astype(np.int64), -1)[..., 0]
            off = windows.max(-1) - chosen
            right = (own == inside) & (off <= TOLERANCE * max(1.0, float(np.abs(windows).max())))
            wrong += int(np.sum(~right & (own != self.tensors[name])))
        return wrong

    def _decoded(self, encoded: Tensors) -> np.ndarray:
        """What the SavedModel's decoder makes of an encoder's outputs."""
        switches = tuple(encoded[name] for name in self.tensors if name.startswith("switches"))
        return self._served.decode(Encoded(encoded[CODE], switches))

    def _scale(self, name: str) -> float:
        return max(1.0, float(np.max(np.abs(self.tensors[name]))))

    def _rmse(self, reconstruction: np.ndarray) -> float:
        return float(np.mean(per_image_rmse(self.tensors[IMAGES], reconstruction)))


def _in_batches(file_name: str, run: Runner, inputs: Tensors, size: int) -> Tensors:
    count = len(next(iter(inputs.values())))
    try:
        batches = [
            run({name: values[start : start + size] for name, values in inputs.items()})
            for start in range(0, count, size)
        ]
    except Exception as error:  # Each runtime has exceptions of its own, without a common class.
        reason = str(error).strip().splitlines()[0]
        raise RunError(f"{file_name}: its runtime fails on a batch of {size} ({reason}); not written") from error
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def _windows(images: np.ndarray, shape: tuple[int, ...], pool_size: Pair) -> np.ndarray:
    """`(N, windows down, windows right, channels, positions)` of images that are pooled to a shape."""
    (_, down, right, channels), (height, width) = shape, pool_size
    cut = images[:, : down * height, : right * width].reshape(-1, down, height, right, width, channels)
    return cut.transpose(0, 1, 3, 5, 2, 4).reshape(-1, down, right, channels, height * width)
