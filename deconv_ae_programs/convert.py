r"""Converts an exported model for other runtimes.

The program writes files for the whole autoencoder, for its encoder and for its
decoder.

deconv-ae convert --model=saved_models/mine --format=onnx,litert

For single pictures, ONNX Runtime and LiteRT take a seventh of the
SavedModel's time or less, and OpenVINO mostly a quarter or less. For batches
of a thousand, no runtime is the fastest for every model.

Each file is checked on test pictures, by default those of the model's data set.
This command converts, and checks the files on your own pictures instead,
brought to the model's size and colours:

deconv-ae convert --model=saved_models/mine \
    --dataset=folder:photos --output_dir=converted/mine
"""

from absl import flags

from deconv_ae.conversion.formats import FORMATS, check_formats
from deconv_ae.data.kinds import directory
from deconv_ae.errors import InputError
from deconv_ae.paths import check_disjoint, directory_to_write
from deconv_ae_programs import command_line

flags.adopt_module_key_flags(command_line)

MODEL = flags.DEFINE_string("model", None, "The directory of an exported model.")
FORMAT = flags.DEFINE_list("format", None, f"The formats: any of {', '.join(FORMATS)}. Default: all of them.")
OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", "converted", "The directory for the files, with a folder for each format."
)


def main() -> None:
    """Checks the flags, and converts."""
    if MODEL.value is None:
        raise InputError("model: not given; pass the directory of an exported model")
    formats = list(FORMATS) if FORMAT.value is None else FORMAT.value
    directory_to_write("output_dir", OUTPUT_DIR.value)
    command_line.check_source()
    check_formats(formats)
    source = command_line.source_of(command_line.checked_cards([MODEL.value]))
    check_disjoint({"output_dir": OUTPUT_DIR.value, "dataset": directory(source)})
    with command_line.loading():
        from deconv_ae import conversion
        from deconv_ae.data import load_split
    with command_line.quiet():
        calibration_images, test_images = load_split(source, "train"), load_split(source, "test")
        written = conversion.convert(MODEL.value, formats, OUTPUT_DIR.value, test_images, calibration_images)
    print(conversion.table(written))
