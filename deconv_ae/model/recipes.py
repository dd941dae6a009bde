"""How to train: recipes, as data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deconv_ae.model.architecture import Architecture

# In the functions only: whoever asks for a recipe's name and epochs does without Keras, which takes seconds to load.
if TYPE_CHECKING:
    import keras

CNTK_LEARNING_RATE_PER_SAMPLE = 0.00015
CNTK_MOMENTUM_TIME_CONSTANT = 600
CNTK_BATCH_SIZE = 64
CNTK_DECONVOLUTION_LIMIT_FACTOR = 0.001

ADAM_PEAK_LEARNING_RATE = 0.03
# Three filters of 5x5: no kernel that sums fewer values trains better at a lower rate.
FREELY_SUMMED_VALUES = 75
ADAM_WARMUP_STEPS = 100
BUMP_SHIFT = 0.35


@dataclass(frozen=True)
class Recipe:
    """How to train: what decides the result besides the architecture, the images and the seed.

    Attributes:
        description: a sentence.
        epochs: passes over the training images.
        batch_size: images a step, over all replicas together.
        learning_rate: its peak where none is given, in words.
        peak_learning_rate: from an architecture to that peak, in runs long enough to reach it; None where the
            architecture does not decide it.
        plans_ahead: whether the learning rate of a step depends on the steps of the whole run.
        optimizer: from (architecture, batch size, steps in the whole run, learning rate or None for
            the recipe's own) to a fresh Keras optimizer.
        initializers: from an architecture to fresh Keras initializers, of the convolutions'
            kernels and of the transposed convolutions'.
        guesses: from an architecture and the images' channels to other pairs of initializers, of
            which and `initializers` `training.start` chooses, and fits decoders; None trains from
            `initializers` as they are.
    """

    description: str
    epochs: int
    batch_size: int
    learning_rate: str
    plans_ahead: bool
    optimizer: Callable[[Architecture, int, int, float | None], keras.Optimizer]
    initializers: Callable[[Architecture], tuple[keras.Initializer, keras.Initializer]]
    guesses: Callable[[Architecture, int], list[tuple[keras.Initializer, keras.Initializer]]] | None = None
    peak_learning_rate: Callable[[Architecture], float] | None = None


def cntk_optimizer(
    architecture: Architecture, batch_size: int, total_steps: int, learning_rate: float | None = None
) -> keras.Optimizer:
    """CNTK's momentum SGD in Keras's terms.

    CNTK takes its learning rate per sample, on a gradient summed over the minibatch, and its
    momentum as a time constant in samples; its momentum is unit-gain, the gradient entering the
    velocity times (1 - momentum), which Keras's is not.

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
    """Glorot uniform, with its limit times 0.001 for the transposed convolutions."""
    import keras

    del architecture
    deconvolution = keras.initializers.VarianceScaling(CNTK_DECONVOLUTION_LIMIT_FACTOR**2, "fan_avg", "uniform")
    return keras.initializers.GlorotUniform(), deconvolution


def peak_learning_rate(architecture: Architecture) -> float:
    """0.03, and less the more values a kernel sums into one: times `(75 / values) ** 0.75` where they are more than 75.

    Adam moves every weight by about the rate, whatever its gradient. What a kernel of n weights sums changes by n
    times that if they all move one way, by its root if they do not; the 3/4 lies between and was measured.

    >>> [round(peak_learning_rate(Architecture(filters, (2,) * len(filters))), 4) for filters in ((1,), (5, 1), (32,))]
    [0.03, 0.0205, 0.0051]
    """
    summed = math.prod(architecture.kernel_size) * max(architecture.filters)
    return ADAM_PEAK_LEARNING_RATE * min(1.0, (FREELY_SUMMED_VALUES / summed) ** 0.75)


def warm_cosine_adam(
    architecture: Architecture, batch_size: int, total_steps: int, learning_rate: float | None = None
) -> keras.Optimizer:
    """Adam whose learning rate rises to its peak over 100 steps and falls to zero along a half cosine.

    The peak is `peak_learning_rate`'s. Without the warm-up, channels of a first convolution die in the first steps.
    """
    import keras

    del batch_size
    # A run shorter than twice the warm-up spends half of itself on it, and has no time to mend what large steps break.
    share = min(1.0, total_steps / (2 * ADAM_WARMUP_STEPS))
    peak = share * peak_learning_rate(architecture) if learning_rate is None else learning_rate
    warmup = min(ADAM_WARMUP_STEPS, total_steps // 2)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(total_steps - warmup, 1), warmup_target=peak, warmup_steps=warmup
    )
    return keras.optimizers.Adam(schedule)


def he_initializers(architecture: Architecture) -> tuple[keras.Initializer, keras.Initializer]:
    """Normal noise that keeps the variance through a ReLU (He et al. 2015, arXiv:1502.01852)."""
    import keras

    del architecture
    return keras.initializers.HeNormal(), keras.initializers.HeNormal()


def row_of_bumps(architecture: Architecture, channels: int) -> list[tuple[keras.Initializer, keras.Initializer]]:
    """`RowOfBumps` for pictures of one channel, in which strokes are what there is to draw; none for colour.

    Moved up and left for windows of 4 and more, down and right for smaller ones, which measured better, for a reason
    not known. More noise helps the filters of several stages to part, and harms a single stage.
    """
    if channels != 1 or architecture.averages:
        return []
    from deconv_ae.model.initializers import RowOfBumps

    shift = -BUMP_SHIFT if min(architecture.pool_sizes[0]) >= 4 else BUMP_SHIFT
    noise = 0.05 if len(architecture.filters) == 1 else 0.1
    return [(RowOfBumps(noise=noise, shift=shift), RowOfBumps(noise=0.03, shift=shift, transposed=True))]


def _fitted(description: str, epochs: int) -> Recipe:
    return Recipe(
        description,
        epochs,
        batch_size=128,
        learning_rate=f"{ADAM_PEAK_LEARNING_RATE}, less where kernels sum more than {FREELY_SUMMED_VALUES} values",
        plans_ahead=True,
        optimizer=warm_cosine_adam,
        initializers=he_initializers,
        guesses=row_of_bumps,
        peak_learning_rate=peak_learning_rate,
    )


RECIPES: dict[str, Recipe] = {
    "cntk": Recipe(
        "the original's, to the letter: momentum SGD from random weights",
        epochs=3,
        batch_size=CNTK_BATCH_SIZE,
        learning_rate=f"{CNTK_LEARNING_RATE_PER_SAMPLE} an image",
        plans_ahead=False,
        optimizer=cntk_optimizer,
        initializers=cntk_initializers,
    ),
    "default": _fitted("this project's: Adam, from decoders that least squares has solved for", epochs=3),
    "long": _fitted("default's for ten times as many epochs, for a lower RMSE", epochs=30),
}
