"""`deconv_ae.load` and `deconv_ae.train`: a trained autoencoder as an object that takes and returns uint8 pixels."""

import math
import warnings
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_ae.data import ImageDataset, Source, load_dataset, to_pixels
from deconv_ae.data.kinds import FOLDER, short_name
from deconv_ae.data.pixels import check_images
from deconv_ae.data.source import ONLY_FOR_TFDS
from deconv_ae.data.split import which_are_for_testing
from deconv_ae.errors import InputError, RunError
from deconv_ae.model.architecture import Architecture
from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.model.objective import PerImageRMSE, PerImageRMSELoss
from deconv_ae.ops.environment import BACKEND, without_gradients
from deconv_ae.options import checked_boolean, options_of
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


ARRAY = "array"
"""The name of images from an array, unless the caller gives one."""


class TrainedAutoencoder:
    """A trained autoencoder. `load` returns one; `train` returns a `NewAutoencoder`, which can also be exported.

    Images are uint8 pixels, 0 to 255, `(N, height, width, channels)`. The methods scale them, and refuse floats.

    Args:
        name: a name for people.
        card: the model card, of the export or of the training.
        keras_model: the Keras model, which `__init__` compiles.
        path: the directory that `load` read the model from; None for a model from `train`, even after its export.

    Attributes:
        name: a name for people.
        card: the model card.
        keras_model: the Keras model, compiled with Adam and the per-image RMSE, ready to `fit`. It takes and returns
            float32 in [0, 1), pixels / 256. All methods but `compress` and `decompress` use its current weights.
    """

    def __init__(self, name: str, card: ModelCard, keras_model: Autoencoder, path: Path | None = None) -> None:
        self.name = name
        self.card = card
        self.keras_model = keras_model
        self._path = path
        keras_model.compile(optimizer="adam", loss=PerImageRMSELoss(), metrics=[PerImageRMSE()])

    def encode(self, images: np.ndarray) -> Encoded:
        """Returns the `code`, float32, and the `switches`, a tuple of one uint8 array per pooling.

        Args:
            images: `(N, height, width, channels)` uint8.

        Returns:
            Code and switches.

        Raises:
            InputError: if images are not uint8 or do not have the model's shape, or if there are none.
        """
        return self._signature_autoencoder.encode(images)

    def decode(self, encoded: Encoded) -> np.ndarray:
        """Decodes the result of `encode`. `dataclasses.replace(encoded, code=...)` makes a copy with another code.

        Args:
            encoded: code and switches.

        Returns:
            The pixels, `(N, height, width, channels)` uint8.

        Raises:
            InputError: if `encoded` is no `Encoded`, or has arrays of other shapes or types, a code that is not finite,
                or switches outside of their windows.
        """
        self._check_encoded(encoded)
        return to_pixels(self._signature_autoencoder.decode(encoded))

    def _check_encoded(self, encoded: Encoded) -> None:
        if not isinstance(encoded, Encoded):
            raise InputError(f"encoded: is of type {type(encoded).__name__}; give the result of `encode`")
        architecture = self.card.architecture
        specs = signatures.encoded_specs(architecture, self.card.image_shape)
        if len(encoded.switches) != len(architecture.pool_sizes):
            raise InputError(
                f"switches: the number of arrays is {len(encoded.switches)}, but the model's number of poolings is "
                f"{len(architecture.pool_sizes)}; give one array per pooling"
            )
        for name, values in encoded.named().items():
            spec = specs[name]
            if not isinstance(values, np.ndarray):
                raise InputError(f"{name}: is a {type(values).__name__}; give a NumPy array")
            if values.dtype != spec.dtype.as_numpy_dtype or values.shape[1:] != tuple(spec.shape[1:]):
                raise InputError(
                    f"{name}: is {values.dtype} of shape {values.shape[1:]} per image, and the decoder takes "
                    f"{spec.dtype.name} of {tuple(spec.shape[1:])}"
                )
            if len(values) != len(encoded.code):
                raise InputError(
                    f"{name}: is of {len(values)} images, but the code is of {len(encoded.code)}; give equally many"
                )
        if not np.isfinite(encoded.code).all():  # Such numbers would make pixels black or white.
            raise InputError("code: has numbers that are infinite or NaN; give finite numbers")
        for name, switches, window in zip(architecture.switches_names, encoded.switches, architecture.pool_sizes):
            most = math.prod(window) - 1
            if switches.max(initial=0) > most:
                raise InputError(f"{name}: {switches.max()} is outside of its window; give positions from 0 to {most}")

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Encodes and decodes images; returns pixels. Raises the errors of `encode`."""
        reconstructions = (batch for _, batch in self._signature_autoencoder.reconstruct_batches(images))
        return np.concatenate([to_pixels(batch.numpy()) for batch in reconstructions])

    def evaluate(self, images: np.ndarray | str | Path) -> Evaluation:
        """Measures how good the model is; `print(model.evaluate(images).table())` shows the result.

        Args:
            images: an array, or a folder of pictures. A folder's pictures are brought to the model's size and colours,
                and divided into training and test images as `train` divides them, by the model card's `split_by`.

        Returns:
            RMSE, PSNR, SSIM and silent channels of the model; for comparison, the RMSE of thumbnails, and of JPEG and
            WebP files. `baselines` is None for an array, because baselines need training images.

        Raises:
            InputError: if `encode` would refuse the images, or if the folder cannot be read.
        """
        if isinstance(images, np.ndarray):
            return evaluate_images(self._signature_autoencoder, images)
        dataset = load_dataset(self.card.source(FOLDER.name(images)))
        return evaluate(self._signature_autoencoder, dataset.train, dataset.test)

    def plot(self, images: np.ndarray) -> Any:
        """Draws images, their codes and their reconstructions in a matplotlib Figure, which a notebook displays.

        Raises the errors of `encode`.
        """
        from deconv_ae.pictures.visualization import model_figure, view

        return model_figure(view(self._signature_autoencoder, images))

    def compress(self, image: np.ndarray, quality: int = 3) -> bytes:
        """Compresses one picture of any size and returns the bytes of a small file; see `Compressor`.

        The weights are those in the directory that the model was loaded from, even if `keras_model` has been trained
        since. Raises InputError if the model was not loaded from a directory, or if `Compressor` refuses the model, the
        picture or the quality.
        """
        return self._compressor.compress(image, quality)

    def decompress(self, file: bytes) -> np.ndarray:
        """Returns the pixels of a file that `compress` made, `(height, width, channels)` uint8.

        Raises InputError if `compress` would refuse the model, or if the file is damaged or of another model.
        """
        return self._compressor.decompress(file)

    @cached_property
    def _signature_autoencoder(self) -> SignatureAutoencoder:
        with without_gradients():
            functions = signatures.trace(signatures.functions(self.keras_model), self.keras_model)
        return SignatureAutoencoder(self.name, self.card, functions)

    @cached_property
    def _compressor(self) -> "Compressor":
        from deconv_ae.compression.installed import check_installed

        if self._path is None:
            raise InputError(
                "model: is not loaded from a directory; export it, run deconv-ae compress --learn --model=DIRECTORY, "
                "and load it"
            )
        check_installed()
        from deconv_ae.compression import Compressor

        return Compressor(ServedAutoencoder(self._path))

    def __repr__(self) -> str:
        size = "x".join(map(str, self.card.image_shape))
        return f"<{type(self).__name__} {self.name}: {self.card.title}; images of {size}>"


class NewAutoencoder(TrainedAutoencoder):
    """The result of `train`: a `TrainedAutoencoder` with its RMSE, its history and `export`.

    Args:
        result: the result of the training.
        dataset: the training and test images.

    Attributes:
        result: the result of the training.
        dataset: the training and test images.
    """

    def __init__(self, result: TrainingResult, dataset: ImageDataset) -> None:
        card = exporting.make_card(result, dataset)
        super().__init__(card.title if dataset.name == ARRAY else short_name(dataset.name), card, result.model)
        self.result = result
        self.dataset = dataset

    @property
    def history(self) -> list[Epoch]:
        """The RMSE of every epoch; epoch 0 stands for the model before the first epoch."""
        return self.result.history

    @property
    def training_rmse(self) -> float:
        """The mean per-image RMSE over the training images, in the scale of pixels / 256."""
        return self.result.training_rmse

    @property
    def test_rmse(self) -> float:
        """The mean per-image RMSE over the test images, in the scale of pixels / 256."""
        return self.result.test_rmse

    @property
    def problem(self) -> str | None:
        """A reason not to keep the model, in one line, or None.

        Reasons: the model is no better on the test images than the mean training image, or the loss rose over the run.
        `print(trained.result)` also shows the RMSE of the mean image and of a black image, and the number of
        silent channels.
        """
        return self.result.problem

    def export(self, export_dir: str | Path, overwrite: bool = False, anyway: bool = False) -> ModelCard:
        """Writes the SavedModel, `autoencoder.keras` and `model_card.json`, all of them or none.

        Args:
            export_dir: the directory to write.
            overwrite: whether to replace a model that is there.
            anyway: whether to write a model that has a `problem`.

        Returns:
            The model card.

        Raises:
            InputError: if the directory exists and `overwrite` is false; or if it holds anything but a model, is in
                use, or cannot be written.
            RunError: if the model has a `problem` and `anyway` is false, or if writing fails.
        """
        if self.problem and not anyway:
            raise RunError(f"{self.problem}; change the training, or export the model with export(..., anyway=True)")
        return exporting.export(self.result, self.dataset, str(export_dir), overwrite=overwrite)


def load(directory: str | Path) -> TrainedAutoencoder:
    """Loads an exported model as an object that takes and returns uint8 pixels.

    The object has `encode`, `decode`, `reconstruct`, `evaluate`, `plot`, `compress`, `decompress`, `card` and
    `keras_model`: see `TrainedAutoencoder`.

    Args:
        directory: the exported model's directory.

    Returns:
        The model.

    Raises:
        InputError: if the model is missing, damaged or of another kind, or if Keras runs on another backend than
            TensorFlow.

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
    if BACKEND != "tensorflow":
        raise InputError(
            f"KERAS_BACKEND: training and loading need tensorflow, not {BACKEND!r}; set it to tensorflow. "
            "The layers, and deconv_ae.Autoencoder with model.fit, work on every backend"
        )


def train(
    images: np.ndarray | str | Path,
    filters: Any,
    pool_sizes: Any,
    kernel_size: Any = 5,
    averages: Any = 0,
    test_images: np.ndarray | None = None,
    name: str = ARRAY,
    verbose: bool = True,
    **options: Any,
) -> NewAutoencoder:
    """Trains an autoencoder on pictures in an array or a folder.

    If the model has a `NewAutoencoder.problem`, a UserWarning tells the problem, and the model is returned all the
    same. Its `export` then needs `anyway=True`.

    Args:
        images: `(N, height, width, channels)` uint8, grey or in colour; or the path of a folder of pictures. A folder
            has the subfolders `train` and `test`; if it has neither, the pictures' names decide which of them are for
            testing.
        filters: the number of filters of each stage's convolution, outermost first: `(16, 8)`; an int means one stage.
        pool_sizes: each stage's pooling window, an int or (height, width): `(2, 2)` is 2x2 in two stages, `[(4, 2)]` is
            4x2 in one; an int alone means one stage.
        kernel_size: the size of every convolution's kernel, an int or (height, width).
        averages: the number of weighted averages per block that the code holds beside the maxima. They help with
            photographs.
        test_images: an array of test images; only if `images` is an array, too. By default one of every five images is
            for testing, always the same ones. If several images show one scene, or are crops of one photograph, keep
            them together: either all of them are in `images`, or all of them are in `test_images`.
        name: the name of an array's images, in the model card and in figures. A folder's images have
            the folder's name and accept no other.
        verbose: whether to print progress.
        **options: any other field of `deconv_ae.training.TrainingOptions`: `epochs`, `batch_size`, `learning_rate`,
            `seed`, `recipe` and so on. With `run_dir`, the run is kept there, and the same call with `resume=True`
            resumes it from its last checkpoint; more `epochs` extend it. For a folder, also the options of
            `deconv_ae.data.Source` that say how to read the pictures: `image_size` (64 or (height, width), needed if
            the pictures differ in size), `color_mode`, `split_by`, and the others.

    Returns:
        The trained model.

    Raises:
        InputError: if the images, the architecture or an option cannot be used; the message says what to do.
        RunError: if the training fails.
        Interrupted: if SIGINT, SIGTERM or SIGHUP stops the training; with `run_dir`, a checkpoint is written first.

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
    reading_options = {option: options.pop(option) for option in options_of(Source) if option in options}
    dataset = _dataset(images, test_images, name, reading_options)
    checked_boolean("verbose", verbose)
    architecture = Architecture(_as_list(filters), _as_list(pool_sizes), kernel_size, averages=averages)
    try:
        training_options = TrainingOptions(architecture, **options)
    except TypeError as error:
        raise InputError(f"options: {error}; deconv_ae.training.TrainingOptions lists all options") from error
    trained = NewAutoencoder(train_on_dataset(dataset, training_options, verbose=verbose), dataset)
    if trained.problem:
        warnings.warn(trained.problem, stacklevel=2)
    return trained


def _dataset(images: Any, test_images: np.ndarray | None, name: str, reading_options: dict[str, Any]) -> ImageDataset:
    if isinstance(images, (str, Path)):
        if test_images is not None:
            raise InputError("test_images: cannot be given with a folder; put them into its subfolder test")
        if name != ARRAY:
            raise InputError(
                f"name: {name!a} is given with a folder, and the model card takes the folder's path as the name; leave "
                "name out"
            )
        for option in ONLY_FOR_TFDS:
            if option in reading_options:
                raise InputError(f"{option}: is for a TFDS data set, and the images are a folder; leave it out")
        return load_dataset(Source(FOLDER.name(images), **reading_options))
    for option in reading_options:
        raise InputError(f"{option}: is for a folder of pictures, and the images are an array; leave it out")
    check_images("images", images)
    if test_images is None:
        if len(images) < 2:
            raise InputError("images: one image cannot be divided; give more, or test_images")
        # An image's number decides its split, as a picture's name does in a folder. So images that are added at the end
        # do not change the split of the others.
        is_for_testing = np.array(which_are_for_testing([str(number) for number in range(len(images))]))
        images, test_images = images[~is_for_testing], images[is_for_testing]
    return ImageDataset(name, images, test_images)


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list, np.ndarray)) and np.ndim(value) else [value]
