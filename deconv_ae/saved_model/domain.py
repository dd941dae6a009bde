"""Recognizes images unlike those that a model was trained on."""

from deconv_ae.saved_model.model_card import ModelCard

FAR_ABOVE = 1.5
"""Images get a warning if their RMSE is more than this many times the card's test RMSE.

With the reference models, the mean over any five test digits stays below 1.2 times the card's. Two photographs have 1.2
to 3.1 times the card's. One model does not notice a dark photograph."""


def other_domain(card: ModelCard, rmse: float) -> str | None:
    """A sentence if a model reconstructs images far worse than its own test images; else None.

    Args:
        card: the model's card.
        rmse: the mean RMSE of the images' reconstructions.

    Returns:
        The sentence, without a full stop.
    """
    if rmse <= FAR_ABOVE * card.test_rmse:
        return None
    return (
        f"these images look unlike the training images of {card.title} ({card.dataset.name}): their RMSE {rmse:.4f} is "
        f"{rmse / card.test_rmse:.1f} times the {card.test_rmse:.4f} of its own test images; train a model "
        "on such images"
    )
