"""Whether a converted file computes, in its own runtime, what the SavedModel computes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deconv_ae.data import scale
from deconv_ae.errors import RunError
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
        code, reconstruction: the largest absolute difference; None where the part has no such output.
        relative: the largest difference of any output, over that output's largest magnitude where that is above 1:
            float32 has 7 digits, however large a model's values are.
        switches: how many differ; None where the part has none.
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
        return ", ".join(said + ([] if self.switches is None else [f"{self.switches} switches differ"]))


class Reference:
    """What the SavedModel makes of images.

    Args:
        model: the SavedModel.
        images: `(N, height, width, channels)` uint8.

    Attributes:
        tensors: `images` scaled, `code`, `switches_1` to `switches_n` and `reconstruction`.
    """

    def __init__(self, model: ServedAutoencoder, images: np.ndarray) -> None:
        encoded = model.encode(images)
        self._model = model
        self.tensors: Tensors = {
            IMAGES: scale(images),
            **encoded.named(),
            RECONSTRUCTION: model.decode(encoded),
        }

    def compare(self, file_name: str, run: Runner, inputs: list[str]) -> Agreement:
        """Runs a converted part on all images in batches of 1, 3 and 64.

        Raises:
            RunError: if the runtime fails, or the outputs' names, shapes or types are not the SavedModel's.
        """
        given = {name: self.tensors[name] for name in inputs}
        compared = [self._agreement(_in_batches(file_name, run, given, size), file_name) for size in BATCH_SIZES]
        return max(compared, key=lambda a: (not a.is_exact, a.switches or 0, a.reconstruction or 0, a.code or 0))

    def _agreement(self, outputs: Tensors, file_name: str) -> Agreement:
        for name, values in outputs.items():
            expected = self.tensors.get(name)
            if expected is None or (values.shape, values.dtype) != (expected.shape, expected.dtype):
                raise RunError(f"{file_name}: its output {name} is {values.dtype} of {values.shape}; not written")
        wrong = [
            np.sum(values != self.tensors[name]) for name, values in outputs.items() if name.startswith("switches")
        ]
        rmse = self._rmse(self._reconstruction(outputs))
        return Agreement(
            code=self._difference(outputs, CODE),
            reconstruction=self._difference(outputs, RECONSTRUCTION),
            relative=self._relative_difference(outputs),
            switches=int(sum(wrong)) if wrong else None,
            rmse=rmse,
            rmse_cost=rmse - self._rmse(self.tensors[RECONSTRUCTION]),
        )

    def _difference(self, outputs: Tensors, name: str) -> float | None:
        return float(np.max(np.abs(outputs[name] - self.tensors[name]))) if name in outputs else None

    def _relative_difference(self, outputs: Tensors) -> float:
        differences = {name: self._difference(outputs, name) for name in (CODE, RECONSTRUCTION)}
        # NumPy's maximum, which is NaN if any is.
        return float(np.max([value / self._scale(name) for name, value in differences.items() if value is not None]))

    def _scale(self, name: str) -> float:
        return max(1.0, float(np.max(np.abs(self.tensors[name]))))

    def _reconstruction(self, outputs: Tensors) -> np.ndarray:
        """The part's own, or what the SavedModel's decoder makes of an encoder's outputs."""
        if RECONSTRUCTION in outputs:
            return outputs[RECONSTRUCTION]
        switches = [outputs[name] for name in self.tensors if name.startswith("switches")]
        return self._model.decode(Encoded(outputs[CODE], tuple(switches)))

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
