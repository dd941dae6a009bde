"""An exported autoencoder, used through nothing but its files: the SavedModel and the model card."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from deconv_ae.data import evaluation_batches, scale
from deconv_ae.errors import InputError
from deconv_ae.model.architecture import switches_names
from deconv_ae.model.objective import PerImageRMSE
from deconv_ae.saved_model.model_card import ModelCard
from deconv_ae.saved_model.signatures import (
    CODE,
    DECODE,
    ENCODE,
    IMAGES,
    RECONSTRUCTION,
    SERVING_DEFAULT,
    SIGNATURES,
)


@dataclass(frozen=True)
class Encoded:
    """What the encoder makes of images: `(N, h, w, c)` float32, and a uint8 array for each pooling."""

    code: np.ndarray
    switches: tuple[np.ndarray, ...]

    def named(self) -> dict[str, np.ndarray]:
        """The arrays by the names that signatures have for them, the code first."""
        return {CODE: self.code, **dict(zip(switches_names(len(self.switches)), self.switches))}


class ServedAutoencoder:
    """A SavedModel that `exporting.export` wrote.

    Args:
        model_dir: its directory.

    Raises:
        InputError: if it is missing, empty, damaged or some other model.
    """

    def __init__(self, model_dir: str | Path) -> None:
        self.path = Path(model_dir)
        if not self.path.is_dir() or not any(self.path.iterdir()):
            state = "is empty" if self.path.is_dir() else "does not exist"
            raise InputError(f"model: {self.path} {state}; give a directory that scripts/train.py exported to")
        self.card = ModelCard.read(self.path)
        try:
            self._loaded = tf.saved_model.load(str(self.path))
            self._signatures = {name: self._loaded.signatures[name] for name in SIGNATURES}
        except (OSError, ValueError, KeyError, AttributeError, tf.errors.OpError) as error:
            raise InputError(
                f"model: {self.path} is no autoencoder's SavedModel ({str(error).splitlines()[0]}); export it anew"
            ) from error

    @property
    def name(self) -> str:
        """The directory's name."""
        return self.path.resolve().name

    def encode(self, images: np.ndarray) -> Encoded:
        """Code and switches of `(N, height, width, channels)` uint8 images."""
        self.check(images)
        outputs = self._signatures[ENCODE](**{IMAGES: scale(tf.constant(images))})
        names = switches_names(len(outputs) - 1)
        return Encoded(outputs[CODE].numpy(), tuple(outputs[name].numpy() for name in names))

    def decode(self, encoded: Encoded) -> np.ndarray:
        """The reconstruction, float32 in the scale of the pixels, not clipped."""
        inputs = {name: tf.constant(values) for name, values in encoded.named().items()}
        return self._signatures[DECODE](**inputs)[RECONSTRUCTION].numpy()

    def rmse(self, images: np.ndarray) -> float:
        """Mean per-image RMSE over `(N, height, width, channels)` uint8 images."""
        self.check(images)
        metric = PerImageRMSE()
        for batch, _ in evaluation_batches(images):
            metric.update_state(batch, self._signatures[SERVING_DEFAULT](**{IMAGES: batch})[RECONSTRUCTION])
        return float(metric.result())

    def size_table(self) -> str:
        """What an image takes as code and switches, a line each, with the factors against 8 bits a pixel."""
        size = self.card.size_per_image
        rows = (
            ("original", f"{size['original_bits']:,} bits at 8 bits a pixel"),
            ("code", f"{size['code_bits']:,} bits as float32"),
            ("switches", f"{size['switches_bits']:,.0f} bits, log2 of the window's positions each"),
            ("factor without switches", f"{size['factor_without_switches']:.2f}"),
            ("factor with switches", f"{size['factor_with_switches']:.2f}"),
            ("factor in numbers", f"{size['factor_in_numbers']:.2f}, pixels over code values"),
        )
        return "\n".join(f"{label:<24}{value}" for label, value in rows)

    def layer_table(self) -> str:
        """Every layer's name, output shape and number of parameters, a line each."""
        lines = [f"{self.card.title}: {self.card.parameters} parameters"]
        for layer in self.card.layers:
            shape = "x".join("N" if length is None else str(length) for length in layer["shape"])
            lines.append(f"  {layer['name']:<12}{shape:<18}{layer['parameters']}")
        return "\n".join(lines)

    def check(self, images: np.ndarray) -> None:
        """Raises InputError if images do not have the shape that the model was made for."""
        expected = tuple(self.card.image_shape)
        if images.shape[1:] != expected:
            raise InputError(
                f"dataset: images are {_times(images.shape[1:])} and {self.path} was made for {_times(expected)}; "
                "give another --dataset, or --image_size and --color_mode"
            )


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
