"""Trains an autoencoder, evaluates it and exports it as a SavedModel.

python scripts/train.py --dataset=mnist_5k
python scripts/train.py --dataset=mnist --preset=two_layer --recipe=cntk

With pictures of your own, all in one folder or in its folders train and test:

python scripts/train.py --dataset=folder:photos --image_size=64 \\
    --filters=16,8 --pool_sizes=2,2 \\
    --run_dir=runs/mine --export_dir=saved_models/mine
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import command_line
from absl import flags

from deconv_ae.errors import InputError, RunError, choose
from deconv_ae.model.architecture import Architecture
from deconv_ae.model.presets import PRESETS
from deconv_ae.model.recipes import RECIPES
from deconv_ae.numbers import pair
from deconv_ae.paths import check_apart, given
from deconv_ae.saved_model.export_directory import ExportDirectory
from deconv_ae.training import run_record
from deconv_ae.training.cluster import other_addresses
from deconv_ae.training.options import JIT_COMPILE as JIT_COMPILE_CHOICES
from deconv_ae.training.options import MIXED_PRECISIONS, STRATEGIES, TrainingOptions
from deconv_ae.training.schedule import SMALLEST_BATCH, STEPS_FOR_A_RECIPES_EPOCH

if TYPE_CHECKING:
    from deconv_ae.training import TrainingResult

flags.adopt_module_key_flags(command_line)
DEFAULT_PRESET, DEFAULT_RECIPE = "cmap1_pool4", "default"
ADVICE = "try more --epochs, another --learning_rate or --seed"
ADVICE_TO_PRESETS = f"{ADVICE}, or --filters=16,8 --pool_sizes=2,2, since a preset is made for digits"


def _by_recipe(field: str, unit: str = "") -> str:
    """What each recipe has there, the default one's first: "3 epochs by the default recipe and cntk, 30 by long"."""
    names: dict[str, list[str]] = {}
    for name in sorted(RECIPES, key=lambda name: (name != DEFAULT_RECIPE, name)):
        shown = "the default recipe" if name == DEFAULT_RECIPE else name
        names.setdefault(str(getattr(RECIPES[name], field)), []).append(shown)
    first, *others = (f"{value} by {' and '.join(those)}" for value, those in names.items())
    return ", ".join([first.replace(" by ", f"{unit} by ", 1), *others])


PRESET = flags.DEFINE_string(
    "preset",
    None,
    f"One of the original's settings: {'; '.join(f'{name}: {preset.title}' for name, preset in PRESETS.items())}. "
    f"Default: {DEFAULT_PRESET}.",
)
FILTERS = flags.DEFINE_list("filters", None, "Filters of each stage's convolution, outermost first, such as 16,8.")
POOL_SIZES = flags.DEFINE_list("pool_sizes", None, "Each stage's pooling window, such as 2,2 or 4x2,2.")
KERNEL_SIZE = flags.DEFINE_string("kernel_size", None, "Of every convolution, such as 5 or 5x3. Default: 5.")
RECIPE = flags.DEFINE_string(
    "recipe",
    DEFAULT_RECIPE,
    f"How to train. {command_line.listed({name: each.description for name, each in RECIPES.items()})}.",
)
EPOCHS = flags.DEFINE_integer(
    "epochs",
    None,
    f"Passes over the training images. Default: {_by_recipe('epochs', ' epochs')}; where such a pass has fewer than "
    f"{STEPS_FOR_A_RECIPES_EPOCH} steps, it is made again until it has, since weights are learnt by steps, and few "
    "pictures make few of them.",
)
BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    None,
    f"Images a step, over all replicas. Default: {_by_recipe('batch_size')}, or a twentieth of the images where that "
    f"is less, but {SMALLEST_BATCH} at least, so that few pictures make more steps.",
)
LEARNING_RATE = flags.DEFINE_float(
    "learning_rate", None, f"Of a batch's mean loss, at its peak. Default: {_by_recipe('learning_rate')}."
)
SEED = flags.DEFINE_integer("seed", 0, "Of the initial weights and the order of the images.")
EXPORT_DIR = flags.DEFINE_string("export_dir", None, "The SavedModel's directory. Default: saved_models/PRESET.")
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace a model that is in export_dir, once the new one is whole.")
EXPORT_ANYWAY = flags.DEFINE_bool(
    "export_anyway",
    False,
    "Export a model that is no better on the test images than their mean training image, or whose loss rose over the "
    "run, with a warning. Without it such a run fails.",
)
RUN_DIR = flags.DEFINE_string(
    "run_dir", None, "For checkpoints, TensorBoard logs and training_curve.png; none are kept if left out."
)
TRAINING_CURVE = flags.DEFINE_bool(
    "training_curve", False, "Draw the RMSE by epoch beside the export too, as EXPORT_DIR-training_curve.png."
)
CHECKPOINT_EVERY = flags.DEFINE_integer(
    "checkpoint_every", None, "Steps between checkpoints within an epoch. Default: after every epoch only."
)
VALIDATE_EVERY = flags.DEFINE_integer(
    "validate_every",
    1,
    "Epochs from one RMSE over the test images to the next, in the epochs' lines and TensorBoard; 0: never.",
)
RESUME = flags.DEFINE_bool("resume", False, "Go on from the last checkpoint in run_dir, also to more --epochs.")
STRATEGY = flags.DEFINE_string("strategy", "auto", f"Devices to train on. {command_line.listed(STRATEGIES)}.")
WORKER_TIMEOUT = flags.DEFINE_float(
    "worker_timeout", 120.0, "Seconds that a worker of --strategy=multi_worker waits for the others before it gives up."
)
MIXED_PRECISION = flags.DEFINE_string("mixed_precision", "none", f"Keras's policy: {', '.join(MIXED_PRECISIONS)}.")
JIT_COMPILE = flags.DEFINE_string("jit_compile", "auto", f"XLA: {', '.join(JIT_COMPILE_CHOICES)} (Keras decides).")


def main() -> None:
    preset, architecture = _architecture()
    options = _options(architecture)
    export_dir = EXPORT_DIR.value or f"saved_models/{preset or 'custom'}"
    place = ExportDirectory(export_dir, OVERWRITE.value)
    source = command_line.source()
    check_apart(
        {
            "export_dir": export_dir,
            "run_dir": RUN_DIR.value,
            "dataset": source.folder,
            "cache_dir": source.cache_dir or None,
        }
    )
    if source.image_size is not None:
        architecture.check_trainable((*source.image_size, 1), images_per_step=1)  # At least.
    if RUN_DIR.value is not None:
        run_record.check(RUN_DIR.value, options.settings() | {"dataset": source.name}, RESUME.value)
        if STRATEGY.value != "multi_worker":  # Whose processes share it.
            run_record.check_not_in_use(RUN_DIR.value)
    if STRATEGY.value == "multi_worker":
        other_addresses(os.environ.get("TF_CONFIG", ""))
    with command_line.loading():
        from deconv_ae import training
        from deconv_ae.data import load_dataset
        from deconv_ae.saved_model import exporting
        from deconv_ae.training.distribution import is_chief, make_strategy
        from deconv_ae.training.reporting import labelled
        from deconv_ae.training.run import check_mixed_precision
    # Before the images: a cluster can only be joined before TensorFlow has run anything.
    strategy = make_strategy(options.strategy, options.worker_timeout)
    check_mixed_precision(options.mixed_precision)
    if not is_chief(strategy):
        training.train(load_dataset(source), options, strategy)
        return
    with place:
        dataset = load_dataset(source)
        print(labelled("export", f"{export_dir}, once it is trained"))
        result = training.train(dataset, options, strategy)
        print(labelled("result", *str(result).split("; ")))
        for file in _draw_training_curve(result, place.path):
            print(labelled("drawn", str(file)))
        if result.problem and not EXPORT_ANYWAY.value:
            advice = ADVICE_TO_PRESETS if preset else ADVICE
            raise RunError(f"{result.problem}; {advice}, or take it as it is with --export_anyway")
        exporting.export(result, dataset, place, preset)
    print(labelled("exported", export_dir))
    if result.problem:
        print(f"warning: {result.problem}", file=sys.stderr)
    print(_next_steps(export_dir))


def _options(architecture: Architecture) -> TrainingOptions:
    return TrainingOptions(
        architecture=architecture,
        recipe=RECIPE.value,
        epochs=EPOCHS.value,
        batch_size=BATCH_SIZE.value,
        learning_rate=LEARNING_RATE.value,
        seed=SEED.value,
        run_dir=RUN_DIR.value,
        checkpoint_every=CHECKPOINT_EVERY.value,
        validate_every=VALIDATE_EVERY.value,
        resume=RESUME.value,
        strategy=STRATEGY.value,
        worker_timeout=WORKER_TIMEOUT.value,
        mixed_precision=MIXED_PRECISION.value,
        jit_compile=JIT_COMPILE.value,
    )


def _draw_training_curve(result: "TrainingResult", export_dir: Path) -> list[Path]:
    files = [given("run_dir", RUN_DIR.value) / "training_curve.png"] if RUN_DIR.value else []
    if TRAINING_CURVE.value:
        files.append(export_dir.with_name(f"{export_dir.name}-training_curve.png"))
    if not files:
        return []
    # Matplotlib takes half a second to load, which runs that draw nothing do without.
    from deconv_ae.pictures.training_curve import draw_training_curve

    return draw_training_curve(result.history, result.baselines.mean_image_rmse, files)


def _next_steps(export_dir: str) -> str:
    """What there is to do with the model, as commands to copy."""
    model, beside = f"--model={export_dir}", f"--output_dir={export_dir.rstrip('/')}-pictures"
    run = [f"--run_dir={RUN_DIR.value}"] if RUN_DIR.value else []
    last = ("playground.py", []) if importlib.util.find_spec("gradio") else ("convert.py", ["--format=onnx,litert"])
    steps = [("evaluate.py", []), ("visualize.py", [beside, *run]), last]
    commands = (command_line.shell_command(program, [model, *flags]) for program, flags in steps)
    return "\n".join(["next:", *commands])


def _architecture() -> tuple[str | None, Architecture]:
    own = {"filters": FILTERS.value, "pool_sizes": POOL_SIZES.value, "kernel_size": KERNEL_SIZE.value}
    given = [name for name, value in own.items() if value is not None]
    if not given:
        preset = PRESET.value or DEFAULT_PRESET
        return preset, choose("preset", preset, PRESETS).architecture
    if PRESET.value is not None:
        raise InputError(
            f"preset: given together with --{given[0]}; a preset is a whole architecture, give one of them"
        )
    if FILTERS.value is None or POOL_SIZES.value is None:
        missing = "filters" if FILTERS.value is None else "pool_sizes"
        raise InputError(f"{missing}: not given; an architecture of your own takes --filters and --pool_sizes")
    return None, Architecture(
        filters=FILTERS.value,
        pool_sizes=[pair("pool_sizes", text) for text in POOL_SIZES.value],
        kernel_size=pair("kernel_size", KERNEL_SIZE.value or "5"),
    )


if __name__ == "__main__":
    command_line.run(main)
