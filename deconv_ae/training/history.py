"""A run's RMSE by epoch, as it is kept beside its checkpoints."""

from dataclasses import dataclass
from pathlib import Path

from deconv_ae import records
from deconv_ae.records import Count, Measure

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

    number: Count
    training_rmse: Measure
    test_rmse: Measure | None = None


@dataclass(frozen=True)
class History:
    """A run's epochs, from before the first."""

    epochs: tuple[Epoch, ...]


def read(run_dir: Path) -> list[Epoch]:
    """What a run directory has kept.

    Raises:
        OSError, ValueError: if there is none, or it is not what was written.
    """
    return list(records.read_file(History, run_dir / FILE_NAME).epochs)
