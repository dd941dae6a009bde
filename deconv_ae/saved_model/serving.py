"""An autoencoder used through nothing but its signatures: those of an exported one's SavedModel, or a Keras model's."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from deconv_ae.data import EvaluationBatches
from deconv_ae.data.pixels import check_images
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
    Function,
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


class SignatureAutoencoder:
    """An autoencoder as what its three signatures compute.

    Args:
        name: what people call it.
        card: what is known of it.
        signatures: by their names; each takes and gives tensors by theirs, see `saved_model.signatures`.
    """

    def __init__(self, name: str, card: ModelCard, signatures: Mapping[str, Function]) -> None:
        self.name = name
        self.card = card
        self._signatures = signatures

    def encode(self, images: np.ndarray) -> Encoded:
        """Code and switches of `(N, height, width, channels)` uint8 images."""
        self.check(images)
        batches = [self.encode_scaled(batch) for batch in EvaluationBatches(images)]
        outputs = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
        return Encoded(outputs[CODE], tuple(outputs[name] for name in switches_names(len(outputs) - 1)))

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
        return np.concatenate([per_image_rmse(*pair) for pair in self.reconstructed(images)])

    def reconstructed(self, images: np.ndarray) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """Scaled images and their reconstructions, a batch at a time, of `(N, height, width, channels)` uint8 ones."""
        self.check(images)
        serve = self._signatures[SERVING_DEFAULT]
        for batch in EvaluationBatches(images):
            yield batch, serve(**{IMAGES: batch})[RECONSTRUCTION]

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
        """Raises InputError if images are not uint8, or not of the shape that the model was made for."""
        expected = tuple(self.card.image_shape)
        if isinstance(images, np.ndarray) and images.shape == expected:
            raise InputError("images: one image is no batch of images; image[np.newaxis] is one")
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != expected:
            check_images("images", images)
            raise InputError(
                f"images: {_times(images.shape[1:])} each, and {self.name} was made for {_times(expected)}; resize "
                "them and convert their colours, as programs do of --dataset=folder:PATH"
            )
        if len(images) == 0:
            raise InputError("images: the array holds no image; give at least one")


class ServedAutoencoder(SignatureAutoencoder):
    """A SavedModel that `exporting.export` wrote.

    Args:
        model_dir: its directory.

    Raises:
        InputError: if it is missing, empty, damaged or some other model.
    """

    def __init__(self, model_dir: str | Path) -> None:
        self.path = model_directory(model_dir)
        card = ModelCard.read(self.path)
        for file in card.checksums:
            if file != KERAS_FILE:  # conversion reads it, and checks it then.
                card.check_file(self.path, file)
        try:
            self._loaded = tf.saved_model.load(str(self.path))
            signatures = {name: self._loaded.signatures[name] for name in card.signatures}
        except Exception as error:  # What TensorFlow raises on a damaged file is of any kind.
            raise InputError(
                f"model: {self.path} is no autoencoder's SavedModel ({first_line(error)}); export it anew"
            ) from error
        super().__init__(self.path.resolve().name, card, signatures)
        self._check_signatures(signatures)

    def _check_signatures(self, signatures: Mapping[str, Any]) -> None:
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
            if name not in signatures:
                raise InputError(f"model: {self.path}'s SavedModel has no signature {name}; export the model anew")
        for name, signature in signatures.items():
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


def _plain(specs: Mapping[str, tf.TensorSpec]) -> dict[str, tuple[tuple[int | None, ...] | None, str]]:
    """Shapes and types without TensorFlow's names for the tensors."""
    return {
        name: (None if spec.shape.rank is None else tuple(spec.shape), spec.dtype.name) for name, spec in specs.items()
    }


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
