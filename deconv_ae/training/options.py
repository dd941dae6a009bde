"""What a run is asked to do, apart from the images."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from deconv_ae import numbers, paths
from deconv_ae.errors import InputError, choose
from deconv_ae.model.architecture import Architecture
from deconv_ae.model.recipes import RECIPES
from deconv_ae.training import run_record
from deconv_ae.training.schedule import Schedule, schedule

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


@dataclass(frozen=True)
class TrainingOptions:
    """What a run is asked to do, apart from the images.

    Attributes:
        architecture: the model.
        recipe: a key of `recipes.RECIPES`; learning_rate replaces the recipe's own where it is not None.
        epochs, batch_size: None lets them follow from the recipe and the number of images; see `schedule.schedule`.
        seed: of the initial weights and the order of the images.
        run_dir: where checkpoints and TensorBoard logs go; None keeps none.
        checkpoint_every: steps from one checkpoint to the next within an epoch; None saves after
            every epoch only.
        validate_every: epochs from one look at the test images to the next, whose RMSE is then among
            the epoch's metrics as `test_rmse`; 0 never looks. It changes nothing else.
        resume: whether to go on with the run in run_dir.
        strategy: a key of `STRATEGIES`.
        worker_timeout: seconds that a worker of a cluster waits for the others before it gives up.
        mixed_precision: "none", "mixed_bfloat16" or "mixed_float16".
        jit_compile: "auto" leaves it to Keras, "true" compiles with XLA, "false" does not.

    Raises:
        InputError: on a value that no run can be made with.
    """

    architecture: Architecture
    recipe: str = "default"
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    seed: int = 0
    run_dir: str | None = None
    checkpoint_every: int | None = None
    validate_every: int = 1
    resume: bool = False
    strategy: str = "auto"
    worker_timeout: float = 120.0
    mixed_precision: str = "none"
    jit_compile: str = "auto"

    def __post_init__(self) -> None:
        choose("recipe", self.recipe, RECIPES)
        choose("strategy", self.strategy, STRATEGIES)
        choose("mixed_precision", self.mixed_precision, MIXED_PRECISIONS)
        choose("jit_compile", self.jit_compile, JIT_COMPILE)
        for field, least in (("epochs", 0), ("batch_size", 1), ("checkpoint_every", 1), ("validate_every", 0)):
            if getattr(self, field) is not None:
                numbers.whole(field, getattr(self, field), least)
        if self.learning_rate is not None:
            numbers.real("learning_rate", self.learning_rate, above=0)
        numbers.real("worker_timeout", self.worker_timeout, least=0, most=LONGEST_WAIT)
        numbers.whole("seed", self.seed)
        if self.run_dir is not None:
            paths.directory_to_write("run_dir", self.run_dir)
        if self.resume and not self.run_dir:
            raise InputError("resume: no --run_dir given to go on from")
        if self.checkpoint_every and not self.run_dir:
            raise InputError("checkpoint_every: no --run_dir given to keep checkpoints in")

    def schedule(self, images: int) -> Schedule:
        """How often a run on so many training images goes through them: as given, else by the rule for the recipe."""
        return schedule(RECIPES[self.recipe], images, self.batch_size, self.epochs)

    def settings(self, images: int | None = None) -> dict[str, Any]:
        """What decides the result on so many training images, and so has to be the same when a run is resumed; where
        their number is not known yet, without what follows from it."""
        schedule = None if images is None else self.schedule(images)
        comparable = replace(
            self,
            epochs=self.epochs if schedule is None else schedule.epochs,
            batch_size=self.batch_size if schedule is None else schedule.batch_size,
            run_dir=None,
            checkpoint_every=None,
            resume=False,
            strategy="none",
            worker_timeout=0.0,
        )
        settings = asdict(comparable)
        del settings["validate_every"]  # Which runs of before it do not have.
        peak = RECIPES[self.recipe].peak_learning_rate
        if self.learning_rate is None and peak is not None:
            settings[run_record.PEAK] = peak(self.architecture)
        unknown = [name for name in ("epochs", "batch_size") if settings[name] is None]
        return {name: value for name, value in settings.items() if name not in unknown}
