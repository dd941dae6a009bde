"""`model_card.json`, which lies in every exported model and says what it is and how good."""

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
"""What pictures are compressed by, where it has been learnt; it is written later, and has a checksum of its own."""

FORMAT_VERSION = 2
ADVICE = "export the model anew with deconv-ae train"


@dataclass(frozen=True)
class RecipeUsed:
    """How a model was trained.

    Attributes:
        name: a recipe's.
        epochs, batch_size: of the run.
        learning_rate: None where it was the recipe's own.
        mixed_precision: as `TrainingOptions`.
        extended_after_epochs: numbers of epochs that the run's learning rate had been planned for before it was given
            more.
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
    """What a model was trained on.

    Attributes:
        name: the data set's.
        training_images, test_images: how many.
        fit: how images were brought to one size; None where they were taken as they are.
        color_mode, background, split_by: how they were read besides, as `Source`.
        is_array: whether they came from Python, where no program finds them.
        fingerprint: `ImageDataset.fingerprint`; empty where none was taken.
        test_pictures: `pixels.digests` of the test images, to tell those that are new.
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
    """A layer's name, output shape (None for any number) and how many numbers it has learnt."""

    name: Name
    shape: tuple[Length | None, ...]
    parameters: Count


@dataclass(frozen=True)
class ModelCard:
    """What is known of an exported autoencoder.

    Attributes:
        preset: the preset's name, None for an architecture of the user's own.
        architecture: the model's.
        image_shape: (height, width, channels).
        recipe, dataset: how and on what it was trained.
        training_rmse, test_rmse: mean per-image RMSE over the whole split, in the pixels' scale.
        seed: of the initial weights and the order of the images.
        layers: in the order in which data passes them.
        versions: of python, tensorflow and keras.
        signatures: the SavedModel's, by which one knows what an export of another version can do.
        checksums: SHA-256 of the files that were exported with the card.
        baselines: the test RMSE of what needs no model; None of exports that did not say.
        format_version: of this file.
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
        """The model in a few words: its preset, or its stages."""
        return self.preset or self.architecture.title

    @property
    def parameters(self) -> int:
        """Trainable numbers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def size_per_image(self) -> SizePerImage:
        """What an image takes as pixels, as a code and as switches."""
        return self.architecture.size_per_image(self.image_shape)

    def source(self, name: str) -> Source:
        """A data set of this name, read as what the model was trained on was: another one is brought to its shape."""
        height, width, channels = self.image_shape
        used, is_another = self.dataset, name != self.dataset.name
        return Source(
            name,
            image_size=(height, width) if is_another or used.fit else None,
            fit=used.fit or "crop",
            color_mode={1: "grayscale", 3: "rgb"}.get(channels, "auto") if is_another else used.color_mode,
            background=used.background,
            split_by=used.split_by,
        )

    def layer_table(self) -> str:
        """Every layer's name, output shape and number of parameters, a line each."""
        lines = [f"{self.title}: {self.parameters} parameters"]
        for layer in self.layers:
            shape = "x".join("N" if length is None else str(length) for length in layer.shape)
            lines.append(f"  {layer.name:<12}{shape:<18}{layer.parameters}")
        return "\n".join(lines)

    def to_json(self) -> str:
        return records.as_text(self)

    @classmethod
    def read(cls, model_dir: Path) -> "ModelCard":
        """The card in an exported model's directory, every field of it checked.

        Raises:
            InputError: if it is missing, no JSON, of another format version, incomplete, holds what no export
                writes, or is not what was written.
        """
        file = model_dir / FILE_NAME
        try:
            values = read_with_checksum(file)
            version = values.get("format_version")
            if version == 1 and version is not True:
                values = _of_format_1(values)
            elif type(version) is int and FORMAT_VERSION < version <= LARGEST:
                raise InputError(
                    f"model: {file} has format version {version}, this program reads {FORMAT_VERSION}; {ADVICE}"
                )
            return records.read(cls, values)
        except FileNotFoundError as error:
            raise InputError(f"model: {model_dir} has no {FILE_NAME}; give one that deconv-ae train wrote") from error
        except OSError as error:
            raise InputError(f"model: {file} cannot be read: {error.strerror}; {ADVICE}") from error
        except InputError:
            raise
        except ValueError as error:
            raise InputError(f"model: {file} is no model card ({error}); {ADVICE}") from error

    def check_file(self, model_dir: Path, name: str) -> None:
        """Raises InputError if a file beside the card is missing, or not the one that was exported with it."""
        file = model_dir / name
        expected = self.checksums.get(name)
        try:
            if expected is not None and sha256(read_bytes(file)) != expected:
                raise InputError(f"model: {file} is not the file that was exported with its {FILE_NAME}; {ADVICE}")
        except OSError as error:
            raise InputError(f"model: {file} cannot be read: {error.strerror}; {ADVICE}") from error


def model_directory(model_dir: str | Path) -> Path:
    """The directory of an exported model; raises InputError if it is none, as far as its name and contents say."""
    advice = "give a directory that deconv-ae train exported to"
    path = paths.given("model", model_dir)
    paths.check_no_pattern("model", path)
    if path.suffix == ".keras" and paths.is_file("model", path):
        raise InputError(f"model: {path} is a Keras model alone; give the directory of the exported model around it")
    return paths.directory_to_read("model", path, advice)


def _of_format_1(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a card as saved_models/reference has them, which told of sums and bits, and not of signatures."""
    told = ("parameters", "size_per_image")
    kept = {name: value for name, value in values.items() if name not in told}
    return kept | {"signatures": ["serving_default", "encode", "decode"], "format_version": FORMAT_VERSION}


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    # Here only: a card can be read, and refused, without waiting seconds for them to load.
    import keras
    import tensorflow as tf

    return {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__}
