"""Recognizes images unlike those that a model was trained on."""

import numpy as np
import tensorflow as tf

from deconv_ae.saved_model.serving import SignatureAutoencoder
from deconv_ae.training.evaluation import mean_rmse

USUAL_LIMIT = 0.8
"""Images get a warning if their RMSE is more than this share of the RMSE of each image's mean colour.

The reference models have these shares:

| models of | images | share |
| --- | --- | --- |
| digits | digits, letters, drawings | 0.3 to 0.8 |
| digits | inverted digits, noise | 0.86 to 2 |
| digits | photographs, also dark ones, whose RMSE is small | 1.6 to 6 |
| photographs | photographs | 0.1 to 0.7 |
| photographs | noise | 0.86 to 2.4 |
| photographs: photos_16_8, which cannot draw black | nearly black photographs | 1.7 to 3.7 |
| photographs | drawings, digits | 0.02 to 0.6 |

So drawings and digits get no warning from models of photographs. These models can draw them; photos_16_8 draws them
with twice its usual RMSE.
"""
OWN_SHARE_FACTOR = 1.5
"""A model that is poor even on its own images has a higher limit: this many times its share on its own images."""
NEGLIGIBLE_SHARE = 0.25
"""An RMSE below this share of the card's test RMSE gets no warning. Otherwise a black image would get one, because its
mean colour is exact."""


def domain_warning(model: SignatureAutoencoder, images: np.ndarray, rmse: float) -> str | None:
    """Returns a warning if a model reconstructs images hardly better than each image's mean colour does; else None.

    Args:
        model: the model.
        images: `(N, height, width, channels)` uint8.
        rmse: the mean RMSE of their reconstructions.

    Returns:
        The warning, a sentence without a full stop, or None.
    """
    card = model.card
    mean_colour_rmse = mean_rmse(lambda batch: tf.reduce_mean(batch, axis=(1, 2), keepdims=True), images)
    # On the model's own images, the mean training image has about the same RMSE as each image's mean colour.
    share_on_own_images = 0.0 if card.baselines is None else card.test_rmse / max(card.baselines.mean_image_rmse, 1e-6)
    limit = max(USUAL_LIMIT, OWN_SHARE_FACTOR * share_on_own_images)
    if rmse <= limit * mean_colour_rmse or rmse <= NEGLIGIBLE_SHARE * card.test_rmse:
        return None
    return (
        f"these images look unlike the training images of {model.name} ({card.dataset.name}): their RMSE is {rmse:.4f} "
        f"and that of each image's mean colour {mean_colour_rmse:.4f}; train a model on such images"
    )
