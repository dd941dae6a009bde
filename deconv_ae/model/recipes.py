"""Recipes as data: how to train."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deconv_ae.model.architecture import Architecture

# Keras takes seconds to load, and a recipe's name and epochs do not need Keras. So each function that needs Keras
# imports it.
if TYPE_CHECKING:
    import keras

CNTK_LEARNING_RATE_PER_SAMPLE = 0.00015
CNTK_MOMENTUM_TIME_CONSTANT = 600
CNTK_BATCH_SIZE = 64
CNTK_DECONVOLUTION_LIMIT_FACTOR = 0.001

ADAM_PEAK_LEARNING_RATE = 0.03
# Kernels that sum at most this many values, such as three filters of 5x5, do not train better at a lower rate.
FREELY_SUMMED_VALUES = 75
ADAM_WARMUP_STEPS = 100
BUMP_SHIFT = 0.35


@dataclass(frozen=True)
class Recipe:
    """A way to train. Unless other options are set, recipe, architecture, images and seed decide the result.

    Attributes:
        description: a phrase for the help texts.
        epochs: passes over the training images.
        batch_size: images in a step, summed over all replicas.
        learning_rate: a description of the default peak of the learning rate.
        plans_ahead: whether a step's learning rate depends on the number of steps of the whole run.
        optimizer: makes a Keras optimizer from (architecture, batch size, steps in the whole run, learning rate). A
            learning rate of None stands for the recipe's default.
        initializers: makes two Keras initializers from an architecture: one for the convolutions' kernels and one for
            the transposed convolutions' kernels.
        make_guesses: makes more pairs of initializers from an architecture and the images' number of channels.
            `training.start` chooses one of these pairs or the pair of `initializers`, and fits decoders. If this field
            is None, training starts from `initializers` unchanged.
        peak_learning_rate: computes the default peak from an architecture; in short runs, `optimizer` may lower it. The
            field is None if the peak does not depend on the architecture.
    """

    description: str
    epochs: int
    batch_size: int
    learning_rate: str
    plans_ahead: bool
    optimizer: Callable[[Architecture, int, int, float | None], keras.Optimizer]
    initializers: Callable[[Architecture], tuple[keras.Initializer, keras.Initializer]]
    make_guesses: Callable[[Architecture, int], list[tuple[keras.Initializer, keras.Initializer]]] | None = None
    peak_learning_rate: Callable[[Architecture], float] | None = None


def cntk_optimizer(
    architecture: Architecture, batch_size: int, total_steps: int, learning_rate: float | None = None
) -> keras.Optimizer:
    """Makes CNTK's momentum SGD in Keras's terms.

    CNTK gives the momentum as a time constant in samples: per batch, the momentum is exp(-batch size / time constant).
    CNTK adds only (1 - momentum) times the gradient to the velocity ("unit gain"), while Keras adds the whole gradient.
    CNTK's learning rate is for the sum of the gradients over a batch, Keras's for their mean. So the default is
    CNTK's rate times (1 - momentum) times the batch size.

    >>> optimizer = cntk_optimizer(Architecture((1,), (4,)), batch_size=64, total_steps=1)
    >>> round(float(optimizer.learning_rate), 6), round(optimizer.momentum, 4)
    (0.000971, 0.8988)
    """
    import keras

    del architecture, total_steps
    momentum = math.exp(-batch_size / CNTK_MOMENTUM_TIME_CONSTANT)
    if learning_rate is None:
        learning_rate = CNTK_LEARNING_RATE_PER_SAMPLE * batch_size * (1 - momentum)
    return keras.optimizers.SGD(learning_rate=learning_rate, momentum=momentum)


def cntk_initializers(architecture: Architecture) -> tuple[keras.Initializer, keras.Initializer]:
    """Makes Glorot uniform initializers. The one for transposed convolutions has 0.001 times the usual limit."""
    import keras

    del architecture
    deconvolution = keras.initializers.VarianceScaling(CNTK_DECONVOLUTION_LIMIT_FACTOR**2, "fan_avg", "uniform")
    return keras.initializers.GlorotUniform(), deconvolution


def peak_learning_rate(architecture: Architecture) -> float:
    """Computes the default peak of Adam's rate: 0.03, times `(75 / values) ** 0.75` if `values` is more than 75.

    `values` is the number of values that the transposed convolution's kernel sums in the stage with the most filters.

    Adam moves every weight by about the learning rate, whatever its gradient. The sum over a kernel of n weights
    then changes by n times the rate if all weights move one way, and by sqrt(n) times the rate if they move
    independently. The exponent 3/4 lies between 1/2 and 1, and was measured.

    >>> [round(peak_learning_rate(Architecture(filters, (2,) * len(filters))), 4) for filters in ((1,), (5, 1), (32,))]
    [0.03, 0.0205, 0.0051]
    """
    values = math.prod(architecture.kernel_size) * max(architecture.filters)
    return ADAM_PEAK_LEARNING_RATE * min(1.0, (FREELY_SUMMED_VALUES / values) ** 0.75)


def warm_cosine_adam(
    architecture: Architecture, batch_size: int, total_steps: int, learning_rate: float | None = None
) -> keras.Optimizer:
    """Makes Adam with a learning rate that rises to its peak over 100 steps and falls to zero along a half cosine.

    If `learning_rate` is None, `peak_learning_rate` gives the peak. In a run of fewer than 200 steps, the rate rises
    over half of the steps, and the default peak is lower. Without the warm-up, some runs lose channels of the first
    convolution in the first steps.
    """
    import keras

    del batch_size
    # A run shorter than twice the warm-up spends half of its steps warming up. Then too few are left to make up for the
    # harm of a high learning rate.
    peak_factor = min(1.0, total_steps / (2 * ADAM_WARMUP_STEPS))
    peak = peak_factor * peak_learning_rate(architecture) if learning_rate is None else learning_rate
    warmup = min(ADAM_WARMUP_STEPS, total_steps // 2)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(total_steps - warmup, 1), warmup_target=peak, warmup_steps=warmup
    )
    return keras.optimizers.Adam(schedule)


def he_initializers(architecture: Architecture) -> tuple[keras.Initializer, keras.Initializer]:
    """Makes initializers of normal noise that keeps the variance through a ReLU (He et al. 2015, arXiv:1502.01852)."""
    import keras

    del architecture
    return keras.initializers.HeNormal(), keras.initializers.HeNormal()


def row_of_bumps(architecture: Architecture, channels: int) -> list[tuple[keras.Initializer, keras.Initializer]]:
    """Makes a list of one pair of `RowOfBumps` initializers, which suit pen strokes, such as handwritten digits.

    Each filter starts as a blurred dot; the dots lie in a row along the kernel's diagonal. Grey images are assumed to
    show strokes. The list is empty if the images have several channels or the architecture has averages.

    The row of dots is shifted from the kernel's middle: up and left if the first stage's windows have sides of 4 and
    more, down and right if a side is shorter. These directions were measured to be better; why is not known. More noise
    helps the filters of several stages to differ, and harms a single stage.
    """
    if channels != 1 or architecture.averages:
        return []
    from deconv_ae.model.initializers import RowOfBumps

    shift = -BUMP_SHIFT if min(architecture.pool_sizes[0]) >= 4 else BUMP_SHIFT
    noise = 0.05 if len(architecture.filters) == 1 else 0.1
    return [(RowOfBumps(noise=noise, shift=shift), RowOfBumps(noise=0.03, shift=shift, transposed=True))]


def _adam_recipe(description: str, epochs: int) -> Recipe:
    return Recipe(
        description,
        epochs,
        batch_size=128,
        learning_rate=f"{ADAM_PEAK_LEARNING_RATE} (lower if filters * kernel height * kernel width exceeds "
        f"{FREELY_SUMMED_VALUES} in any stage)",
        plans_ahead=True,
        optimizer=warm_cosine_adam,
        initializers=he_initializers,
        make_guesses=row_of_bumps,
        peak_learning_rate=peak_learning_rate,
    )


RECIPES: dict[str, Recipe] = {
    "cntk": Recipe(
        "momentum SGD from random weights, exactly as the original",
        epochs=3,
        batch_size=CNTK_BATCH_SIZE,
        learning_rate=f"CNTK's {CNTK_LEARNING_RATE_PER_SAMPLE} per sample",
        plans_ahead=False,
        optimizer=cntk_optimizer,
        initializers=cntk_initializers,
    ),
    "default": _adam_recipe("Adam, after least squares has fitted the decoders", epochs=3),
    "long": _adam_recipe(
        "default with ten times the epochs, which lower the RMSE of models with several stages", epochs=30
    ),
}
