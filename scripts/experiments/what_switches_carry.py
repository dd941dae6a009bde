"""Measures what the switches carry: the RMSE without an image's own switches, and their size in bits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markdown_page import markdown_table

from deconv_ae.data import scale
from deconv_ae.model.objective import per_image_rmse
from deconv_ae.pictures.explanation import centre_switches, shuffle_switches
from deconv_ae.saved_model.serving import ServedAutoencoder


@dataclass(frozen=True)
class SwitchesRMSE:
    """The test RMSE of a model's reconstructions from their images' switches, and from changed switches.

    Attributes:
        name: the model's name.
        own_rmse: with the switches of the image itself.
        shuffled_rmse: with the switches of each pooling in a random order, over all windows of the image.
        centred_rmse: with every switch at the middle of its window.
        zeros_rmse: with an image of zeros in place of every reconstruction.
    """

    name: str
    own_rmse: float
    shuffled_rmse: float
    centred_rmse: float
    zeros_rmse: float


def measure_switches(model: ServedAutoencoder, images: np.ndarray) -> SwitchesRMSE:
    """Computes mean per-image RMSEs over `(N, height, width, channels)` uint8 images."""
    encoded = model.encode(images)
    originals = scale(images)

    def rmse(reconstruction: np.ndarray) -> float:
        return float(np.mean(per_image_rmse(originals, reconstruction)))

    return SwitchesRMSE(
        name=model.card.title,
        own_rmse=rmse(model.decode(encoded)),
        shuffled_rmse=rmse(model.decode(shuffle_switches(encoded))),
        centred_rmse=rmse(model.decode(centre_switches(encoded, model.card.architecture.pool_sizes))),
        zeros_rmse=rmse(np.zeros_like(originals)),
    )


def switches_table(models: Sequence[ServedAutoencoder], images: np.ndarray) -> str:
    """Makes a Markdown table: the RMSE with and without an image's own switches, and the bits of code and switches.

    `SizePerImage` computes the factors by which a code is smaller than its image.
    """
    header = (
        *("model", "own switches", "shuffled", "centred", "black image"),
        *(
            "code bits",
            "switches bits",
            "factor in numbers",
            "factor in bits, without switches",
            "factor in bits, with switches",
        ),
    )
    lines = []
    for model in models:
        measured, size = measure_switches(model, images), model.card.size_per_image
        rmses = (measured.own_rmse, measured.shuffled_rmse, measured.centred_rmse, measured.zeros_rmse)
        lines.append(
            (
                measured.name,
                *(f"{value:.3f}" for value in rmses),
                *(f"{size.code_bits:,}", f"{size.switches_bits:,.0f}"),
                *(
                    f"{factor:.2f}"
                    for factor in (size.factor_in_numbers, size.factor_without_switches, size.factor_with_switches)
                ),
            )
        )
    return markdown_table(header, lines)
