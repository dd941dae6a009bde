"""An exported autoencoder, used through nothing but its files: the SavedModel and the model card."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from deconv_ae.data import EvaluationBatches, scale
from deconv_ae.errors import InputError, first_line
from deconv_ae.model.architecture import switches_names
from deconv_ae.model.objective import per_image_rmse
from deconv_ae.saved_model.model_card import KERAS_FILE, ModelCard, model_directory
from deconv_ae.saved_model.signatures import (
    CODE,
    DECODE,
    ENCODE,
    IMAGES,
    OF_EVERY_EXPORT,
    RECONSTRUCTION,
    SERVING_DEFAULT,
    encoded_specs,
    images_spec,
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
        self.path = model_directory(model_dir)
        self.card = ModelCard.read(self.path)
        for file in self.card.checksums:
            if file != KERAS_FILE:  # conversion reads it, and checks it then.
                self.card.check_file(self.path, file)
        try:
            self._loaded = tf.saved_model.load(str(self.path))
            self._signatures = {name: self._loaded.signatures[name] for name in self.card.signatures}
        except Exception as error:  # What TensorFlow raises on a damaged file is of any kind.
            raise InputError(
                f"model: {self.path} is no autoencoder's SavedModel ({first_line(error)}); export it anew"
            ) from error
        self._check_signatures()

    def _check_signatures(self) -> None:
        """Raises InputError if the SavedModel takes or returns something else than its card says."""
        shape = self.card.image_shape
        images, encoded = images_spec(shape), encoded_specs(self.card.architecture, shape)
        reconstruction = {RECONSTRUCTION: tf.TensorSpec((None, *shape), tf.float32)}
        expected = {
            SERVING_DEFAULT: (images, {CODE: encoded[CODE], **reconstruction}),
            ENCODE: (images, encoded),
            DECODE: (encoded, reconstruction),
        }
        for name in OF_EVERY_EXPORT:
            if name not in self._signatures:
                raise InputError(f"model: {self.path}'s SavedModel has no signature {name}; export the model anew")
        for name, signature in self._signatures.items():
            if name not in expected:  # Of another version.
                continue
            taken, returned = expected[name]
            for specs, found in (
                (taken, signature.structured_input_signature[1]),
                (returned, signature.structured_outputs),
            ):
                if _plain(specs) != _plain(found):
                    raise InputError(
                        f"model: {self.path}'s model card is of another model: the SavedModel's signature {name} does "
                        "not fit it; export the model anew"
                    )

    @property
    def name(self) -> str:
        """The directory's name."""
        return self.path.resolve().name

    def encode(self, images: np.ndarray) -> Encoded:
        """Code and switches of `(N, height, width, channels)` uint8 images."""
        self.check(images)
        outputs = self.encode_scaled(scale(tf.constant(images)))
        names = switches_names(len(outputs) - 1)
        return Encoded(outputs[CODE].numpy(), tuple(outputs[name].numpy() for name in names))

    def encode_scaled(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the signature `encode` gives, of a batch that is scaled already."""
        return self._signatures[ENCODE](**{IMAGES: images})

    def decode(self, encoded: Encoded) -> np.ndarray:
        """The reconstruction, float32 in the scale of the pixels, not clipped."""
        return self.decode_named(encoded.named())

    def decode_named(self, encoded: Mapping[str, np.ndarray]) -> np.ndarray:
        """The same of arrays by the names that the signature `decode` has for them."""
        inputs = {name: tf.constant(values) for name, values in encoded.items()}
        return self._signatures[DECODE](**inputs)[RECONSTRUCTION].numpy()

    def rmse(self, images: np.ndarray) -> float:
        """Mean per-image RMSE over `(N, height, width, channels)` uint8 images."""
        return float(self.errors(images).mean(dtype=np.float64))

    def errors(self, images: np.ndarray) -> np.ndarray:
        """The RMSE of each of `(N, height, width, channels)` uint8 images, `(N,)` float32."""
        self.check(images)
        serve = self._signatures[SERVING_DEFAULT]
        return np.concatenate(
            [per_image_rmse(batch, serve(**{IMAGES: batch})[RECONSTRUCTION]) for batch in EvaluationBatches(images)]
        )

    def size_table(self) -> str:
        """What an image takes as code and switches, a line each, with the factors against 8 bits a pixel."""
        size = self.card.size_per_image
        rows = (
            ("original", f"{size.original_bits:,} bits at 8 bits a pixel"),
            ("code", f"{size.code_bits:,} bits as float32"),
            ("switches", f"{size.switches_bits:,.0f} bits, log2 of the window's positions each"),
            ("factor without switches", f"{size.factor_without_switches:.2f}"),
            ("factor with switches", f"{size.factor_with_switches:.2f}"),
            ("factor in numbers", f"{size.factor_in_numbers:.2f}, pixels over code values"),
        )
        return "\n".join(f"{label:<24}{value}" for label, value in rows)

    def check(self, images: np.ndarray) -> None:
        """Raises InputError if images do not have the shape that the model was made for."""
        expected = tuple(self.card.image_shape)
        if images.shape[1:] != expected:
            raise InputError(
                f"dataset: images are {_times(images.shape[1:])} and {self.path} was made for {_times(expected)}; "
                "give another --dataset, or --image_size and --color_mode"
            )


def _plain(specs: Mapping[str, tf.TensorSpec]) -> dict[str, tuple[tuple[int | None, ...] | None, str]]:
    """Shapes and types without TensorFlow's names for the tensors."""
    return {
        name: (None if spec.shape.rank is None else tuple(spec.shape), spec.dtype.name) for name, spec in specs.items()
    }


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
