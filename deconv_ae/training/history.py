"""The RMSE of every epoch of a run, in a file beside its checkpoints."""

from dataclasses import dataclass
from pathlib import Path

from deconv_ae import records
from deconv_ae.records import Count, Measure

FILE_NAME = "history.json"
"""The history's file in a run directory."""


@dataclass(frozen=True)
class Epoch:
    """The model's RMSE in an epoch.

    Attributes:
        number: 1 for the first epoch; 0 stands for the model before the first epoch.
        training_rmse: the mean over the training images, each image measured just before the step that trains on it;
            for epoch 0, the mean over a sample of the training images, before the first step.
        test_rmse: the mean over the test images after the epoch; None if it was not computed.
    """

    number: Count
    training_rmse: Measure
    test_rmse: Measure | None = None


@dataclass(frozen=True)
class History:
    """The RMSEs of a run's epochs. Epoch 0 stands for the model before training."""

    epochs: tuple[Epoch, ...]


def read(run_dir: Path) -> list[Epoch]:
    """Reads the history in a run directory.

    Args:
        run_dir: the run directory.

    Returns:
        The epochs.

    Raises:
        OSError: if there is no history, or it cannot be read.
        ValueError: if the history is damaged.
    """
    return list(records.read_file(History, run_dir / FILE_NAME).epochs)
