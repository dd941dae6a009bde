"""A run's RMSE by epoch, as it is kept beside its checkpoints."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deconv_ae.files import read_with_checksum

FILE_NAME = "history.json"
"""In a run directory."""


@dataclass(frozen=True)
class Epoch:
    """How good the model was.

    Attributes:
        number: 1 for the first epoch; 0 is before it.
        training_rmse: the mean over the epoch's steps; before the first, over a sample of the training images.
        test_rmse: over the test images after the epoch, None where they were not looked at.
    """

    number: int
    training_rmse: float
    test_rmse: float | None = None


def from_records(records: Iterable[Any]) -> list[Epoch]:
    """Epochs from what JSON has kept of them.

    Raises:
        TypeError, ValueError: if they are something else.

    >>> from_records([{"number": 0, "training_rmse": 0.5, "test_rmse": None}])
    [Epoch(number=0, training_rmse=0.5, test_rmse=None)]
    """
    epochs = [Epoch(**record) for record in records]
    for epoch in epochs:
        if type(epoch.number) is not int or not all(
            value is None or isinstance(value, float) for value in (epoch.training_rmse, epoch.test_rmse)
        ):
            raise ValueError(f"{epoch} is no epoch")
    return epochs


def read(run_dir: Path) -> list[Epoch]:
    """What a run directory has kept.

    Raises:
        OSError, ValueError, KeyError, TypeError: if there is none, or it is not what was written.
    """
    return from_records(read_with_checksum(run_dir / FILE_NAME)["epochs"])
