"""An autoencoder that needs only the signatures of a SavedModel or of a Keras model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from deconv_ae.data import EvaluationBatches
from deconv_ae.data.kinds import FOLDER
from deconv_ae.data.pixels import check_images
from deconv_ae.errors import InputError, first_line
from deconv_ae.model.architecture import switches_names
from deconv_ae.model.objective import per_image_rmse
from deconv_ae.saved_model.model_card import ADVICE, KERAS_FILE, ModelCard, model_directory
from deconv_ae.saved_model.signatures import (
    CODE,
    DECODE,
    ENCODE,
    IMAGES,
    RECONSTRUCTION,
    REQUIRED,
    SERVING_DEFAULT,
    SIGNATURES,
    Function,
    Specs,
)


@dataclass(frozen=True)
class Encoded:
    """The encoder's outputs: the code, `(N, h, w, c)` float32, and a uint8 array of switches for each pooling."""

    code: np.ndarray
    switches: tuple[np.ndarray, ...]

    def named(self) -> dict[str, np.ndarray]:
        """The arrays by their names in the signatures; the code comes first."""
        return {CODE: self.code, **dict(zip(switches_names(len(self.switches)), self.switches, strict=True))}


class SignatureAutoencoder:
    """An autoencoder that calls the signatures `serving_default`, `encode` and `decode`.

    Args:
        name: the model's name in messages.
        card: the model's card.
        signatures: functions by the signatures' names, with the inputs and outputs of `saved_model.signatures`.
    """

    def __init__(self, name: str, card: ModelCard, signatures: Mapping[str, Function]) -> None:
        self.name = name
        self.card = card
        self._signatures = signatures

    def encode(self, images: np.ndarray) -> Encoded:
        """Encodes `(N, height, width, channels)` uint8 images."""
        self.check(images)
        batches = [self.encode_scaled(batch) for batch in EvaluationBatches(images)]
        outputs = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
        return Encoded(outputs[CODE], tuple(outputs[name] for name in switches_names(len(outputs) - 1)))

    def encode_scaled(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Calls the signature `encode` on a batch of scaled images."""
        return self._signatures[ENCODE](**{IMAGES: images})

    def decode(self, encoded: Encoded) -> np.ndarray:
        """Decodes to float32 images on the scale of pixels / 256, not clipped."""
        return self.decode_named(encoded.named())

    def decode_named(self, encoded: Mapping[str, np.ndarray]) -> np.ndarray:
        """Decodes arrays that are given by their names in the signature `decode`."""
        return self.call(DECODE, encoded)[RECONSTRUCTION]

    def call(self, signature: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Calls a signature with those arrays that are its inputs, by name; other arrays are ignored."""
        inputs = SIGNATURES[signature].inputs(self.card.architecture, self.card.image_shape)
        outputs = self._signatures[signature](**{name: tf.constant(arrays[name]) for name in inputs})
        return {name: values.numpy() for name, values in outputs.items()}

    def rmse(self, images: np.ndarray) -> float:
        """Mean per-image RMSE over `(N, height, width, channels)` uint8 images."""
        return float(self.errors(images).mean(dtype=np.float64))

    def errors(self, images: np.ndarray) -> np.ndarray:
        """The RMSE of each image, `(N,)` float32, for `(N, height, width, channels)` uint8 images."""
        return np.concatenate([per_image_rmse(*pair) for pair in self.reconstruct_batches(images)])

    def reconstruct_batches(self, images: np.ndarray) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """Scales `(N, height, width, channels)` uint8 images; yields them and their reconstructions in batches."""
        self.check(images)
        serve = self._signatures[SERVING_DEFAULT]
        for batch in EvaluationBatches(images):
            yield batch, serve(**{IMAGES: batch})[RECONSTRUCTION]

    def size_table(self) -> str:
        """Text with the size of one image as pixels, code and switches, and the factors of compression."""
        size = self.card.size_per_image
        rows = (
            ("original", f"{size.original_bits:,} bits at 8 bits a pixel value"),
            ("code", f"{size.code_bits:,} bits as float32"),
            ("switches", f"{size.switches_bits:,.0f} bits, log2(positions in a window) for each switch"),
            ("factor without switches", f"{size.factor_without_switches:.2f}"),
            ("factor with switches", f"{size.factor_with_switches:.2f}"),
            ("factor in numbers", f"{size.factor_in_numbers:.2f}, pixel values divided by code values"),
        )
        return "\n".join(f"{label:<24}{value}" for label, value in rows)

    def check(self, images: np.ndarray) -> None:
        """Raises InputError if images are not uint8 or not of the model's image shape, or if there are none."""
        expected = tuple(self.card.image_shape)
        if isinstance(images, np.ndarray) and images.shape == expected:
            raise InputError("images: one image is not a batch; pass image[np.newaxis]")
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != expected:
            check_images("images", images)
            raise InputError(
                f"images: {_shape_text(images.shape[1:])} each, and {self.name} was made for {_shape_text(expected)}; "
                f"resize them and convert their colours, as programs do with --dataset={FOLDER.name_form}"
            )
        if len(images) == 0:
            raise InputError("images: the array holds no image; give at least one")


class ServedAutoencoder(SignatureAutoencoder):
    """A SavedModel that `exporting.export` wrote.

    Args:
        model_dir: the SavedModel's directory.

    Raises:
        InputError: if the directory is missing, empty or damaged, or holds another kind of model.
    """

    def __init__(self, model_dir: str | Path) -> None:
        self.path = model_directory(model_dir)
        card = ModelCard.read(self.path)
        for file in card.checksums:
            if file != KERAS_FILE:  # `read_keras_model` checks the Keras file.
                card.check_file(self.path, file)
        try:
            self._loaded = tf.saved_model.load(str(self.path))
            signatures = {name: self._loaded.signatures[name] for name in card.signatures}
        except Exception as error:  # TensorFlow raises exceptions of any type for a damaged file.
            raise InputError(
                f"model: {self.path} is not the SavedModel of an autoencoder ({first_line(error)}); {ADVICE}"
            ) from error
        super().__init__(self.path.resolve().name, card, signatures)
        self._check_signatures(signatures)

    def _check_signatures(self, signatures: Mapping[str, Any]) -> None:
        """Raises InputError if a required signature is missing, or if inputs or outputs contradict the card."""
        for name in REQUIRED:
            if name not in signatures:
                raise InputError(f"model: {self.path}'s SavedModel has no signature {name}; {ADVICE}")
        for name, loaded in signatures.items():
            if name not in SIGNATURES:  # Another version exported it.
                continue
            found = loaded.structured_input_signature[1], loaded.structured_outputs
            specs = SIGNATURES[name].inputs, SIGNATURES[name].outputs
            expected = (specs_of(self.card.architecture, self.card.image_shape) for specs_of in specs)
            if list(map(_shapes_and_types, expected)) != list(map(_shapes_and_types, found)):
                raise InputError(
                    f"model: {self.path}'s model card is another model's: the SavedModel's signature {name} does "
                    f"not fit it; {ADVICE}"
                )


def _shapes_and_types(specs: Specs) -> dict[str, tuple[tuple[int | None, ...] | None, str]]:
    """Each tensor's shape and type by its key in `specs`. The name inside a TensorSpec is ignored."""
    return {
        name: (None if spec.shape.rank is None else tuple(spec.shape), spec.dtype.name) for name, spec in specs.items()
    }


def _shape_text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
