"""`model_card.json` in every exported model: its architecture, training, data set and quality."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deconv_ae import paths, records
from deconv_ae.data.source import Source
from deconv_ae.errors import InputError
from deconv_ae.files import read_bytes, read_with_checksum, sha256
from deconv_ae.model.architecture import Architecture, SizePerImage
from deconv_ae.model.baselines import Baselines
from deconv_ae.numbers import LARGEST
from deconv_ae.records import Count, Length, Measure, Name

FILE_NAME = "model_card.json"
KERAS_FILE = "autoencoder.keras"
"""The Keras model beside the SavedModel, for conversion and further training."""

COMPRESSION_FILE = "compression.json"
"""The probabilities that compression needs. They are learnt after the export; the file has its own checksum."""

FORMAT_VERSION = 2
ADVICE = "export the model again"


@dataclass(frozen=True)
class RecipeUsed:
    """How a model was trained.

    Attributes:
        name: the recipe's name.
        epochs, batch_size: as the run used them.
        learning_rate: the learning rate; None if the recipe chose it.
        mixed_precision: as in `TrainingOptions`.
        extended_after_epochs: the earlier numbers of epochs of a run that was extended, if the recipe planned the
            learning rate for them.
        other_options: further `TrainingOptions` that decided the result, by name.
    """

    name: Name
    epochs: Count
    batch_size: Length
    learning_rate: Measure | None
    mixed_precision: Name = "none"
    extended_after_epochs: tuple[Count, ...] = ()
    other_options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DatasetUsed:
    """The data set that a model was trained on.

    Attributes:
        name: the data set's name.
        training_images, test_images: the number of images in each split.
        fit: the way of resizing; None if the images were not resized.
        color_mode, background, split_by: the other ways of reading, as in `Source`.
        is_array: whether the images were an array in Python, which no program can load.
        fingerprint: `ImageDataset.fingerprint`; empty if unknown.
        test_pictures: `pixels.digests` of the test images, by which new images are recognised.
    """

    name: Name
    training_images: Count
    test_images: Count
    fit: Name | None = None
    color_mode: Name = "auto"
    background: Name = "white"
    split_by: Name = "file"
    is_array: bool = False
    fingerprint: str = ""
    test_pictures: str = ""


@dataclass(frozen=True)
class LayerUsed:
    """A layer's name, output shape (None for a free dimension) and number of learnt parameters."""

    name: Name
    shape: tuple[Length | None, ...]
    parameters: Count


@dataclass(frozen=True)
class ModelCard:
    """The description of an exported autoencoder.

    Attributes:
        preset: the preset's name; None for an architecture of the user's own.
        architecture: the model's architecture.
        image_shape: (height, width, channels).
        recipe, dataset: how the model was trained, and on which images.
        training_rmse, test_rmse: the mean per-image RMSE over the split, on the scale of pixels / 256.
        seed: the seed of the initial weights and of the images' order.
        layers: the layers, in the order in which data passes through them.
        versions: the versions of python, tensorflow and keras.
        signatures: the names of the SavedModel's signatures. Another version of this package may export others.
        checksums: the SHA-256 of each file that was exported with the card, by its path in the model's directory.
        baselines: the test RMSE of baselines that need no model; None in older cards.
        format_version: the version of this file's format.
    """

    preset: Name | None
    architecture: Architecture
    image_shape: tuple[Length, Length, Length]
    recipe: RecipeUsed
    dataset: DatasetUsed
    training_rmse: Measure
    test_rmse: Measure
    seed: Count
    layers: tuple[LayerUsed, ...]
    versions: dict[str, Name]
    signatures: tuple[Name, ...]
    checksums: dict[str, Name] = field(default_factory=dict)
    baselines: Baselines | None = None
    format_version: Count = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.format_version != FORMAT_VERSION:
            raise ValueError(f"format_version is {self.format_version}, not {FORMAT_VERSION}")
        self.architecture.code_shape(self.image_shape)
        for name in self.checksums:
            if name.startswith("/") or ".." in name.split("/"):
                raise ValueError(f"checksums: {name[:40]!a} lies outside of the model")

    @property
    def title(self) -> str:
        """A short name: the preset, or the stages."""
        return self.preset or self.architecture.title

    @property
    def parameters(self) -> int:
        """The number of trainable parameters."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def size_per_image(self) -> SizePerImage:
        """The size of one image as pixels, as a code and as switches."""
        return self.architecture.size_per_image(self.image_shape)

    def source(self, name: str) -> Source:
        """Returns a source that reads the data set `name` as the model's own data set was read.

        Images of another data set get the size and the colours of the model's images.
        """
        height, width, channels = self.image_shape
        own_dataset, is_another = self.dataset, name != self.dataset.name
        return Source(
            name,
            image_size=(height, width) if is_another or own_dataset.fit else None,
            fit=own_dataset.fit or "crop",
            color_mode={1: "grayscale", 3: "rgb"}.get(channels, "auto") if is_another else own_dataset.color_mode,
            background=own_dataset.background,
            split_by=own_dataset.split_by,
        )

    def layer_table(self) -> str:
        """Text with a line for each layer: its name, output shape and number of parameters."""
        lines = [f"{self.title}: {self.parameters} parameters"]
        for layer in self.layers:
            shape = "x".join("N" if length is None else str(length) for length in layer.shape)
            lines.append(f"  {layer.name:<12}{shape:<18}{layer.parameters}")
        return "\n".join(lines)

    def to_json(self) -> str:
        return records.as_text(self)

    @classmethod
    def read(cls, model_dir: Path) -> "ModelCard":
        """Reads and checks a card.

        Args:
            model_dir: the exported model's directory.

        Returns:
            The card, of the current format version; a card of format 1 is converted.

        Raises:
            InputError: if the card is missing or unreadable, is not JSON, is incomplete, has an unknown format version,
                holds impossible values, or does not match its checksum.
        """
        file = model_dir / FILE_NAME
        try:
            values = read_with_checksum(file)
            version = values.get("format_version")
            if version == 1 and version is not True:
                values = _convert_format_1(values)
            elif type(version) is int and FORMAT_VERSION < version <= LARGEST:
                raise InputError(
                    f"model: {file} has format version {version}, this program reads {FORMAT_VERSION}; {ADVICE}"
                )
            return records.read(cls, values)
        except FileNotFoundError as error:
            raise InputError(
                f"model: {model_dir} has no {FILE_NAME}; give the directory of an exported model"
            ) from error
        except OSError as error:
            raise InputError(f"model: {file} cannot be read: {error.strerror}; {ADVICE}") from error
        except InputError:
            raise
        except ValueError as error:
            raise InputError(f"model: {file} is not a model card ({error}); {ADVICE}") from error

    def check_file(self, model_dir: Path, name: str) -> None:
        """Raises InputError if a file is missing or changed. A file without a checksum in the card is not checked."""
        file = model_dir / name
        expected = self.checksums.get(name)
        try:
            if expected is not None and sha256(read_bytes(file)) != expected:
                raise InputError(f"model: {file} is not the file that was exported with its {FILE_NAME}; {ADVICE}")
        except OSError as error:
            raise InputError(f"model: {file} cannot be read: {error.strerror}; {ADVICE}") from error


def model_directory(model_dir: str | Path) -> Path:
    """The path of an exported model's directory.

    Raises InputError if the directory is missing, unreadable, empty or a file, or if its path has a wildcard.
    """
    path = paths.checked_path("model", model_dir)
    paths.check_no_wildcard("model", path)
    if path.suffix == ".keras" and paths.is_file("model", path):
        raise InputError(f"model: {path} is a Keras file; give the directory of the exported model, in which it lies")
    return paths.directory_to_read("model", path, "give the directory of an exported model")


def _convert_format_1(values: Mapping[str, Any]) -> dict[str, Any]:
    """Converts format 1, which had derived sizes and no signatures. Some models in saved_models/reference have it."""
    derived = ("parameters", "size_per_image")
    kept_values = {name: value for name, value in values.items() if name not in derived}
    return kept_values | {"signatures": ["serving_default", "encode", "decode"], "format_version": FORMAT_VERSION}


def versions() -> dict[str, str]:
    """The versions of the software that a result depends on."""
    # The imports are here so that a program reads or refuses a card without waiting seconds for TensorFlow.
    import keras
    import tensorflow as tf

    return {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__}
