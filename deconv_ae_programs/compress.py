r"""Compresses pictures with an exported model, each into a small file.

deconv-ae compress --model=saved_models/mine --output_dir=small \
    photo.png drawing.jpg

The file NAME.dcae holds the quantised code and the switches of NAME.png. The
program "decompress" turns NAME.dcae back into a picture. The entropy coder
needs probabilities. Run the program once with --learn to learn them from the
training pictures of --dataset, by default of the model's own data set, and to
store them in the model's directory:

deconv-ae compress --model=saved_models/mine --learn
deconv-ae compress --model=saved_models/mine --learn \
    --dataset=folder:photos
"""

from collections.abc import Iterator

from absl import flags

from deconv_ae.compression.container import RATE_COUNT
from deconv_ae.compression.files import ENDING, check_targets, output_paths, write_together
from deconv_ae.compression.installed import check_installed
from deconv_ae.data.source import Source
from deconv_ae.errors import InputError
from deconv_ae.numbers import checked_integer
from deconv_ae.paths import checked_path, directory_to_write
from deconv_ae_programs import command_line

flags.adopt_module_key_flags(command_line)
command_line.accept_files()
GIVE_PICTURES = "give picture files after the flags"
SINGLE_PICTURE_FLAGS = {"background", "load_truncated_images", "max_pixels"}
"""The flags for reading images that also apply to a single picture. The others are for --learn only, because they
concern a data set, or the size and the colours of its images. A single picture keeps its size and gets the model's
channels."""

MODEL = flags.DEFINE_string("model", None, "The directory of an exported model.")
OUTPUT_DIR = flags.DEFINE_string("output_dir", "compressed", "The directory for the files, created if missing.")
QUALITY = flags.DEFINE_integer("quality", 3, f"The quality, from 1 (the smallest files) to {RATE_COUNT}.")
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace files with the same names.")
LEARN = flags.DEFINE_bool(
    "learn",
    False,
    "Learn the probabilities from the training pictures of --dataset, and store them in the model's directory.",
)


def main() -> None:
    """Checks the flags, and compresses pictures or, with --learn, learns the entropy coder's probabilities."""
    if MODEL.value is None:
        raise InputError("model: not given; pass the directory of an exported model")
    quality = checked_integer("quality", QUALITY.value, least=1, most=RATE_COUNT)
    output = checked_path("output_dir", OUTPUT_DIR.value)
    _check_flag_combination()
    if not LEARN.value:
        directory_to_write("output_dir", output)
    command_line.check_source()
    (card,) = command_line.checked_cards([MODEL.value])
    check_installed()
    if LEARN.value:
        _learn_probabilities(MODEL.value, command_line.source_of([card]))
        return
    pictures = command_line.files("pictures", GIVE_PICTURES)
    targets = output_paths(pictures, output, ENDING)
    check_targets(targets, OVERWRITE.value)
    with command_line.loading():
        from deconv_ae.compression import Compressor
        from deconv_ae.compression.pixels import picture_groups
        from deconv_ae.saved_model.serving import ServedAutoencoder
    compressor = Compressor(ServedAutoencoder(MODEL.value))
    reading_options = command_line.reading_options(card)
    pixel_count = 0

    def contents() -> Iterator[bytes]:
        nonlocal pixel_count
        for images in picture_groups(pictures, card.image_shape[2], reading_options):
            pixel_count += sum(image.shape[0] * image.shape[1] for image in images)
            yield from compressor.compress_all(images, quality)

    size = write_together(output, zip((target.name for target in targets), contents()))
    bits_a_pixel = 8 * size / pixel_count
    print(f"compressed: {len(targets):,} pictures to {size:,} bytes, {bits_a_pixel:.3f} bits a pixel, in {output}")


def _check_flag_combination() -> None:
    """Raises InputError for pictures and flags that --learn would ignore, and for data set flags that need --learn."""
    if LEARN.value:
        for holder in (OUTPUT_DIR, QUALITY, OVERWRITE):
            if holder.present:
                raise InputError(f"{holder.name}: is for compressing pictures; leave it out, or leave out --learn")
        if command_line.has_files():
            raise InputError("learn: pictures are given as well; leave them out, and compress them afterwards")
        return
    for flag in flags.FLAGS.get_key_flags_for_module(command_line):
        if flag.present and flag.name not in SINGLE_PICTURE_FLAGS:
            raise InputError(f"{flag.name}: is for --learn; {GIVE_PICTURES}, and leave it out")


def _learn_probabilities(model: str, source: Source) -> None:
    with command_line.loading():
        from deconv_ae.compression import learn_probabilities
        from deconv_ae.data import load_split
        from deconv_ae.saved_model.serving import ServedAutoencoder
    file = learn_probabilities(ServedAutoencoder(model), load_split(source, "train"))
    print(f"learnt: {file}, {file.stat().st_size:,} bytes")
