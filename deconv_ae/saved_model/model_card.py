"""`model_card.json`, which lies in every exported model and says what it is and how good."""

import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from deconv_ae.errors import InputError

FILE_NAME = "model_card.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class ModelCard:
    """What is known of an exported autoencoder.

    Attributes:
        preset: the preset's name, None for an architecture of the user's own.
        architecture: `Architecture`'s fields.
        image_shape: (height, width, channels).
        recipe: name, epochs, batch_size, learning_rate (None: the recipe's own).
        dataset: name, training_images, test_images.
        training_rmse, test_rmse: mean per-image RMSE over the whole split, in the pixels' scale.
        seed: of the initial weights and the order of the images.
        parameters: trainable numbers.
        size_per_image: bits of the original, the code and the switches, and the factors between.
        layers: name, shape and parameters of every layer, in the order data passes them.
        versions: of python, tensorflow and keras.
        format_version: of this file.
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

    @property
    def title(self) -> str:
        """The model in a few words: its preset, or its filters and pools."""
        if self.preset:
            return self.preset
        filters = ", ".join(map(str, self.architecture["filters"]))
        pools = ", ".join(f"{height}x{width}" for height, width in self.architecture["pool_sizes"])
        return f"filters {filters}; pools {pools}"

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def read(cls, model_dir: Path) -> "ModelCard":
        """The card in an exported model's directory.

        Raises:
            InputError: if it is missing, no JSON, of another format version or incomplete.
        """
        file = model_dir / FILE_NAME
        try:
            fields = json.loads(file.read_text(encoding="utf-8"))
            version = fields.pop("format_version")
            if version == FORMAT_VERSION:
                return cls(**fields)
        except FileNotFoundError as error:
            raise InputError(
                f"model: {model_dir} has no {FILE_NAME}; give a model that scripts/train.py wrote"
            ) from error
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"model: {file} is no model card ({error}); export the model anew") from error
        raise InputError(
            f"model: {file} has format version {version}, this program reads {FORMAT_VERSION}; export the model anew"
        )


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    return {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__}
