"""The drawings that exist, by their names."""

DRAWINGS = {
    "pictures": "imageAutoEncoder_<i>__input.png, __encoding.png and __output.png of every image",
    "text": "codes, switches and reconstructions as numbers, one line for each image",
    "autoencoder": "the images, their codes and their reconstructions",
    "errors": "the error of each reconstruction, by pixel",
    "switches": "the place of every stage's maxima, and the reconstruction without these places",
    "kernels": "the weights of the convolutions",
    "training_curve": "the RMSE by epoch, of the run in --run_dir",
    "comparison": "the reconstructions of several models, side by side",
}
MOST_EXPLAINED = 10
"""The most images in the figures of errors and switches, which have a column for each image."""
MOST_IMAGES = 250
"""The most images in a figure. matplotlib cannot draw more of them at a size that one can see."""
