"""Draws what exported models make of the first few test images: pictures, text and figures.

python scripts/visualize.py --model=saved_models/cmap1_pool4
python scripts/visualize.py --model=saved_models/cmap1_pool4 --model=saved_models/two_layer --output_dir=pictures
python scripts/visualize.py --model=saved_models/cmap1_pool4 --list_layers
"""

import command_line
from absl import flags

from deconv_ae.data import load_split
from deconv_ae.numbers import whole
from deconv_ae.paths import check_apart, directory_to_write
from deconv_ae.pictures.visualization import MOST_IMAGES, visualize
from deconv_ae.saved_model.serving import ServedAutoencoder

flags.adopt_module_key_flags(command_line)

MODELS = flags.DEFINE_multi_string(
    "model",
    None,
    "An exported model's directory; repeat it to compare models. Default: the presets' in saved_models/reference.",
)
OUTPUT_DIR = flags.DEFINE_string("output_dir", "pictures", "Where everything is drawn to; made if need be.")
NUM_IMAGES = flags.DEFINE_integer("num_images", 5, "How many test images to draw.")
LIST_LAYERS = flags.DEFINE_bool("list_layers", False, "Print every layer's name and shape, and draw nothing.")


def main() -> None:
    count = whole("num_images", NUM_IMAGES.value, least=1, most=MOST_IMAGES)
    directory_to_write("output_dir", OUTPUT_DIR.value)
    command_line.check_source()
    models = [ServedAutoencoder(path) for path in MODELS.value or command_line.reference_models()]
    if LIST_LAYERS.value:
        for model in models:
            print(model.layer_table())
        return
    source = command_line.source_of(models[0].card)
    check_apart({"output_dir": OUTPUT_DIR.value, "dataset": source.folder})
    images = load_split(source, "test")
    for figure in visualize(models, images[:count], OUTPUT_DIR.value):
        print(f"drawn: {figure}")


if __name__ == "__main__":
    command_line.run(main)
