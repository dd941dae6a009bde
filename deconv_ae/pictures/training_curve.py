"""The training curve: the RMSE by epoch, beside that of the mean training image."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from deconv_ae.errors import RunError
from deconv_ae.pictures.colours import CURVES
from deconv_ae.pictures.visualization import save_figure
from deconv_ae.training.history import Epoch

INCHES = (6.0, 3.6)


def training_curve(history: Sequence[Epoch], mean_image_rmse: float) -> Figure:
    """Draws the training images' RMSE by epoch, and the test images' RMSE for the epochs that have one.

    Args:
        history: the epochs, see `TrainingResult.history`.
        mean_image_rmse: the test RMSE of the mean training image, a guess that needs no model.

    Returns:
        The figure, with the mean training image as a horizontal line.

    >>> axes, = training_curve([Epoch(0, 0.5), Epoch(1, 0.2, 0.25)], 0.3).axes
    >>> [line.get_label() for line in axes.lines]
    ['training images', 'test images', 'mean training image']
    """
    figure = Figure(figsize=INCHES, layout="constrained")
    axis = figure.subplots()
    test_points = [(epoch.number, epoch.test_rmse) for epoch in history if epoch.test_rmse is not None]
    training_points = [(epoch.number, epoch.training_rmse) for epoch in history]
    for label, points, colour in (
        ("training images", training_points, CURVES[0]),
        ("test images", test_points, CURVES[1]),
    ):
        if points:
            axis.plot(*zip(*points), marker=".", color=colour, label=label)
    axis.axhline(mean_image_rmse, color="black", linestyle=":", linewidth=1, label="mean training image")
    axis.set(xlabel="epoch", ylabel="RMSE", ylim=(0, None))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(frameon=False)
    return figure


def draw_training_curve(history: Sequence[Epoch], mean_image_rmse: float, files: Iterable[Path]) -> list[Path]:
    """Writes `training_curve` to PNG files.

    Args:
        history: as in `training_curve`.
        mean_image_rmse: as in `training_curve`.
        files: the PNG files.

    Returns:
        The files; an empty list if the history is empty.

    Raises:
        RunError: if a file cannot be written.
    """
    written = []
    for file in files if history else ():
        try:
            written.append(save_figure(training_curve(history, mean_image_rmse), file))
        except OSError as error:
            raise RunError(f"{file} cannot be drawn: {error.strerror or error}") from error
    return written
