"""Whether a converted file computes, in its own runtime, what the SavedModel computes.

Where several values of a window are its maximum but for rounding, as in every flat part of a picture, runtimes choose
among them as they please, and a whole autoencoder not always as its encoder alone. Any of these is right: see
`bounds.py`.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deconv_ae.conversion.bounds import Bounds
from deconv_ae.data import scale
from deconv_ae.errors import RunError, first_line
from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.model.objective import per_image_rmse
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
        code, reconstruction: the largest absolute difference; None where the part has no such output. Where a part
            chooses among near ties itself, its reconstruction's from what the choice leaves open.
        relative: the largest difference of any output, over that output's largest magnitude where that is above 1:
            float32 has 7 digits, however large a model's values are.
        switches: how many point to a value that cannot be its window's maximum; None where the part has none.
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
        """Whether values agree to 1e-5 of their scale and all switches point to maxima."""
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

    @functools.cached_property
    def bounds(self) -> Bounds:
        """What may be made of the images."""
        return Bounds.of(self._model, self.tensors[IMAGES])

    def compare(self, file_name: str, run: Runner, inputs: list[str]) -> Agreement:
        """Runs a converted part on all images in batches of 1, 3 and 64.

        Args:
            file_name: the file's, for messages.
            run: the file.
            inputs: the names of what it takes; given images, it chooses among near ties itself.

        Raises:
            RunError: if the runtime fails, or the outputs' names, shapes or types are not the SavedModel's.
        """
        given = {name: self.tensors[name] for name in inputs}
        compared = [
            self._agreement(_in_batches(file_name, run, given, size), IMAGES in given, file_name)
            for size in BATCH_SIZES
        ]
        return max(compared, key=lambda a: (not a.is_exact, a.switches or 0, a.reconstruction or 0, a.code or 0))

    def _agreement(self, outputs: Tensors, chooses: bool, file_name: str) -> Agreement:
        for name, values in outputs.items():
            wanted = self.tensors.get(name)
            if wanted is None or (values.shape, values.dtype) != (wanted.shape, wanted.dtype):
                raise RunError(f"{file_name}: its output {name} is {values.dtype} of {values.shape}; not written")
        switches = {name: values for name, values in outputs.items() if name.startswith("switches")}
        rmse = self._rmse(outputs[RECONSTRUCTION] if RECONSTRUCTION in outputs else self._decoded(outputs))
        differences = {
            name: self._difference(name, outputs[name], chooses) for name in (CODE, RECONSTRUCTION) if name in outputs
        }
        return Agreement(
            code=differences.get(CODE),
            reconstruction=differences.get(RECONSTRUCTION),
            # NumPy's maximum, which is NaN if any is.
            relative=float(np.max([value / self._scale(name) for name, value in differences.items()])),
            switches=self.bounds.wrong(switches) if switches else None,
            rmse=rmse,
            rmse_cost=rmse - self._rmse(self.tensors[RECONSTRUCTION]),
        )

    def _difference(self, name: str, values: np.ndarray, chooses: bool) -> float:
        if name == RECONSTRUCTION and chooses:
            return self.bounds.difference(values, self.tensors[name])
        return float(np.max(np.abs(values - self.tensors[name])))

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
        raise RunError(
            f"{file_name}: its runtime fails on a batch of {size} ({first_line(error)}); not written"
        ) from error
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
