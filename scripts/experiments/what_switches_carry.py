"""What the switches carry: how a model draws without its own, and what they take in bits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markdown_page import markdown_table

from deconv_ae.data import scale
from deconv_ae.model.objective import per_image_rmse
from deconv_ae.pictures.explanation import centred, shuffled
from deconv_ae.saved_model.serving import ServedAutoencoder


@dataclass(frozen=True)
class WithoutSwitches:
    """Test RMSE of one model's decoder when it is not given the switches of the image.

    Attributes:
        name: the model's.
        own: with the image's own switches.
        shuffled: with the same switches in a random order, over all windows of the image.
        centred: with every switch at the middle of its window.
        nothing: of an image of zeros, which needs no model.
    """

    name: str
    own: float
    shuffled: float
    centred: float
    nothing: float


def without_switches(model: ServedAutoencoder, images: np.ndarray) -> WithoutSwitches:
    """Mean per-image RMSE over `(N, height, width, channels)` uint8 images, with and without their switches."""
    encoded = model.encode(images)
    originals = scale(images)

    def rmse(reconstruction: np.ndarray) -> float:
        return float(np.mean(per_image_rmse(originals, reconstruction)))

    return WithoutSwitches(
        name=model.card.title,
        own=rmse(model.decode(encoded)),
        shuffled=rmse(model.decode(shuffled(encoded))),
        centred=rmse(model.decode(centred(encoded, model.card.architecture.pool_sizes))),
        nothing=rmse(np.zeros_like(originals)),
    )


def switches_table(models: Sequence[ServedAutoencoder], images: np.ndarray) -> str:
    """Markdown: RMSE with and without switches, and what code and switches take in bits."""
    header = (
        *("model", "own switches", "shuffled", "centred", "no model: zeros"),
        *("code bits", "switches bits", "factor in numbers", "factor without switches", "factor with switches"),
    )
    lines = []
    for model in models:
        measured, size = without_switches(model, images), model.card.size_per_image
        rmses = (measured.own, measured.shuffled, measured.centred, measured.nothing)
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
