"""Prints the RMSE of an exported model on both splits of a data set, and what it makes of an image in bits.

python scripts/evaluate.py --model=saved_models/cmap1_pool4
"""

import command_line
from absl import flags

from deconv_ae.data import SPLITS, load_split
from deconv_ae.errors import InputError
from deconv_ae.saved_model.serving import ServedAutoencoder

flags.adopt_module_key_flags(command_line)

MODEL = flags.DEFINE_string("model", None, "The directory of an exported model.")


def main() -> None:
    if MODEL.value is None:
        raise InputError("model: not given; pass the directory of an exported model")
    command_line.check_source()
    model = ServedAutoencoder(MODEL.value)
    source = command_line.source(default=model.card.dataset["name"])
    for split in SPLITS:
        images = load_split(source, split)
        print(f"{split + ' RMSE':<24}{model.rmse(images):.6f}  over {len(images):,} images of {source.name}")
    print(model.size_table())


if __name__ == "__main__":
    command_line.run(main)
