"""Draws what exported models make of the first few test images: pictures, text and figures.

python scripts/visualize.py --model=saved_models/cmap1_pool4
python scripts/visualize.py --model=saved_models/cmap1_pool4 --model=saved_models/two_layer --output_dir=pictures
python scripts/visualize.py --model=saved_models/cmap1_pool4 --list_layers
"""

import command_line
from absl import flags

from deconv_ae.data import load_split
from deconv_ae.errors import InputError
from deconv_ae.pictures.visualization import visualize
from deconv_ae.saved_model.serving import ServedAutoencoder

flags.adopt_module_key_flags(command_line)

MODELS = flags.DEFINE_multi_string(
    "model", None, "An exported model's directory; repeat it to compare models. Default: all of saved_models/reference."
)
OUTPUT_DIR = flags.DEFINE_string("output_dir", "pictures", "Where everything is drawn to; made if need be.")
NUM_IMAGES = flags.DEFINE_integer("num_images", 5, "How many test images to draw.")
LIST_LAYERS = flags.DEFINE_bool("list_layers", False, "Print every layer's name and shape, and draw nothing.")


def main() -> None:
    if NUM_IMAGES.value < 1:
        raise InputError(f"num_images: {NUM_IMAGES.value} is below 1; give a whole number of 1 or more")
    models = [ServedAutoencoder(path) for path in MODELS.value or command_line.reference_models()]
    if LIST_LAYERS.value:
        for model in models:
            print(model.layer_table())
        return
    images = load_split(command_line.source(default=models[0].card.dataset["name"]), "test")
    for figure in visualize(models, images[: NUM_IMAGES.value], OUTPUT_DIR.value):
        print(f"drawn: {figure}")


if __name__ == "__main__":
    command_line.run(main)
