r"""Prints the quality of an exported model, and the size of its codes in bits.

RMSE, PSNR and SSIM are computed for each image and averaged over images. Pixels
are from 0 to 1; PSNR is 20 log10(1 / RMSE). For comparison, the program prints
the test RMSE of black, of the mean training image and of thumbnails, and the
size and the RMSE of JPEG and WebP files. None of these needs a model.

deconv-ae evaluate --model=saved_models/mine
deconv-ae evaluate --model=saved_models/mine --dataset=folder:photos

With --rate, the program compresses test pictures with one or more models and
compares them with JPEG, WebP, PNG and thumbnails. It prints a table, and draws
a figure of the files' sizes and the pictures' quality:

deconv-ae evaluate --rate --model=saved_models/mine \
    --model=saved_models/other --output_dir=pictures/rate
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from deconv_ae.compression.installed import check_installed
from deconv_ae.data.kinds import directory, short_name
from deconv_ae.data.source import Source
from deconv_ae.errors import InputError
from deconv_ae.paths import check_disjoint, checked_path, directory_to_write
from deconv_ae_programs import command_line

flags.adopt_module_key_flags(command_line)

MODEL = flags.DEFINE_multi_string(
    "model", None, "The directory of an exported model; with --rate, repeat the flag to compare models"
)
COMPARES_FILES = flags.DEFINE_bool(
    "rate", False, "Compress test pictures with the models, compare the files with other formats, and draw a figure."
)
OUTPUT_DIR = flags.DEFINE_string("output_dir", "pictures", "The directory for --rate's figure, created if missing.")


def main() -> None:
    """Checks the flags, and evaluates a model or, with --rate, compares models' compressed files."""
    if MODEL.value is None:
        raise InputError("model: not given; pass the directory of an exported model")
    if COMPARES_FILES.value or OUTPUT_DIR.present:
        directory_to_write("output_dir", OUTPUT_DIR.value)
    command_line.check_source()
    cards = command_line.checked_cards(MODEL.value)
    if len(cards) > 1 and not COMPARES_FILES.value:
        raise InputError("model: several given; give one, or --rate to compare their files")
    source = command_line.source_of(cards)
    if COMPARES_FILES.value:
        check_installed()
        check_disjoint({"output_dir": OUTPUT_DIR.value, "dataset": directory(source)})
        _compare_files(MODEL.value, source, checked_path("output_dir", OUTPUT_DIR.value))
    else:
        _evaluate(MODEL.value[0], source)


def _evaluate(model_dir: str, source: Source) -> None:
    with command_line.loading():
        from deconv_ae.data import load_dataset
        from deconv_ae.saved_model.domain import domain_warning
        from deconv_ae.saved_model.evaluation import comparison_with_card, evaluate
        from deconv_ae.saved_model.serving import ServedAutoencoder
    model = ServedAutoencoder(model_dir)
    dataset = load_dataset(source)
    print(dataset)
    evaluation = evaluate(model, dataset.train, dataset.test)
    print(evaluation.table())
    print(comparison_with_card(model.card, dataset))
    print(model.size_table())
    warning = domain_warning(model, dataset.test, evaluation.rmse["test"])
    if warning:
        print(f"warning: {warning}", file=sys.stderr)


def _compare_files(model_dirs: Sequence[str], source: Source, output: Path) -> None:
    with command_line.loading():
        from deconv_ae.compression import Compressor
        from deconv_ae.compression.rate_distortion import rate_distortion, table
        from deconv_ae.data import load_split
        from deconv_ae.pictures.rate_distortion import draw_rate_distortion
        from deconv_ae.saved_model.serving import ServedAutoencoder
    models = [ServedAutoencoder(model_dir) for model_dir in model_dirs]
    by_name = {model.name: model for model in models}
    if len(by_name) < len(models):
        raise InputError("model: two have the same name; give directories with different names")
    compressors = [(name, Compressor(model)) for name, model in by_name.items()]
    curves = rate_distortion(compressors, load_split(source, "test"))
    print(table(curves))
    print(f"drawn: {draw_rate_distortion(curves, short_name(source.name), output)}")
