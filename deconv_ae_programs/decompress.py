r"""Turns compressed pictures, NAME.dcae, back into pictures, NAME.png.

deconv-ae decompress --model=saved_models/mine --output_dir=pictures \
    small/*.dcae

The program "compress" wrote the files. The model decodes the code and the
switches that a file holds. These are the same on every machine. But processors
may round floats differently in the last bit, so that a few pixels of the
pictures differ by one shade.
"""

from absl import flags

from deconv_ae.compression.container import FileError, unpack
from deconv_ae.compression.files import check_targets, output_paths, read, write_together
from deconv_ae.compression.installed import check_installed
from deconv_ae.errors import InputError
from deconv_ae.paths import directory_to_write
from deconv_ae_programs import command_line

command_line.accept_files()
GIVE_FILES = "give compressed pictures, such as NAME.dcae, after the flags"

MODEL = flags.DEFINE_string("model", None, "The directory of the model that compressed the files.")
OUTPUT_DIR = flags.DEFINE_string("output_dir", "pictures", "The directory for the pictures, created if missing.")
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace files with the same names.")


def main() -> None:
    """Checks the flags, and decompresses."""
    if MODEL.value is None:
        raise InputError("model: not given; pass the directory of an exported model")
    output = directory_to_write("output_dir", OUTPUT_DIR.value)
    command_line.checked_cards([MODEL.value])  # Raises InputError if there is no model to decompress with.
    check_installed()
    files = command_line.files("files", GIVE_FILES)
    targets = output_paths(files, output, ".png")
    check_targets(targets, OVERWRITE.value)
    contents = [read(file) for file in files]
    for file, content in zip(files, contents):
        try:
            unpack(content)
        except FileError as error:
            raise InputError(f"files: {file} {error.reason}") from error
    with command_line.loading():
        from deconv_ae.compression import Compressor
        from deconv_ae.compression.pixels import encode_png
        from deconv_ae.saved_model.serving import ServedAutoencoder
    compressor = Compressor(ServedAutoencoder(MODEL.value))
    try:
        pictures = compressor.pictures_of(contents)
        write_together(output, ((target.name, encode_png(picture)) for target, picture in zip(targets, pictures)))
    except FileError as error:
        raise InputError(f"files: {files[error.number]} {error.reason}") from error
    print(f"decompressed: {len(files):,} pictures, in {output}")
