"""The options of a run, apart from the images.

A new option is one field here, with its help, default and check. It becomes a flag of the program, an argument in
Python and, if it decides the result, a field in the record of a run.
"""

from dataclasses import dataclass, replace
from typing import Any

from deconv_ae import options
from deconv_ae.errors import InputError
from deconv_ae.model.architecture import Architecture
from deconv_ae.model.recipes import RECIPES
from deconv_ae.options import checked_boolean, integer, number, one_of, option, optional, options_of
from deconv_ae.training.schedule import SMALLEST_BATCH, STEPS_FOR_A_RECIPES_EPOCH, Schedule, schedule

STRATEGIES = {
    "auto": "all visible GPUs where there are several, else one device",
    "mirrored": "all visible GPUs, or logical CPUs",
    "multi_worker": "the cluster of TF_CONFIG",
    "none": "one device",
}
"""Names for `distribution.make_strategy`, and the devices of each."""
MIXED_PRECISIONS = {"none": None, "mixed_bfloat16": "mixed_bfloat16", "mixed_float16": "mixed_float16"}
LONGEST_WAIT = 1e6
"""Eleven days, in seconds: Python's timers refuse very large numbers."""
JIT_COMPILE = {"auto": "auto", "true": True, "false": False}
DEFAULT_RECIPE = "default"


def _values_by_recipe(field: str, unit: str = "") -> str:
    """Lists the values of a field of all recipes, the default recipe's first.

    An example with the unit " epochs": '3 epochs with the recipe "default" or "cntk", 30 with "long"'.
    """
    titles: dict[str, list[str]] = {}
    for name in sorted(RECIPES, key=lambda name: (name != DEFAULT_RECIPE, name)):
        title = f'the recipe "{name}"' if name == DEFAULT_RECIPE else f'"{name}"'
        titles.setdefault(str(getattr(RECIPES[name], field)), []).append(title)
    first, *rest = (f"{value} with {' or '.join(recipes)}" for value, recipes in titles.items())
    return ", ".join([first.replace(" with ", f"{unit} with ", 1), *rest])


@dataclass(frozen=True)
class TrainingOptions:
    """The options of a run, apart from the images. The help of each option says what it does.

    NumPy's numbers are accepted.

    Attributes:
        architecture: the model's `Architecture`.

    Raises:
        InputError: for a wrong value.

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
        optional(integer()),
        f"Passes over the training images. Default: {_values_by_recipe('epochs', ' epochs')}. On a small data set, "
        f"where an epoch has fewer than {STEPS_FOR_A_RECIPES_EPOCH} steps, each of these epochs is replaced by "
        f"several, enough for {STEPS_FOR_A_RECIPES_EPOCH} steps.",
    )
    batch_size: int | None = option(
        None,
        optional(integer(least=1)),
        f"Images a step, over all replicas. Default: {_values_by_recipe('batch_size')}. Small data sets get smaller "
        f"batches: a twentieth of the images, but at least {SMALLEST_BATCH}.",
    )
    learning_rate: float | None = option(
        None,
        optional(number(above=0)),
        "Peak learning rate; a batch's loss is the mean over its images. Default: "
        f"{_values_by_recipe('learning_rate')}.",
    )
    seed: int = option(0, integer(), "Seed of the initial weights and of the order of the images.")
    run_dir: str | None = option(
        None,
        optional(options.directory),
        "Directory for checkpoints and TensorBoard logs. The command deconv-ae train also draws training_curve.png "
        "there. Default: none, so these are not written. The program's flag --training_curve draws the curve beside "
        "the export, with or without a run_dir.",
        decides_result=False,
    )
    checkpoint_every: int | None = option(
        None,
        optional(integer(least=1)),
        "Steps between checkpoints within an epoch. Default: after every epoch only.",
        decides_result=False,
    )
    validate_every: int = option(
        1,
        integer(),
        "Epochs between two computations of the test RMSE, which is printed and logged to TensorBoard. 0: never.",
        decides_result=False,
    )
    resume: bool = option(
        False,
        checked_boolean,
        "Resume from the last checkpoint in run_dir. More --epochs extend the run.",
        decides_result=False,
    )
    strategy: str = option(
        "auto", one_of(STRATEGIES), f"Devices to train on. {options.listed(STRATEGIES)}.", decides_result=False
    )
    worker_timeout: float = option(
        120.0,
        number(least=0, most=LONGEST_WAIT),
        "Seconds that a worker of --strategy=multi_worker waits for the others before it gives up.",
        decides_result=False,
    )
    mixed_precision: str = option("none", one_of(MIXED_PRECISIONS), f"Keras's policy: {', '.join(MIXED_PRECISIONS)}.")
    jit_compile: str = option(
        "auto",
        one_of(JIT_COMPILE),
        f"XLA for training steps: {', '.join(JIT_COMPILE)}. auto: XLA for many small pictures on a CPU, where it "
        "is faster; else as Keras decides.",
    )

    def __post_init__(self) -> None:
        if not isinstance(self.architecture, Architecture):
            raise InputError(f"architecture: {self.architecture!a} is not a deconv_ae.Architecture; give one")
        options.check(self)
        if self.resume and not self.run_dir:
            raise InputError("resume: no --run_dir to resume from; give --run_dir")
        if self.checkpoint_every and not self.run_dir:
            raise InputError("checkpoint_every: no --run_dir for the checkpoints; give --run_dir")

    def schedule(self, images: int) -> Schedule:
        """Returns the schedule for this number of training images. The recipe fills in what is None."""
        return schedule(RECIPES[self.recipe], images, self.batch_size, self.epochs)

    def deciding_options(self, images: int | None = None) -> "TrainingOptions":
        """Returns a copy with the defaults of all options that do not decide the result.

        A run can be resumed only with options whose copy equals the copy of the run's earlier options, except that the
        number of epochs may be larger.

        If `epochs` or `batch_size` is None, the copy has the value for `images`, the number of training images. If
        `images` is None, too, the copy has None.
        """
        defaults: dict[str, Any] = {
            name: field.default for name, (field, each) in options_of(self).items() if not each.decides_result
        }
        if images is None:
            return replace(self, **defaults)
        schedule = self.schedule(images)
        return replace(self, **defaults | {"epochs": schedule.epochs, "batch_size": schedule.batch_size})

    def deciding_values(self, images: int) -> dict[str, Any]:
        """Returns the values of the options that decide the result, by option name.

        The batch size and the epochs are those for this number of training images, as in `deciding_options`.
        """
        deciding_options = self.deciding_options(images)
        return {
            name: getattr(deciding_options, name) for name, (_, each) in options_of(self).items() if each.decides_result
        }

    @property
    def peak_learning_rate(self) -> float | None:
        """The recipe's peak learning rate in a run long enough to reach it.

        None if `learning_rate` is given, or the recipe's peak does not depend on the architecture. Another version of
        this package may have another peak.
        """
        peak = RECIPES[self.recipe].peak_learning_rate
        return None if self.learning_rate is not None or peak is None else peak(self.architecture)
