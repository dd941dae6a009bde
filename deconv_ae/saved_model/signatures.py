"""The signatures of an exported autoencoder: names, inputs, outputs and functions.

| signature         | inputs                        | outputs                         |
| ----------------- | ----------------------------- | ------------------------------- |
| `serving_default` | `images`                      | `code`, `reconstruction`        |
| `encode`          | `images`                      | `code`, `switches_1`, ...       |
| `decode`          | `code`, `switches_1`, ...     | `reconstruction`                |

Images, code and reconstruction are float32, switches are uint8. The batch size is free.

To add a signature, add an entry to `SIGNATURES`. Every entry is exported; it is converted if its `converted` is not
None. Exports of earlier versions stay readable: the model card lists the signatures that an export has.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import tensorflow as tf

from deconv_ae.model.architecture import Architecture
from deconv_ae.model.autoencoder import Autoencoder

SERVING_DEFAULT, ENCODE, DECODE = "serving_default", "encode", "decode"
IMAGES, CODE, RECONSTRUCTION = "images", "code", "reconstruction"
SERVE = "serve"
"""The attribute of a loaded SavedModel that keras.layers.TFSMLayer calls by default. It holds the function of
`serving_default`."""

Specs = dict[str, tf.TensorSpec]
SpecsOf = Callable[[Architecture, Sequence[int]], Specs]
Function = Callable[..., dict[str, tf.Tensor]]


class Model(Protocol):
    """What signatures call: an `Autoencoder`, or its `PortableAutoencoder` for other runtimes."""

    architecture: Architecture

    def encode(self, images: Any) -> tuple[Any, list[Any]]:
        """Returns the code, and the switches of each stage from the first to the last."""

    def decode(self, code: Any, switches: Sequence[Any]) -> Any:
        """Returns the reconstruction; may raise an error for a switch outside of its window."""

    def reconstruct(self, code: Any, switches: Sequence[Any]) -> Any:
        """Does the same as `decode`, but without checking the switches, which must come from `encode`."""


@dataclass(frozen=True)
class Signature:
    """One function of an exported autoencoder.

    Attributes:
        name: its name. In the loaded SavedModel, the attribute that holds the function has the same name, except that
            the attribute of `serving_default` is `serve`.
        inputs, outputs: return the tensors' specifications by name, for an architecture and an image shape.
        function: returns the function that computes the signature with a model's current weights.
        converted: the name of its converted files; None for a signature that no format needs.

    Raises:
        ValueError: for a name that no attribute can have, or that another attribute has.

    >>> Signature("serve", _images_spec, _images_spec, _serve, converted=None)
    Traceback (most recent call last):
    ValueError: 'serve' cannot be the name of a signature: a SavedModel has, or cannot have, an attribute of that name
    """

    name: str
    inputs: SpecsOf
    outputs: SpecsOf
    function: Callable[[Model], Function]
    converted: str | None

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name in (SERVE, "signatures", *dir(tf.Module())):
            raise ValueError(
                f"{self.name!a} cannot be the name of a signature: a SavedModel has, or cannot have, an attribute of "
                "that name"
            )

    @property
    def attribute(self) -> str:
        """The name of the loaded SavedModel's attribute that holds the signature's function."""
        return SERVE if self.name == SERVING_DEFAULT else self.name


def by_name(*signatures: Signature) -> dict[str, Signature]:
    """The signatures by their names; raises ValueError if two have the same name, or the same `converted`."""
    for names in ([each.name for each in signatures], [each.converted for each in signatures if each.converted]):
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name!a} is the name of two signatures, or of their converted files")
    return {each.name: each for each in signatures}


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


def _code_and_reconstruction_specs(architecture: Architecture, image_shape: Sequence[int]) -> Specs:
    return _code_spec(architecture, image_shape) | _reconstruction_spec(architecture, image_shape)


def _serve(model: Model) -> Function:
    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        code, switches = model.encode(images)
        return {CODE: code, RECONSTRUCTION: model.reconstruct(code, switches)}

    return serve


def _encode(model: Model) -> Function:
    def encode(images: tf.Tensor) -> dict[str, tf.Tensor]:
        code, switches = model.encode(images)
        return {CODE: code, **dict(zip(model.architecture.switches_names, switches, strict=True))}

    return encode


def _decode(model: Model) -> Function:
    def decode(code: tf.Tensor, **switches: tf.Tensor) -> dict[str, tf.Tensor]:
        return {RECONSTRUCTION: model.decode(code, [switches[name] for name in model.architecture.switches_names])}

    return decode


SIGNATURES = by_name(
    Signature(SERVING_DEFAULT, _images_spec, _code_and_reconstruction_specs, _serve, converted="autoencoder"),
    Signature(ENCODE, _images_spec, encoded_specs, _encode, converted="encoder"),
    Signature(DECODE, encoded_specs, _reconstruction_spec, _decode, converted="decoder"),
)
"""The signatures that this version exports."""

REQUIRED = (SERVING_DEFAULT, ENCODE, DECODE)
"""The signatures that every export has, of any version."""


def functions(
    model: Autoencoder, weights_context: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext
) -> dict[str, Function]:
    """Makes the function of each signature.

    Args:
        model: the autoencoder; a call uses its weights at the time of the call.
        weights_context: returns a context that may replace the model's weights during a call.

    Returns:
        The functions by the signatures' names; they take and return tensors by name.
    """

    def in_context(function: Function) -> Function:
        def call(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            with weights_context():
                return function(**inputs)

        return call

    return {name: in_context(signature.function(model)) for name, signature in SIGNATURES.items()}


def trace(functions: Mapping[str, Function], model: Autoencoder) -> dict[str, Function]:
    """Traces each signature's function once, for any batch size. Asking for gradients raises LookupError."""
    # These are concrete functions, because saving would trace a tf.function again, and the file would hold both graphs.
    # No control flow depends on a tensor, and autograph would only double the time of tracing.
    return {
        name: tf.function(_without_gradient(function), autograph=False).get_concrete_function(
            **SIGNATURES[name].inputs(model.architecture, model.image_shape)
        )
        for name, function in functions.items()
    }


def _without_gradient(function: Function) -> Function:
    # Without PreventGradient, TensorFlow would return zeros as the gradient of some exported graphs.
    reason = "an exported autoencoder has no gradient; for gradients, use Keras's model.export"

    def call(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = function(**inputs)
        return {name: tf.raw_ops.PreventGradient(input=each, message=reason) for name, each in outputs.items()}

    return call
