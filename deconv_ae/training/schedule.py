"""The schedule of a run: its batch size and its epochs."""

from dataclasses import dataclass

from deconv_ae.data.steps import steps_per_epoch
from deconv_ae.model.recipes import Recipe

# Training takes a few hundred steps at least, however few the images are. The recipes were made for MNIST, which has
# 469 steps an epoch in batches of 128. In such batches, 300 images have 3 steps an epoch.
WANTED_STEPS_PER_EPOCH = 20
# In a smaller batch, one picture dominates the gradient, and ReLUs die.
SMALLEST_BATCH = 15
STEPS_FOR_A_RECIPES_EPOCH = 200


@dataclass(frozen=True)
class Schedule:
    """The batch size and the epochs of a run on some number of images.

    Attributes:
        images: number of training images.
        batch_size: images per step, over all replicas together.
        epochs: passes over the images.
    """

    images: int
    batch_size: int
    epochs: int

    @property
    def steps_per_epoch(self) -> int:
        return steps_per_epoch(self.images, self.batch_size)

    @property
    def total_steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def __str__(self) -> str:
        steps, epochs = self.steps_per_epoch, self.epochs
        return (
            f"{self.images:,} picture{'s' * (self.images != 1)}: {steps:,} step{'s' * (steps != 1)} an epoch, "
            f"{epochs:,} epoch{'s' * (epochs != 1)}"
        )


def schedule(recipe: Recipe, images: int, batch_size: int | None = None, epochs: int | None = None) -> Schedule:
    """Makes a schedule, and fills in a missing batch size or number of epochs.

    The batch size is the recipe's, or a twentieth of the images if that is less, but at least 15. If an epoch
    has fewer than 200 steps in such batches, each epoch of the recipe becomes as many epochs as it takes to make 200
    steps. As a result, small data sets get smaller batches and more epochs, and data sets as large as MNIST keep
    the recipe's numbers.

    >>> from deconv_ae.model.recipes import RECIPES
    >>> for images in (50, 300, 4_000, 60_000):
    ...     print(schedule(RECIPES["default"], images))
    50 pictures: 4 steps an epoch, 150 epochs
    300 pictures: 20 steps an epoch, 30 epochs
    4,000 pictures: 32 steps an epoch, 21 epochs
    60,000 pictures: 469 steps an epoch, 3 epochs
    """
    if batch_size is None:
        batch_size = min(recipe.batch_size, max(SMALLEST_BATCH, -(-images // WANTED_STEPS_PER_EPOCH)))
    if epochs is None:
        epochs = recipe.epochs * -(-STEPS_FOR_A_RECIPES_EPOCH // steps_per_epoch(images, batch_size))
    return Schedule(images, batch_size, epochs)
