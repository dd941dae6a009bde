"""Prints how good an exported model is, and what it makes of an image in bits.

RMSE is each image's, averaged over images, pixels from 0 to 1; PSNR is
20 log10(1 / RMSE) of each image, averaged. Beside them stands the test RMSE of
the mean training image, the best without a model, and of black.

deconv-ae evaluate --model=saved_models/mine
deconv-ae evaluate --model=saved_models/mine --dataset=folder:photos
"""

from absl import flags

from deconv_ae.errors import InputError
from deconv_ae_programs import command_line

flags.adopt_module_key_flags(command_line)

MODEL = flags.DEFINE_string("model", None, "The directory of an exported model.")


def main() -> None:
    if MODEL.value is None:
        raise InputError("model: not given; pass the directory of an exported model")
    command_line.check_source()
    source = command_line.source_of(command_line.cards([MODEL.value]))
    with command_line.loading():
        from deconv_ae.data import load_dataset
        from deconv_ae.saved_model.evaluation import compared, evaluate
        from deconv_ae.saved_model.serving import ServedAutoencoder
    model = ServedAutoencoder(MODEL.value)
    dataset = load_dataset(source)
    print(dataset)
    print(evaluate(model, dataset.train, dataset.test).table())
    print(compared(model.card, dataset))
    print(model.size_table())
