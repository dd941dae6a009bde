r"""Draws the codes and reconstructions of the first few test images.

deconv-ae visualize --model=saved_models/mine
deconv-ae visualize --model=saved_models/mine --list_layers

Several models side by side, and your own pictures:

deconv-ae visualize --model=saved_models/mine --model=saved_models/other
deconv-ae visualize --model=saved_models/mine \
    --dataset=folder:photos --output_dir=pictures/mine
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from absl import flags

from deconv_ae.data.kinds import directory
from deconv_ae.errors import InputError, choose, first_line
from deconv_ae.numbers import checked_integer
from deconv_ae.options import listed
from deconv_ae.paths import check_disjoint, checked_path, directory_to_write
from deconv_ae.pictures.choices import DRAWINGS, MOST_IMAGES
from deconv_ae.saved_model.model_card import KERAS_FILE, ModelCard
from deconv_ae.training import history, run_record
from deconv_ae_programs import command_line

flags.adopt_module_key_flags(command_line)
NEED_KERAS_FILE = ("switches", "kernels")
WITHOUT_IMAGES = {"kernels", "training_curve"}
"""Drawings that show only the model or its run. They need no data set."""
GIVE_RUN = "give the run directory of the model's training"

MODELS = flags.DEFINE_multi_string(
    "model",
    None,
    "The directory of an exported model; repeat the flag to compare models. Default: the reference models of a "
    "checkout, in saved_models/reference",
)
OUTPUT_DIR = flags.DEFINE_string("output_dir", "pictures", "The directory for the drawings, created if missing.")
DRAW = flags.DEFINE_list(
    "draw",
    None,
    f"The drawings to make. {listed(DRAWINGS)}. Default: all that the models allow; training_curve also needs "
    f"--run_dir. {' and '.join(sorted(WITHOUT_IMAGES))} need no data set.",
)
NUM_IMAGES = flags.DEFINE_integer("num_images", 5, "The number of test images to draw.")
RUN_DIR = flags.DEFINE_string("run_dir", None, "The run directory of the model's training, for the training curve.")
LIST_LAYERS = flags.DEFINE_bool("list_layers", False, "Print each layer's name and shape, and draw nothing.")


def main() -> None:
    """Checks the flags, and draws."""
    count = checked_integer("num_images", NUM_IMAGES.value, least=1, most=MOST_IMAGES)
    for name in DRAW.value or ():
        choose("draw", name, DRAWINGS)
    directory_to_write("output_dir", OUTPUT_DIR.value)
    command_line.check_source()
    run_dir = checked_path("run_dir", RUN_DIR.value) if RUN_DIR.value is not None else None
    record = None if run_dir is None else run_record.read("run_dir", run_dir, GIVE_RUN)
    paths = MODELS.value or command_line.reference_models()
    cards = command_line.checked_cards(paths)
    if LIST_LAYERS.value:
        for card in cards:
            print(card.layer_table())
        return
    drawings = _drawings(paths)
    epochs = _read_epochs(run_dir, record, cards) if run_dir and record and "training_curve" in drawings else []
    command_line.check_one_shape(cards)
    source = None if WITHOUT_IMAGES.issuperset(drawings) else command_line.source_of(cards)
    if source is not None:
        check_disjoint({"output_dir": OUTPUT_DIR.value, "dataset": directory(source)})
    with command_line.loading():
        import numpy as np

        from deconv_ae.data import load_split
        from deconv_ae.pictures.drawing import visualize
        from deconv_ae.pictures.training_curve import draw_training_curve
        from deconv_ae.saved_model.domain import domain_warning
        from deconv_ae.saved_model.serving import ServedAutoencoder
    models = [ServedAutoencoder(path) for path in paths]
    # `visualize` takes images even if no drawing shows them. Without a data set, it gets a black one.
    black_image = np.zeros((1, *cards[0].image_shape), np.uint8)
    images = black_image if source is None else load_split(source, "test")[:count]
    written = visualize(models, images, OUTPUT_DIR.value, drawings)
    if cards[0].baselines is not None:
        curve = checked_path("output_dir", OUTPUT_DIR.value) / "training_curve.png"
        written += draw_training_curve(epochs, cards[0].baselines.mean_image_rmse, [curve])
    print(*_report_lines(written), sep="\n")
    warnings = [] if source is None else [domain_warning(model, images, model.rmse(images)) for model in models]
    if any(warnings):
        print(f"warning: {'; '.join(filter(None, warnings))}", file=sys.stderr)


def _drawings(models: Iterable[str | Path]) -> list[str]:
    """Returns the drawings that --draw names or, without --draw, all that these models allow."""
    if DRAW.value is not None:
        if "training_curve" in DRAW.value and RUN_DIR.value is None:
            raise InputError("run_dir: not given; the training curve shows a run; give the run's directory")
        return DRAW.value
    unavailable = [] if all((Path(model) / KERAS_FILE).exists() for model in models) else [*NEED_KERAS_FILE]
    return [name for name in DRAWINGS if name not in unavailable and (name != "training_curve" or RUN_DIR.value)]


def _read_epochs(run_dir: Path, record: run_record.RunRecord, cards: list[ModelCard]) -> list[history.Epoch]:
    """Reads the training history in `run_dir`; raises InputError unless the run's model is the only one in `cards`."""
    card, options = cards[0], record.options
    run_identity = (options.architecture, options.seed, record.dataset)
    if len(cards) > 1:
        raise InputError(f"run_dir: is for one model, not {len(cards)}; give only the run's model as --model")
    if run_identity != (card.architecture, card.seed, card.dataset.name):
        raise InputError(f"run_dir: {run_dir} holds the run of another model than {card.title}; {GIVE_RUN}")
    if card.baselines is None:
        raise InputError(f"model: {card.title}'s card lacks the RMSE of the mean image; export the model again")
    try:
        return history.read(run_dir)
    except (OSError, ValueError) as error:
        reason = first_line(error)
        raise InputError(f"run_dir: {run_dir / history.FILE_NAME} cannot be read ({reason}); {GIVE_RUN}") from error


def _report_lines(written: Iterable[Path]) -> list[str]:
    """Returns a line for each written file; the pictures imageAutoEncoder_*.png of a directory share one line."""
    counts: dict[Path, int] = {}
    for file in written:
        shown = file.with_name("imageAutoEncoder_*.png") if file.name.startswith("imageAutoEncoder_") else file
        counts[shown] = counts.get(shown, 0) + 1
    return [f"drawn: {file}" + (f", {number} pictures" if number > 1 else "") for file, number in counts.items()]
