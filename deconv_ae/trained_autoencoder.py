"""`deconv_ae.load` and `deconv_ae.train`: a trained autoencoder as an object that takes and gives uint8 pixels."""

import warnings
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from deconv_ae.data import FOLDER_PREFIX, ImageDataset, Source, load_dataset, to_pixels
from deconv_ae.data.pixels import check_images
from deconv_ae.data.split import which_are_for_testing
from deconv_ae.errors import InputError, RunError, first_line
from deconv_ae.model.architecture import Architecture
from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.model.objective import PerImageRMSE, PerImageRMSELoss
from deconv_ae.options import switch
from deconv_ae.paths import is_plain
from deconv_ae.records import LONGEST_NAME
from deconv_ae.saved_model import exporting, signatures
from deconv_ae.saved_model.evaluation import Evaluation, evaluate, evaluate_images
from deconv_ae.saved_model.keras_file import read_keras_model
from deconv_ae.saved_model.model_card import ModelCard, model_directory
from deconv_ae.saved_model.serving import Encoded, ServedAutoencoder, SignatureAutoencoder
from deconv_ae.training import TrainingOptions, TrainingResult
from deconv_ae.training import train as train_on_dataset
from deconv_ae.training.history import Epoch

if TYPE_CHECKING:
    from deconv_ae.compression import Compressor


class TrainedAutoencoder:
    """A trained autoencoder: `load` gives one, and `train` one that can be exported. Images are uint8 pixels, 0 to 255,
    `(N, height, width, channels)`; they are scaled inside, and floats are refused.

    Attributes:
        name: what people call it.
        card: what is known of it, as it was exported or trained.
        keras_model: the Keras model, compiled with Adam and the per-image RMSE, ready to `fit`. It takes and gives
            float32 in [0, 1), pixels / 256. All methods but `compress` and `decompress` use its weights as they are.
    """

    def __init__(self, name: str, card: ModelCard, keras_model: Autoencoder, path: Path | None = None) -> None:
        self.name = name
        self.card = card
        self.keras_model = keras_model
        self._path = path
        keras_model.compile(optimizer="adam", loss=PerImageRMSELoss(), metrics=[PerImageRMSE()])

    def encode(self, images: np.ndarray) -> Encoded:
        """The `code`, float32, and the `switches`, a tuple of one uint8 array for each pooling.

        Raises:
            InputError: for images that are not uint8, or not of the model's shape.
        """
        return self._by_signatures.encode(images)

    def decode(self, encoded: Encoded) -> np.ndarray:
        """The pixels that the decoder draws of what `encode` gave: `dataclasses.replace(encoded, code=...)` changes it.

        Raises:
            InputError: for arrays of other shapes or types, or switches outside of their windows.
        """
        specs = signatures.encoded_specs(self.card.architecture, self.card.image_shape)
        for name, values in encoded.named().items():
            spec = specs[name]
            if values.dtype != spec.dtype.as_numpy_dtype or values.shape[1:] != tuple(spec.shape[1:]):
                raise InputError(
                    f"{name}: {values.dtype} of shape {values.shape[1:]} each, and the decoder takes {spec.dtype.name} "
                    f"of {tuple(spec.shape[1:])}"
                )
        try:
            return to_pixels(self._by_signatures.decode(encoded))
        except tf.errors.InvalidArgumentError as error:
            raise InputError(f"switches: {first_line(error)}; give positions inside of the pooling windows") from error

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """The pixels that the decoder draws of what the encoder makes of images. Raises as `encode`."""
        return np.concatenate([to_pixels(drawn.numpy()) for _, drawn in self._by_signatures.reconstructed(images)])

    def evaluate(self, images: np.ndarray | str | Path) -> Evaluation:
        """How good it is; `print(model.evaluate(images).table())` shows it.

        Args:
            images: an array; or a folder of pictures, which are brought to the model's size and
                colours, and divided into training and test images as `train` divides them.

        Raises:
            InputError: as `encode`, or if the folder cannot be read.
        """
        if isinstance(images, np.ndarray):
            return evaluate_images(self._by_signatures, images)
        dataset = load_dataset(self.card.source(f"{FOLDER_PREFIX}{images}"))
        return evaluate(self._by_signatures, dataset.train, dataset.test)

    def plot(self, images: np.ndarray) -> Any:
        """A matplotlib Figure of images, their codes and their reconstructions; a notebook shows it by itself.
        Raises as `encode`."""
        from deconv_ae.pictures.visualization import model_figure, view

        return model_figure(view(self._by_signatures, images))

    def compress(self, image: np.ndarray, quality: int = 3) -> bytes:
        """A small file of one picture of any size, by the model's files as they were exported; see `Compressor`."""
        return self._compressor.compress(image, quality)

    def decompress(self, file: bytes) -> np.ndarray:
        """The pixels of such a file, `(height, width, channels)` uint8."""
        return self._compressor.decompress(file)

    @cached_property
    def _by_signatures(self) -> SignatureAutoencoder:
        functions = signatures.traced(signatures.functions(self.keras_model), self.keras_model)
        return SignatureAutoencoder(self.name, self.card, functions)

    @cached_property
    def _compressor(self) -> "Compressor":
        from deconv_ae.compression.installed import check_installed

        if self._path is None:
            raise InputError("model: is in no directory yet; export it, learn its probabilities, and load it")
        check_installed()
        from deconv_ae.compression import Compressor

        return Compressor(ServedAutoencoder(self._path))

    def __repr__(self) -> str:
        size = "x".join(map(str, self.card.image_shape))
        return f"<{type(self).__name__} {self.name}: {self.card.title}; images of {size}>"


class NewAutoencoder(TrainedAutoencoder):
    """What `train` returns: a `TrainedAutoencoder`, how good it is, and the way to its SavedModel.

    Attributes:
        result: the training's.
        dataset: the images that it was trained and tested on.
    """

    def __init__(self, result: TrainingResult, dataset: ImageDataset) -> None:
        super().__init__(dataset.name, exporting.make_card(result, dataset), result.model)
        self.result = result
        self.dataset = dataset

    @property
    def history(self) -> list[Epoch]:
        """The RMSE by epoch, from before the first."""
        return self.result.history

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


def load(directory: str | Path) -> TrainedAutoencoder:
    """An exported model, as an object that takes and gives uint8 pixels.

    It has `encode`, `decode`, `reconstruct`, `evaluate`, `plot`, `compress` and `decompress`, `card` and `keras_model`:
    see `TrainedAutoencoder`.

    Args:
        directory: the exported model's.

    Raises:
        InputError: if it is missing, damaged or some other model, or Keras runs on another backend than TensorFlow.

    >>> import tempfile
    >>> import numpy as np
    >>> import deconv_ae
    >>> images = np.random.default_rng(0).integers(0, 256, (60, 12, 12, 3), np.uint8)
    >>> directory = tempfile.mkdtemp() + "/mine"
    >>> card = deconv_ae.train(images, filters=4, pool_sizes=2, epochs=1, verbose=False).export(directory)
    >>> model = deconv_ae.load(directory)
    >>> encoded = model.encode(images)
    >>> encoded.code.shape, encoded.switches[0].dtype, model.decode(encoded).dtype
    ((60, 6, 6, 4), dtype('uint8'), dtype('uint8'))
    >>> bool((model.reconstruct(images) == model.decode(encoded)).all())
    True
    >>> model.encode(images / 256)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    deconv_ae.errors.InputError: images: pixels are float64, not uint8; they are from 0 to ...
    """
    _check_backend()
    path = model_directory(directory)
    card = ModelCard.read(path)
    return TrainedAutoencoder(path.resolve().name, card, read_keras_model(path, card), path)


def _check_backend() -> None:
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"KERAS_BACKEND: training and loading need tensorflow, not {keras.backend.backend()!r}; unset it. The "
            "layers, and the model under model.fit, work on every backend"
        )


def train(
    images: np.ndarray | str | Path,
    filters: Any,
    pool_sizes: Any,
    kernel_size: Any = 5,
    averages: Any = 0,
    test_images: np.ndarray | None = None,
    name: str = "array",
    verbose: bool = True,
    **options: Any,
) -> NewAutoencoder:
    """Trains an autoencoder on pictures in an array or a folder.

    A model that came to nothing, see `NewAutoencoder.problem`, is returned as well, to be looked at, with a
    UserWarning; its `export` refuses.

    Args:
        images: `(N, height, width, channels)` uint8, grey or in colour; or a folder of pictures of one size,
            with `train/` and `test/` in it or divided by their names.
        filters: of each stage's convolution, outermost first: `(16, 8)`; an int is one stage.
        pool_sizes: each stage's pooling window: `(2, 2)`, or (height, width) pairs; an int is one stage.
        kernel_size: of every convolution, an int or (height, width).
        averages: weighted averages of each block in the code, beside the maxima; for photographs.
        test_images: the same for testing. Left out, one of every five of `images` is kept back for it, always the
            same; where several pictures are of one scene, or crops of one photograph, give those of some scenes here.
        name: what the model card calls the pictures.
        verbose: whether to print progress.
        **options: any other field of `deconv_ae.training.TrainingOptions`: `epochs`, `batch_size`, `learning_rate`,
            `seed`, `recipe` and so on. With `run_dir`, a run is kept there, and the same call with `resume=True`
            goes on from its last checkpoint, also to more `epochs`.

    Raises:
        InputError: for arrays, an architecture or options that cannot be used, with what to do about it.
        RunError: if the training fails.

    >>> import numpy as np
    >>> import deconv_ae
    >>> images = np.random.default_rng(0).integers(0, 256, (60, 12, 12, 3), np.uint8)
    >>> trained = deconv_ae.train(images, filters=4, pool_sizes=2, epochs=1, verbose=False)
    >>> trained.keras_model.output_shape, 0 < trained.test_rmse < 1
    ((None, 12, 12, 3), True)
    >>> deconv_ae.train(images / 255, filters=4, pool_sizes=2)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    deconv_ae.errors.InputError: images: pixels are float64, not uint8; they are from 0 to 1: ...
    """
    _check_backend()
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not is_plain(name):
        shown = ascii(name) if len(ascii(name)) <= 40 else f"{ascii(name)[:37]}..."
        raise InputError(f"name: {shown} cannot stand in a model card; give a word or two")
    dataset = _dataset(images, test_images, name)
    switch("verbose", verbose)
    architecture = Architecture(_by_stage(filters), _by_stage(pool_sizes), kernel_size, averages=averages)
    try:
        training_options = TrainingOptions(architecture, **options)
    except TypeError as error:
        raise InputError(
            f"options: {error}; see deconv_ae.training.TrainingOptions for those that there are"
        ) from error
    trained = NewAutoencoder(train_on_dataset(dataset, training_options, verbose=verbose), dataset)
    if trained.problem:
        warnings.warn(trained.problem, stacklevel=2)
    return trained


def _dataset(images: Any, test_images: np.ndarray | None, name: str) -> ImageDataset:
    if isinstance(images, (str, Path)):
        if test_images is not None:
            raise InputError("test_images: are given with a folder; put them into its folder test")
        return load_dataset(Source(f"{FOLDER_PREFIX}{images}"))
    check_images("images", images)
    if test_images is None:
        if len(images) < 2:
            raise InputError("images: one image cannot be divided; give more, or test_images")
        # By their numbers, as a folder's pictures by their names: those that are added change nothing.
        for_testing = np.array(which_are_for_testing([str(number) for number in range(len(images))]))
        images, test_images = images[~for_testing], images[for_testing]
    return ImageDataset(name, images, test_images)


def _by_stage(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list, np.ndarray)) and np.ndim(value) else [value]
