"""Draws what exported models make of the first few test images.

python scripts/visualize.py --model=saved_models/mine
python scripts/visualize.py --model=saved_models/mine --list_layers

Several models side by side, and pictures of your own:

python scripts/visualize.py --model=saved_models/mine --model=saved_models/other
python scripts/visualize.py --model=saved_models/mine \\
    --dataset=folder:photos --image_size=64 --output_dir=pictures/mine
"""

import command_line
from absl import flags

from deconv_ae.numbers import whole
from deconv_ae.paths import check_apart, directory_to_write
from deconv_ae.pictures.drawings import MOST_IMAGES

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
    paths = MODELS.value or command_line.reference_models()
    cards = command_line.cards(paths)
    if LIST_LAYERS.value:
        for card in cards:
            print(card.layer_table())
        return
    source = command_line.source_of(cards[0])
    check_apart({"output_dir": OUTPUT_DIR.value, "dataset": source.folder})
    with command_line.loading():
        from deconv_ae.data import load_split
        from deconv_ae.pictures.visualization import visualize
        from deconv_ae.saved_model.serving import ServedAutoencoder
    models = [ServedAutoencoder(path) for path in paths]
    images = load_split(source, "test")
    for figure in visualize(models, images[:count], OUTPUT_DIR.value):
        print(f"drawn: {figure}")


if __name__ == "__main__":
    command_line.run(main)
