"""`model_card.json`, which lies in every exported model and says what it is and how good."""

import math
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from deconv_ae import paths
from deconv_ae.errors import InputError
from deconv_ae.files import read_with_checksum, sha256, with_checksum
from deconv_ae.model.architecture import Architecture
from deconv_ae.numbers import LARGEST
from deconv_ae.paths import is_plain

FILE_NAME = "model_card.json"
KERAS_FILE = "autoencoder.keras"
"""The Keras model beside the SavedModel, for conversion and further training."""

FORMAT_VERSION = 1
LONGEST_NAME = 1000
ADVICE = "export the model anew with scripts/train.py"


@dataclass(frozen=True)
class ModelCard:
    """What is known of an exported autoencoder.

    Attributes:
        preset: the preset's name, None for an architecture of the user's own.
        architecture: `Architecture`'s fields.
        image_shape: (height, width, channels).
        recipe: name, epochs, batch_size, learning_rate (None: the recipe's own); extended_after_epochs, of a run that
            was given more epochs than its learning rate had been planned for.
        dataset: name, training_images, test_images; fit, where images were brought to one size.
        training_rmse, test_rmse: mean per-image RMSE over the whole split, in the pixels' scale.
        seed: of the initial weights and the order of the images.
        parameters: trainable numbers.
        size_per_image: bits of the original, the code and the switches, and the factors between.
        layers: name, shape and parameters of every layer, in the order data passes them.
        versions: of python, tensorflow and keras.
        format_version: of this file.
        checksums: SHA-256 of the files that were exported with the card; none in cards of earlier versions.
    """

    preset: str | None
    architecture: dict[str, Any]
    image_shape: list[int]
    recipe: dict[str, Any]
    dataset: dict[str, Any]
    training_rmse: float
    test_rmse: float
    seed: int
    parameters: int
    size_per_image: dict[str, float]
    layers: list[dict[str, Any]]
    versions: dict[str, str]
    format_version: int = FORMAT_VERSION
    checksums: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The model in a few words: its preset, or its filters and pools."""
        if self.preset:
            return self.preset
        filters = ", ".join(map(str, self.architecture["filters"]))
        pools = ", ".join(f"{height}x{width}" for height, width in self.architecture["pool_sizes"])
        return f"filters {filters}; pools {pools}"

    @property
    def fit(self) -> str:
        """How images of another size are brought to the model's: as those were that it was trained on."""
        # Before there was a choice.
        return str(self.dataset.get("fit", "stretch"))

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) that images are brought to; None where those of its training were taken as they are."""
        height, width, _ = self.image_shape
        return (height, width) if "fit" in self.dataset else None

    def layer_table(self) -> str:
        """Every layer's name, output shape and number of parameters, a line each."""
        lines = [f"{self.title}: {self.parameters} parameters"]
        for layer in self.layers:
            shape = "x".join("N" if length is None else str(length) for length in layer["shape"])
            lines.append(f"  {layer['name']:<12}{shape:<18}{layer['parameters']}")
        return "\n".join(lines)

    def to_json(self) -> str:
        return with_checksum(asdict(self))

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
            if version != FORMAT_VERSION and isinstance(version, int):
                raise InputError(
                    f"model: {file} has format version {version}, this program reads {FORMAT_VERSION}; {ADVICE}"
                )
            check_fields(values)
            return cls(**values)
        except FileNotFoundError as error:
            raise InputError(f"model: {model_dir} has no {FILE_NAME}; give one that scripts/train.py wrote") from error
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
            if expected is not None and sha256(file.read_bytes()) != expected:
                raise InputError(f"model: {file} is not the file that was exported with its {FILE_NAME}; {ADVICE}")
        except OSError as error:
            raise InputError(f"model: {file} cannot be read: {error.strerror}; {ADVICE}") from error


def model_directory(model_dir: str | Path) -> Path:
    """The directory of an exported model; raises InputError if it is none, as far as its name and contents say."""
    advice = "give a directory that scripts/train.py exported to"
    path = paths.given("model", model_dir)
    if path.suffix == ".keras" and path.is_file():
        raise InputError(f"model: {path} is a Keras model alone; give the directory of the exported model around it")
    return paths.directory_to_read("model", path, advice)


def check_fields(values: Mapping[str, Any]) -> None:
    """What a card may hold, in one place: the kinds of its fields, then whether they agree with each other.

    Raises:
        ValueError: naming the field.
    """
    for known in fields(ModelCard):
        if known.name not in values and known.name != "checksums":
            raise ValueError(f"{known.name} is missing")
    for name, value in values.items():
        if name not in _FIELDS:
            raise ValueError(f"{name[:40]!a} is no field of a card")
        kind, fits = _FIELDS[name]
        if not fits(value):
            raise ValueError(f"{name} is not {kind}")
    _check_agreement(values)


def _check_agreement(values: Mapping[str, Any]) -> None:
    try:
        size = Architecture(**values["architecture"]).size_per_image(values["image_shape"])
    except InputError as error:
        raise ValueError(f"architecture: {error}") from error
    for name, value in values["size_per_image"].items():
        if not math.isclose(value, getattr(size, name), rel_tol=1e-6):
            raise ValueError(f"size_per_image: {name} is {value:g} and the architecture's {getattr(size, name):g}")
    if sum(layer["parameters"] for layer in values["layers"]) != values["parameters"]:
        raise ValueError("parameters are not the sum of the layers'")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST


def _is_length(value: Any) -> bool:
    return _is_count(value) and value > 0


def _is_real(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and is_plain(value)


def _is_list(fits: Callable[[Any], bool], length: int | None = None) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and len(value) == (length or len(value)) and all(map(fits, value))


def _is_record(further: bool = False, **kinds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """An object with these fields; `further`: and with others, whose values are names, numbers or null."""

    def fits(value: Any) -> bool:
        if not isinstance(value, dict) or not value.keys() >= kinds.keys():
            return False
        others = [other for name, other in value.items() if name not in kinds]
        if others and not (further and all(other is None or _is_name(other) or _is_real(other) for other in others)):
            return False
        return all(kind(value[name]) for name, kind in kinds.items())

    return fits


def _or_null(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


_is_pair = _is_list(_is_length, 2)
_FIELDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "preset": ("a name or null", _or_null(_is_name)),
    "architecture": (
        "filters, pool_sizes, kernel_size and deconvolution_bias",
        _is_record(
            filters=_is_list(_is_length),
            pool_sizes=_is_list(_is_pair),
            kernel_size=_is_pair,
            deconvolution_bias=lambda value: isinstance(value, bool),
        ),
    ),
    "image_shape": ("height, width and channels", _is_list(_is_length, 3)),
    "recipe": (
        "name, epochs, batch_size and learning_rate",
        _is_record(
            further=True, name=_is_name, epochs=_is_count, batch_size=_is_length, learning_rate=_or_null(_is_real)
        ),
    ),
    "dataset": (
        "name, training_images and test_images",
        _is_record(further=True, name=_is_name, training_images=_is_count, test_images=_is_count),
    ),
    "training_rmse": ("a number of 0 or more", _is_real),
    "test_rmse": ("a number of 0 or more", _is_real),
    "seed": ("a whole number of 0 or more", _is_count),
    "parameters": ("a whole number of 0 or more", lambda value: type(value) is int and value >= 0),
    "size_per_image": (
        "bits and factors",
        _is_record(
            original_bits=_is_real,
            code_bits=_is_real,
            switches_bits=_is_real,
            factor_in_numbers=_is_real,
            factor_without_switches=_is_real,
            factor_with_switches=_is_real,
        ),
    ),
    "layers": (
        "a name, shape and number of parameters each",
        _is_list(_is_record(name=_is_name, shape=_is_list(_or_null(_is_length)), parameters=_is_count)),
    ),
    "versions": (
        "the versions of python, tensorflow and keras",
        _is_record(further=True, python=_is_name, tensorflow=_is_name, keras=_is_name),
    ),
    "format_version": (str(FORMAT_VERSION), lambda value: value == FORMAT_VERSION and type(value) is int),
    "checksums": (
        "a checksum for each file",
        lambda value: (
            isinstance(value, dict)
            and all(map(_is_name, (*value, *value.values())))
            and not any(name.startswith("/") or ".." in name.split("/") for name in value)
        ),
    ),
}


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    # Here only: a card can be read, and refused, without waiting seconds for them to load.
    import keras
    import tensorflow as tf

    return {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__}
