r"""Trains an autoencoder, evaluates it and exports it as a SavedModel.

deconv-ae train --dataset=mnist_5k
deconv-ae train --dataset=mnist --preset=two_layer --recipe=cntk

To train on your own pictures, put them into one folder, here photos, or divide
them into its subfolders photos/train and photos/test:

deconv-ae train --dataset=folder:photos --image_size=64 \
    --filters=16,8 --pool_sizes=2,2 \
    --run_dir=runs/mine --export_dir=saved_models/mine
"""

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from deconv_ae.data.kinds import directory
from deconv_ae.errors import InputError, RunError, choose
from deconv_ae.model.architecture import Architecture
from deconv_ae.model.presets import ALL_PRESETS, PHOTOGRAPHS
from deconv_ae.numbers import checked_integer, integer_from_text, pair
from deconv_ae.paths import check_disjoint, checked_path
from deconv_ae.saved_model.export_directory import ExportDirectory
from deconv_ae.training import run_record
from deconv_ae.training.cluster import check_tf_config
from deconv_ae.training.options import TrainingOptions
from deconv_ae_programs import command_line, option_flags

if TYPE_CHECKING:
    from deconv_ae.training import TrainingResult

flags.adopt_module_key_flags(command_line)
DEFAULT_PRESET = "cmap1_pool4"
ADVICE = "try more --epochs, another --learning_rate or --seed"
ADVICE_WITH_PRESET = f"{ADVICE}, or --preset={PHOTOGRAPHS}, since the other presets are made for digits"
FLAG_GROUPS = {
    "training": (),
    "architecture": ("preset", "filters", "pool_sizes", "kernel_size", "averages"),
    "devices": ("strategy", "worker_timeout", "mixed_precision", "jit_compile"),
    "output": ("export_dir", "overwrite", "export_anyway", "training_curve", "run_dir", "checkpoint_every"),
}
"""Headings of --help; the first one takes the remaining flags."""

PRESET = flags.DEFINE_string(
    "preset",
    None,
    f"A complete architecture. {'; '.join(f'{name}: {preset.title}' for name, preset in ALL_PRESETS.items())}. "
    f"Default: {DEFAULT_PRESET}.",
)
FILTERS = flags.DEFINE_list(
    "filters", None, "The number of filters of each stage's convolution, outermost stage first, such as 16,8."
)
POOL_SIZES = flags.DEFINE_list(
    "pool_sizes", None, "The pooling window of each stage, outermost stage first, such as 2,2 or 4x2,2."
)
KERNEL_SIZE = flags.DEFINE_string(
    "kernel_size", None, "The kernel size of every convolution, such as 5 or 5x3. Default: 5."
)
AVERAGES = flags.DEFINE_integer(
    "averages",
    None,
    "The number of weighted averages that the code holds for each of its positions, beside the last stage's maxima. "
    "Averages carry the smooth part of a photograph, and the stages see the rest. Default: 0.",
)
EXPORT_DIR = flags.DEFINE_string(
    "export_dir",
    None,
    "The SavedModel's directory. Default: saved_models/PRESET, or saved_models/custom with --filters.",
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace a model in --export_dir, after the new one is complete.")
EXPORT_ANYWAY = flags.DEFINE_bool(
    "export_anyway",
    False,
    "Export the model, with a warning, even if its test RMSE is no better than that of the mean training image, or its "
    "loss rose over the run. Without this flag, such a run fails.",
)
TRAINING_CURVE = flags.DEFINE_bool(
    "training_curve", False, "Draw the RMSE by epoch beside the export, as EXPORT_DIR-training_curve.png."
)
option_values = option_flags.define(TrainingOptions)


def main() -> None:
    """Checks the flags, trains, and exports."""
    preset, architecture = _architecture()
    options = TrainingOptions(architecture, **option_values())
    export_dir = EXPORT_DIR.value or f"saved_models/{preset or 'custom'}"
    target = ExportDirectory(export_dir, OVERWRITE.value)
    source = command_line.source()
    check_disjoint(
        {
            "export_dir": export_dir,
            "run_dir": options.run_dir,
            "dataset": directory(source),
            "cache_dir": source.cache_dir or None,
        }
    )
    if source.image_size is not None:
        # This check comes before the images are read, so it assumes the least: one channel and one image a batch.
        architecture.check_trainable((*source.image_size, 1), images_per_step=1)
    if options.run_dir is not None:
        run_record.check_before_loading(options.run_dir, options, source.name)
        if options.strategy != "multi_worker":  # The processes of a cluster share the directory.
            run_record.check_not_in_use(options.run_dir)
    check_tf_config(options.strategy)
    with command_line.loading():
        from deconv_ae import training
        from deconv_ae.data import load_dataset
        from deconv_ae.saved_model import exporting
        from deconv_ae.training.distribution import is_chief, make_strategy
        from deconv_ae.training.reporting import labelled
        from deconv_ae.training.run import check_mixed_precision
    # This comes before the images are loaded, because a process can only join a cluster before TensorFlow has
    # run an operation.
    strategy = make_strategy(options.strategy, options.worker_timeout)
    check_mixed_precision(options.mixed_precision)
    if not is_chief(strategy):
        training.train(load_dataset(source), options, strategy)
        return
    with target:
        dataset = load_dataset(source)
        print(labelled("export", f"{export_dir}, after training"))
        result = training.train(dataset, options, strategy)
        print(labelled("result", *str(result).split("; ")))
        for file in _draw_training_curve(result, options.run_dir, target.path):
            print(labelled("drawn", str(file)))
        if result.problem and not EXPORT_ANYWAY.value:
            advice = ADVICE_WITH_PRESET if preset not in (None, PHOTOGRAPHS) else ADVICE
            raise RunError(f"{result.problem}; {advice}, or export the model as it is with --export_anyway")
        exporting.export(result, dataset, target, preset)
    print(labelled("exported", export_dir))
    if result.problem:
        print(f"warning: {result.problem}", file=sys.stderr)
    print(_next_steps(export_dir, options.run_dir))


def _draw_training_curve(result: "TrainingResult", run_dir: str | None, export_dir: Path) -> list[Path]:
    files = [checked_path("run_dir", run_dir) / "training_curve.png"] if run_dir else []
    if TRAINING_CURVE.value:
        files.append(export_dir.with_name(f"{export_dir.name}-training_curve.png"))
    if not files:
        return []
    # This import comes late, because Matplotlib takes half a second to load, and runs without drawings do not need it.
    from deconv_ae.pictures.training_curve import draw_training_curve

    return draw_training_curve(result.history, result.baselines.mean_image_rmse, files)


def _next_steps(export_dir: str, run_dir: str | None) -> str:
    """Returns commands that the user can copy, for further work with the model."""
    model, pictures = f"--model={export_dir}", f"--output_dir={export_dir.rstrip('/')}-pictures"
    run = [f"--run_dir={run_dir}"] if run_dir else []
    last_step = ("playground", []) if importlib.util.find_spec("starlette") else ("convert", ["--format=onnx,litert"])
    steps = [("evaluate", []), ("visualize", [pictures, *run]), last_step]
    commands = [command_line.shell_command(program, [model, *arguments]) for program, arguments in steps]
    if run_dir:
        commands.append(command_line.shell_lines("tensorboard", [f"--logdir={run_dir.rstrip('/')}/logs"]))
    return "\n".join(["next:", *commands])


def _architecture() -> tuple[str | None, Architecture]:
    flag_values = {
        "filters": FILTERS.value,
        "pool_sizes": POOL_SIZES.value,
        "kernel_size": KERNEL_SIZE.value,
        "averages": AVERAGES.value,
    }
    present = [name for name, value in flag_values.items() if value is not None]
    if not present:
        preset = PRESET.value or DEFAULT_PRESET
        return preset, choose("preset", preset, ALL_PRESETS).architecture
    if PRESET.value is not None:
        raise InputError(
            f"preset: given together with --{present[0]}; a preset is a complete architecture; give one of the two"
        )
    averages = checked_integer("averages", AVERAGES.value or 0)
    if FILTERS.value is None or POOL_SIZES.value is None:
        missing = "filters" if FILTERS.value is None else "pool_sizes"
        raise InputError(f"{missing}: not given; an architecture of your own takes --filters and --pool_sizes")
    return None, Architecture(
        filters=[integer_from_text("filters", text, least=1) for text in FILTERS.value],
        pool_sizes=[pair("pool_sizes", text) for text in POOL_SIZES.value],
        kernel_size=pair("kernel_size", KERNEL_SIZE.value or "5"),
        averages=averages,
    )
