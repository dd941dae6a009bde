"""What a run is asked to do, apart from the images.

A new option is one field here: the program has it as a flag, Python as an argument, and the record of a run as what
decides its result.
"""

from dataclasses import dataclass, replace
from typing import Any

from deconv_ae import options
from deconv_ae.errors import InputError
from deconv_ae.model.architecture import Architecture
from deconv_ae.model.recipes import RECIPES
from deconv_ae.options import one_of, option, optional, options_of, real, switch, whole
from deconv_ae.training.schedule import SMALLEST_BATCH, STEPS_FOR_A_RECIPES_EPOCH, Schedule, schedule

STRATEGIES = {
    "auto": "all visible GPUs where there are several, else one device",
    "mirrored": "all visible GPUs, or logical CPUs",
    "multi_worker": "the cluster of TF_CONFIG",
    "none": "one device",
}
"""Names for `distribution.make_strategy`, and where each trains."""
MIXED_PRECISIONS = {"none": None, "mixed_bfloat16": "mixed_bfloat16", "mixed_float16": "mixed_float16"}
LONGEST_WAIT = 1e6
"""Seconds, eleven days: Python's own timers take no number as large as it likes."""
JIT_COMPILE = {"auto": "auto", "true": True, "false": False}
DEFAULT_RECIPE = "default"


def _by_recipe(field: str, unit: str = "") -> str:
    """What each recipe has there, the default one's first: "3 epochs by the default recipe and cntk, 30 by long"."""
    names: dict[str, list[str]] = {}
    for name in sorted(RECIPES, key=lambda name: (name != DEFAULT_RECIPE, name)):
        shown = "the default recipe" if name == DEFAULT_RECIPE else name
        names.setdefault(str(getattr(RECIPES[name], field)), []).append(shown)
    first, *others = (f"{value} by {' and '.join(those)}" for value, those in names.items())
    return ", ".join([first.replace(" by ", f"{unit} by ", 1), *others])


@dataclass(frozen=True)
class TrainingOptions:
    """What a run is asked to do, apart from the images: the model's `Architecture`, and options of which each says
    what it does. NumPy's numbers are taken as Python's.

    Raises:
        InputError: on a value that no run can be made with.

    >>> TrainingOptions(Architecture((1,), (4,)), epochs=True)
    Traceback (most recent call last):
    deconv_ae.errors.InputError: epochs: True is not a whole number; give one of 0 or more
    """

    architecture: Architecture
    recipe: str = option(
        DEFAULT_RECIPE,
        one_of(RECIPES),
        f"How to train. {options.listed({name: recipe.description for name, recipe in RECIPES.items()})}.",
    )
    epochs: int | None = option(
        None,
        optional(whole()),
        f"Passes over the training images. Default: {_by_recipe('epochs', ' epochs')}; where such a pass has fewer "
        f"than {STEPS_FOR_A_RECIPES_EPOCH} steps, it is made again until it has, since weights are learnt by steps, "
        "and few pictures make few of them.",
    )
    batch_size: int | None = option(
        None,
        optional(whole(least=1)),
        f"Images a step, over all replicas. Default: {_by_recipe('batch_size')}, or a twentieth of the images where "
        f"that is less, but {SMALLEST_BATCH} at least, so that few pictures make more steps.",
    )
    learning_rate: float | None = option(
        None,
        optional(real(above=0)),
        f"Of a batch's mean loss, at its peak. Default: {_by_recipe('learning_rate')}.",
    )
    seed: int = option(0, whole(), "Of the initial weights and the order of the images.")
    run_dir: str | None = option(
        None,
        optional(options.directory),
        "For checkpoints, TensorBoard logs and training_curve.png; none are kept if left out.",
        decides=False,
    )
    checkpoint_every: int | None = option(
        None,
        optional(whole(least=1)),
        "Steps between checkpoints within an epoch. Default: after every epoch only.",
        decides=False,
    )
    validate_every: int = option(
        1,
        whole(),
        "Epochs from one RMSE over the test images to the next, in the epochs' lines and TensorBoard; 0: never.",
        decides=False,
    )
    resume: bool = option(
        False, switch, "Go on from the last checkpoint in run_dir, also to more --epochs.", decides=False
    )
    strategy: str = option(
        "auto", one_of(STRATEGIES), f"Devices to train on. {options.listed(STRATEGIES)}.", decides=False
    )
    worker_timeout: float = option(
        120.0,
        real(least=0, most=LONGEST_WAIT),
        "Seconds that a worker of --strategy=multi_worker waits for the others before it gives up.",
        decides=False,
    )
    mixed_precision: str = option("none", one_of(MIXED_PRECISIONS), f"Keras's policy: {', '.join(MIXED_PRECISIONS)}.")
    jit_compile: str = option(
        "auto",
        one_of(JIT_COMPILE),
        f"XLA, for training steps: {', '.join(JIT_COMPILE)} (auto: on a CPU where many small pictures make it faster, "
        "elsewhere as Keras decides).",
    )

    def __post_init__(self) -> None:
        if not isinstance(self.architecture, Architecture):
            raise InputError(f"architecture: {self.architecture!a} is none; give a deconv_ae.Architecture")
        options.check(self)
        if self.resume and not self.run_dir:
            raise InputError("resume: no --run_dir given to go on from")
        if self.checkpoint_every and not self.run_dir:
            raise InputError("checkpoint_every: no --run_dir given to keep checkpoints in")

    def schedule(self, images: int) -> Schedule:
        """How often a run on so many training images goes through them: as given, else by the rule for the recipe."""
        return schedule(RECIPES[self.recipe], images, self.batch_size, self.epochs)

    def deciding(self, images: int | None = None) -> "TrainingOptions":
        """What decides the result on so many training images, and so has to be the same when a run is resumed; all
        else is as by default. Where the number of images is not known yet, what follows from it stays None."""
        others: dict[str, Any] = {
            name: field.default for name, (field, each) in options_of(self).items() if not each.decides
        }
        if images is None:
            return replace(self, **others)
        schedule = self.schedule(images)
        return replace(self, **others | {"epochs": schedule.epochs, "batch_size": schedule.batch_size})

    @property
    def peak_learning_rate(self) -> float | None:
        """At its peak, where the recipe decides it: another version's recipe may decide otherwise."""
        peak = RECIPES[self.recipe].peak_learning_rate
        return None if self.learning_rate is not None or peak is None else peak(self.architecture)
