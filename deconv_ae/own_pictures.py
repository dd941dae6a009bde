"""From an array of one's own pictures to a trained autoencoder and its SavedModel: what the programs do, in Python."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from deconv_ae.data import ImageDataset
from deconv_ae.data.pixels import check_images
from deconv_ae.data.split import which_are_for_testing
from deconv_ae.errors import InputError, RunError
from deconv_ae.model.architecture import Architecture
from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.options import switch
from deconv_ae.paths import is_plain
from deconv_ae.records import LONGEST_NAME
from deconv_ae.saved_model import exporting
from deconv_ae.saved_model.model_card import ModelCard
from deconv_ae.training import TrainingOptions, TrainingResult
from deconv_ae.training import train as train_on_dataset


@dataclass(frozen=True, eq=False)
class TrainedAutoencoder:
    """What `train` returns: a model, how good it is, and the way to its SavedModel.

    Attributes:
        result: the training's.
        dataset: the images that it was trained and tested on.
    """

    result: TrainingResult
    dataset: ImageDataset

    @property
    def model(self) -> Autoencoder:
        """The Keras model, with `model.encoder` and `model.decoder`; takes pixels / 256 as float32."""
        return self.result.model

    @property
    def training_rmse(self) -> float:
        """Mean per-image RMSE over the training images, in the scale of pixels / 256."""
        return self.result.training_rmse

    @property
    def test_rmse(self) -> float:
        """The same over the images that it was not trained on."""
        return self.result.test_rmse

    @property
    def problem(self) -> str | None:
        """What speaks against keeping the model, in a line: it is no better on the test images than their mean
        training image, or the loss rose over the run. None if nothing does. `print(trained.result)` says how good
        it is beside the mean image and black, and whether channels of its code are silent."""
        return self.result.problem

    def export(self, export_dir: str | Path, overwrite: bool = False, anyway: bool = False) -> ModelCard:
        """Writes the SavedModel, `autoencoder.keras` and `model_card.json`, all of them or none.

        Args:
            export_dir: where to.
            overwrite: whether to replace a model that is there.
            anyway: whether to write a model that has a `problem`.

        Raises:
            InputError: if something is there already and `overwrite` is false, or it is no model.
            RunError: if the model has a `problem` and `anyway` is false, or it cannot be written.
        """
        if self.problem and not anyway:
            raise RunError(f"{self.problem}; train it otherwise, or take it as it is with export(..., anyway=True)")
        return exporting.export(self.result, self.dataset, str(export_dir), overwrite=overwrite)


def train(
    images: np.ndarray,
    filters: Any,
    pool_sizes: Any,
    kernel_size: Any = 5,
    averages: Any = 0,
    test_images: np.ndarray | None = None,
    name: str = "array",
    verbose: bool = True,
    **options: Any,
) -> TrainedAutoencoder:
    """Trains an autoencoder on pictures in an array.

    A model that came to nothing, see `TrainedAutoencoder.problem`, is returned as well, to be looked at, with a
    UserWarning; its `export` refuses.

    Args:
        images: `(N, height, width, channels)` uint8, grey or in colour.
        filters: of each stage's convolution, outermost first: `(16, 8)`; an int is one stage.
        pool_sizes: each stage's pooling window: `(2, 2)`, or (height, width) pairs; an int is one stage.
        kernel_size: of every convolution, an int or (height, width).
        averages: weighted averages of each block in the code, beside the maxima; for photographs.
        test_images: the same for testing. Left out, one of every five of `images` is kept back for it, always the
            same; where several pictures are of one scene, or crops of one photograph, give those of some scenes here.
        name: what the model card calls the pictures.
        verbose: whether to print progress.
        **options: any other field of `deconv_ae.training.TrainingOptions`: `epochs`, `batch_size`, `learning_rate`,
            `seed`, `recipe`, `run_dir` and so on.

    Raises:
        InputError: for arrays, an architecture or options that cannot be used, with what to do about it.
        RunError: if the training fails.

    >>> import numpy as np
    >>> import deconv_ae
    >>> images = np.random.default_rng(0).integers(0, 256, (60, 12, 12, 3), np.uint8)
    >>> trained = deconv_ae.train(images, filters=4, pool_sizes=2, epochs=1, verbose=False)
    >>> trained.model.output_shape, 0 < trained.test_rmse < 1
    ((None, 12, 12, 3), True)
    >>> deconv_ae.train(images / 255, filters=4, pool_sizes=2)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    deconv_ae.errors.InputError: images: pixels are float64, not uint8; they are from 0 to 1: ...
    """
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"KERAS_BACKEND: training needs tensorflow, not {keras.backend.backend()!r}; unset it. The layers, and the "
            "model under model.fit, work on every backend"
        )
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not is_plain(name):
        shown = ascii(name) if len(ascii(name)) <= 40 else f"{ascii(name)[:37]}..."
        raise InputError(f"name: {shown} cannot stand in a model card; give a word or two")
    check_images("images", images)
    if test_images is None:
        if len(images) < 2:
            raise InputError("images: one image cannot be divided; give more, or test_images")
        # By their numbers, as a folder's pictures by their names: those that are added change nothing.
        for_testing = np.array(which_are_for_testing([str(number) for number in range(len(images))]))
        images, test_images = images[~for_testing], images[for_testing]
    dataset = ImageDataset(name, images, test_images)
    switch("verbose", verbose)
    architecture = Architecture(_by_stage(filters), _by_stage(pool_sizes), kernel_size, averages=averages)
    try:
        training_options = TrainingOptions(architecture, **options)
    except TypeError as error:
        raise InputError(
            f"options: {error}; see deconv_ae.training.TrainingOptions for those that there are"
        ) from error
    trained = TrainedAutoencoder(train_on_dataset(dataset, training_options, verbose=verbose), dataset)
    if trained.problem:
        warnings.warn(trained.problem, stacklevel=2)
    return trained


def _by_stage(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list, np.ndarray)) and np.ndim(value) else [value]
