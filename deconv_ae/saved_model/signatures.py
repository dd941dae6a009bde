"""The signatures of an exported autoencoder: names, inputs, outputs and functions.

| signature         | inputs                        | outputs                         |
| ----------------- | ----------------------------- | ------------------------------- |
| `serving_default` | `images`                      | `code`, `reconstruction`        |
| `encode`          | `images`                      | `code`, `switches_1`, ...       |
| `decode`          | `code`, `switches_1`, ...     | `reconstruction`                |

Images, code and reconstruction are float32, switches are uint8. The batch size is free.

To add a signature, add an entry to `SIGNATURES`. Exports of earlier versions stay readable: the model card lists the
signatures that an export has.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import tensorflow as tf

from deconv_ae.model.architecture import Architecture
from deconv_ae.model.autoencoder import Autoencoder

SERVING_DEFAULT, ENCODE, DECODE = "serving_default", "encode", "decode"
IMAGES, CODE, RECONSTRUCTION = "images", "code", "reconstruction"

Specs = dict[str, tf.TensorSpec]
SpecsOf = Callable[[Architecture, Sequence[int]], Specs]
Function = Callable[..., dict[str, tf.Tensor]]


@dataclass(frozen=True)
class Signature:
    """One function of an exported autoencoder.

    Attributes:
        inputs, outputs: return the tensors' specifications by name, for an architecture and an image shape.
        function: returns the function that computes the signature with a model's current weights.
    """

    inputs: SpecsOf
    outputs: SpecsOf
    function: Callable[[Autoencoder], Function]


def images_spec(image_shape: Sequence[int]) -> Specs:
    """The input of `serving_default` and `encode`.

    >>> images_spec((28, 28, 1))["images"].shape
    TensorShape([None, 28, 28, 1])
    """
    return {IMAGES: tf.TensorSpec((None, *image_shape), tf.float32, IMAGES)}


def encoded_specs(architecture: Architecture, image_shape: Sequence[int]) -> Specs:
    """The outputs of `encode`, which are the inputs of `decode`; the code comes first.

    >>> {name: spec.dtype.name for name, spec in encoded_specs(Architecture((5, 1), (2, 2)), (28, 28, 1)).items()}
    {'code': 'float32', 'switches_1': 'uint8', 'switches_2': 'uint8'}
    """
    pooled_shapes = architecture.stage_shapes(image_shape)[1:]
    specs = _code_spec(architecture, image_shape)
    for name, shape in zip(architecture.switches_names, pooled_shapes):
        specs[name] = tf.TensorSpec((None, *shape), tf.uint8, name)
    return specs


def _images_spec(_: Architecture, image_shape: Sequence[int]) -> Specs:
    return images_spec(image_shape)


def _code_spec(architecture: Architecture, image_shape: Sequence[int]) -> Specs:
    return {CODE: tf.TensorSpec((None, *architecture.code_shape(image_shape)), tf.float32, CODE)}


def _reconstruction_spec(_: Architecture, image_shape: Sequence[int]) -> Specs:
    return {RECONSTRUCTION: tf.TensorSpec((None, *image_shape), tf.float32, RECONSTRUCTION)}


def _served_specs(architecture: Architecture, image_shape: Sequence[int]) -> Specs:
    return _code_spec(architecture, image_shape) | _reconstruction_spec(architecture, image_shape)


def _serve(model: Autoencoder) -> Function:
    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        code, switches = model.encode(images)
        return {CODE: code, RECONSTRUCTION: model.reconstruct(code, switches)}

    return serve


def _encode(model: Autoencoder) -> Function:
    def encode(images: tf.Tensor) -> dict[str, tf.Tensor]:
        code, switches = model.encode(images)
        return {CODE: code, **dict(zip(model.architecture.switches_names, switches, strict=True))}

    return encode


def _decode(model: Autoencoder) -> Function:
    def decode(code: tf.Tensor, **switches: tf.Tensor) -> dict[str, tf.Tensor]:
        return {RECONSTRUCTION: model.decode(code, [switches[name] for name in model.architecture.switches_names])}

    return decode


SIGNATURES: dict[str, Signature] = {
    SERVING_DEFAULT: Signature(_images_spec, _served_specs, _serve),
    ENCODE: Signature(_images_spec, encoded_specs, _encode),
    DECODE: Signature(encoded_specs, _reconstruction_spec, _decode),
}
"""The signatures that this version exports."""

REQUIRED = (SERVING_DEFAULT, ENCODE, DECODE)
"""The signatures that every export has, of any version."""


def functions(
    model: Autoencoder, weights: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext
) -> dict[str, Function]:
    """Makes the function of each signature.

    Args:
        model: the autoencoder; a call uses its weights at the time of the call.
        weights: a context that replaces the model's weights during a call.

    Returns:
        The functions by the signatures' names; they take and return tensors by name.
    """

    def in_context(function: Function) -> Function:
        def call(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            with weights():
                return function(**inputs)

        return call

    return {name: in_context(signature.function(model)) for name, signature in SIGNATURES.items()}


def traced(functions: Mapping[str, Function], model: Autoencoder) -> dict[str, Function]:
    """Traces each signature's function once, for any batch size."""
    # Concrete functions: saving would trace a tf.function again, and the file would hold both graphs. No control flow
    # depends on a tensor, and autograph would only double the time of tracing.
    return {
        name: tf.function(function, autograph=False).get_concrete_function(
            **SIGNATURES[name].inputs(model.architecture, model.image_shape)
        )
        for name, function in functions.items()
    }
