"""What there is to draw of a model, as data."""

DRAWINGS = {
    "pictures": "imageAutoEncoder_<i>__input.png, __encoding.png and __output.png of every image",
    "text": "codes, switches and reconstructions as numbers, an image a line",
    "autoencoder": "the images, their codes and their reconstructions",
    "errors": "where the reconstructions are off",
    "switches": "where every stage's maxima lay, and what is drawn when that is lost",
    "kernels": "what the convolutions have learnt",
    "training_curve": "the RMSE by epoch, of the run in --run_dir",
    "comparison": "reconstructions beside each other, of several models",
}
MOST_EXPLAINED = 10
"""Images in the figures of errors and switches: their rows are many, and more columns took minutes to lay out."""
MOST_IMAGES = 250
"""Of a figure: of more, matplotlib could draw none as large as one sees anything in."""
