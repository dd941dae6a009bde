"""Outcomes of runs, kept in a JSON file each, so that no run is trained twice."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import keras

from deconv_ae.files import write_atomically
from deconv_ae.model.recipes import RECIPES
from deconv_ae.training import TrainingOptions


class StoredOutcome(Protocol):
    """A run's outcome, a dataclass that a JSON file stores. A run with other settings does not reuse the outcome."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def settings(self) -> dict[str, Any]: ...


AnyOutcome = TypeVar("AnyOutcome", bound=StoredOutcome)


def load_or_run(
    file: Path, settings: dict[str, Any], parse: Callable[[dict[str, Any]], AnyOutcome], run: Callable[[], AnyOutcome]
) -> AnyOutcome:
    """Returns the stored outcome for these settings. If `file` has none, calls `run` and stores its outcome."""
    outcome = read(file, parse)
    if outcome is None or outcome.settings != settings:
        outcome = run()
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(asdict(outcome)) + "\n")
    return outcome


def read(file: Path, parse: Callable[[dict[str, Any]], AnyOutcome]) -> AnyOutcome | None:
    """Reads a finished run's outcome. Returns None if the file is missing or holds no valid outcome."""
    try:
        return parse(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def recipe_details(options: TrainingOptions, channels: int) -> dict[str, Any]:
    """Returns the optimizer and the initializers that this version of deconv_ae gives the recipe, as JSON values."""
    recipe, architecture = RECIPES[options.recipe], options.architecture
    optimizer = keras.optimizers.serialize(recipe.optimizer(architecture, recipe.batch_size, 1, None))
    # Keras numbers the optimizers of a process: adam, adam_1 and so on.
    del optimizer["config"]["name"]
    initializers = list(recipe.initializers(architecture))
    if recipe.make_guesses is not None:
        initializers += [initializer for pair in recipe.make_guesses(architecture, channels) for initializer in pair]
    serialized = [keras.initializers.serialize(initializer) for initializer in initializers]
    return json.loads(json.dumps({"optimizer": optimizer, "initializers": serialized}, default=float))
