"""Rate against distortion: the quality of pictures at each size of their files."""

import math
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from deconv_ae.compression.rate_distortion import Curves
from deconv_ae.errors import RunError, first_line
from deconv_ae.pictures.colours import CURVES
from deconv_ae.pictures.visualization import save_figure

INCHES = (9.0, 3.9)
FILE_NAME = "rate_distortion.png"
MODEL_MARKERS, OTHER_MARKERS = "osDv", "x+12"
"""Curves have the first marker until all colours have been used, then the next one."""


def rate_distortion_figure(curves: Curves, title: str) -> Figure:
    """Draws PSNR and SSIM against bits a pixel.

    Curves of models are solid, others dashed. A vertical line marks the rate of a lossless format.
    """
    figure = Figure(figsize=INCHES, layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, quantity in zip(axes, ("psnr", "ssim")):
        for number, (name, measurements) in enumerate(curves.items()):
            is_model = measurements[0].switch_share is not None
            if all(math.isinf(each.psnr) for each in measurements):
                axis.axvline(measurements[-1].bits_per_pixel, color="black", linestyle=":", label=f"{name}, lossless")
                continue
            round_of_colours, colour = divmod(number, len(CURVES))
            markers = MODEL_MARKERS if is_model else OTHER_MARKERS
            # matplotlib leaves out a point that is not finite.
            axis.plot(
                [each.bits_per_pixel for each in measurements],
                [getattr(each, quantity) for each in measurements],
                marker=markers[round_of_colours % len(markers)],
                linestyle="-" if is_model else "--",
                color=CURVES[colour],
                label=name,
            )
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set(xlabel="bits a pixel, of whole files", ylabel={"psnr": "PSNR, dB", "ssim": "SSIM"}[quantity])
        axis.grid(alpha=0.3)
    figure.suptitle(title)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)
    return figure


def draw_rate_distortion(curves: Curves, title: str, output_dir: Path) -> Path:
    """Writes `rate_distortion_figure` into a folder.

    Args:
        curves: the curves.
        title: the figure's title.
        output_dir: the folder, created if it does not exist.

    Returns:
        The file.

    Raises:
        RunError: if the file cannot be written.
    """
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        return save_figure(rate_distortion_figure(curves, title), output_dir / FILE_NAME)
    except OSError as error:
        raise RunError(f"output_dir: {output_dir} cannot be written: {first_line(error)}") from error
