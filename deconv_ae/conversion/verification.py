"""Checks that a converted file computes, in its own runtime, what the SavedModel computes.

In flat parts of a picture, the values of a window are near ties: equal but for rounding. A runtime may choose any of
them as the maximum, and the autoencoder's file may choose differently from the encoder's. Each such choice is right:
see `bounds.py`.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deconv_ae.conversion.bounds import Bounds
from deconv_ae.conversion.portable import Part
from deconv_ae.data import scale
from deconv_ae.errors import RunError, first_line
from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.model.objective import per_image_rmse
from deconv_ae.saved_model.serving import ServedAutoencoder
from deconv_ae.saved_model.signatures import CODE, IMAGES, RECONSTRUCTION, REQUIRED, SIGNATURES

Tensors = dict[str, np.ndarray]
Runner = Callable[[Tensors], Tensors]
"""An opened file: a function from inputs by name to outputs by name."""

BATCH_SIZES = (1, 3, 64)
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Agreement:
    """The differences between a converted part and the SavedModel over all images, at one batch size.

    Attributes:
        code: the code's largest absolute difference; None if the part has no such output.
        reconstruction: the reconstruction's largest absolute difference; None if the part has no such output. A
            part that takes images may choose the other of two nearly equal maxima; differences that this choice can
            cause do not count.
        relative: the largest of all outputs' differences, except for switches. Each difference is first divided by the
            largest magnitude of the same output of the SavedModel if that magnitude is above 1: float32 has 7 digits,
            however large the values are.
        switches: the number of switches that point to a value that cannot be the window's maximum; None if the part has
            no switches.
        rmse: mean per-image RMSE of the reconstruction, with this part in place of the SavedModel's.
        rmse_cost: `rmse` minus the SavedModel's own RMSE.
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
        # `<=` is False for NaN.
        return self.relative <= TOLERANCE and not self.switches

    def __str__(self) -> str:
        values = [("code", self.code), ("reconstruction", self.reconstruction)]
        differences = [f"{name} off by {value:.2g}" for name, value in values if value is not None]
        return ", ".join(differences + ([] if self.switches is None else [f"wrong switches: {self.switches}"]))


def _badness(agreement: Agreement) -> tuple[bool, float, float, float]:
    """A key that sorts agreements from good to bad. NaN counts as infinite, because NaN itself cannot be sorted.

    >>> large, nan = (Agreement(None, value, value, None, 0.1, 0.0) for value in (9.0, math.nan))
    >>> max([large, nan], key=_badness) is max([nan, large], key=_badness) is nan
    True
    """
    differences = (agreement.switches or 0, agreement.reconstruction or 0, agreement.code or 0)
    switches, reconstruction, code = (math.inf if math.isnan(value) else value for value in differences)
    return not agreement.is_exact, switches, reconstruction, code


class Reference:
    """The SavedModel's results for some images, to compare converted parts with.

    Args:
        served: the SavedModel.
        model: the same model in Keras, which exposes the values before pooling.
        images: `(N, height, width, channels)` uint8.

    Attributes:
        tensors: the scaled `images`, `code`, `switches_1` to `switches_n`, `reconstruction`, and the outputs of further
            signatures.
    """

    def __init__(self, served: ServedAutoencoder, model: Autoencoder, images: np.ndarray) -> None:
        encoded = served.encode(images)
        self._served, self._model = served, model
        self.tensors: Tensors = {
            IMAGES: scale(images),
            **encoded.named(),
            RECONSTRUCTION: served.decode(encoded),
        }
        for name in SIGNATURES:
            if name in served.card.signatures and name not in REQUIRED:
                self.tensors = served.call(name, self.tensors) | self.tensors

    @functools.cached_property
    def bounds(self) -> Bounds:
        """The ranges in which correct results for the images lie."""
        return Bounds.of(self._model, self.tensors[IMAGES])

    def compare(self, file_name: str, run: Runner, part: Part) -> Agreement:
        """Runs a converted part on all images in batches of 1, 3 and 64.

        Args:
            file_name: the name of the file, for messages.
            run: the opened file.
            part: the part. A part that takes images finds the maxima itself, and of two nearly equal values it may
                choose the one that the SavedModel did not choose.

        Returns:
            The worst of the three agreements. Exactness counts first, then wrong switches, then differences.

        Raises:
            RunError: If the runtime fails, or the outputs differ from the SavedModel's in name, shape or type.
        """
        tensors = {name: self.tensors[name] for name in part.inputs}
        agreements = [
            self._agreement(_run_in_batches(file_name, run, tensors, size), part, file_name) for size in BATCH_SIZES
        ]
        return max(agreements, key=_badness)

    def _agreement(self, outputs: Tensors, part: Part, file_name: str) -> Agreement:
        if outputs.keys() != part.outputs.keys():
            names, expected_names = (", ".join(sorted(each)) for each in (outputs, part.outputs))
            raise RunError(f"{file_name}: has the outputs {names}, the SavedModel's are {expected_names}; not written")
        for name, values in outputs.items():
            expected = self.tensors[name]
            if (values.shape, values.dtype) != (expected.shape, expected.dtype):
                raise RunError(
                    f"{file_name}: output {name} is {values.dtype} of shape {values.shape}, the SavedModel's is "
                    f"{expected.dtype} of shape {expected.shape}; not written"
                )
        switches = {name: values for name, values in outputs.items() if name.startswith("switches")}
        decoded = outputs[RECONSTRUCTION] if RECONSTRUCTION in outputs else self._decode(self.tensors | outputs)
        rmse = self._rmse(decoded)
        differences = {
            name: self._difference(name, values, part_finds_maxima=IMAGES in part.inputs)
            for name, values in outputs.items()
            if name not in switches
        }
        return Agreement(
            code=differences.get(CODE),
            reconstruction=differences.get(RECONSTRUCTION),
            # NumPy's maximum is NaN if any value is NaN.
            relative=float(np.max([value / self._scale(name) for name, value in differences.items()])),
            switches=self.bounds.count_wrong(switches) if switches else None,
            rmse=rmse,
            rmse_cost=rmse - self._rmse(self.tensors[RECONSTRUCTION]),
        )

    def _difference(self, name: str, values: np.ndarray, part_finds_maxima: bool) -> float:
        if name == RECONSTRUCTION and part_finds_maxima:
            return self.bounds.difference(values, self.tensors[name])
        return float(np.max(np.abs(values - self.tensors[name])))

    def _decode(self, encoded: Tensors) -> np.ndarray:
        """Decodes a code and switches with the SavedModel."""
        return self._served.decode_named(encoded)

    def _scale(self, name: str) -> float:
        return max(1.0, float(np.max(np.abs(self.tensors[name]))))

    def _rmse(self, reconstruction: np.ndarray) -> float:
        return float(np.mean(per_image_rmse(self.tensors[IMAGES], reconstruction)))


def _run_in_batches(file_name: str, run: Runner, inputs: Tensors, size: int) -> Tensors:
    count = len(next(iter(inputs.values())))
    try:
        batches = [
            run({name: values[start : start + size] for name, values in inputs.items()})
            for start in range(0, count, size)
        ]
    except Exception as error:  # Each runtime has its own exceptions, without a common class.
        raise RunError(
            f"{file_name}: its runtime fails on a batch of {size} ({first_line(error)}); not written"
        ) from error
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
