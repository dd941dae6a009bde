"""The signatures of an exported autoencoder: their names, what goes in and what comes out.

| signature         | takes                         | returns                         |
| ----------------- | ----------------------------- | ------------------------------- |
| `serving_default` | `images`                      | `code`, `reconstruction`        |
| `encode`          | `images`                      | `code`, `switches_1`, ...       |
| `decode`          | `code`, `switches_1`, ...     | `reconstruction`                |

Images, code and reconstruction are float32, switches uint8, batches of any size.
"""

import contextlib
from collections.abc import Callable, Sequence

import tensorflow as tf

from deconv_ae.model.architecture import Architecture
from deconv_ae.model.autoencoder import Autoencoder

SERVING_DEFAULT, ENCODE, DECODE = "serving_default", "encode", "decode"
OF_EVERY_EXPORT = (SERVING_DEFAULT, ENCODE, DECODE)
SIGNATURES = OF_EVERY_EXPORT
"""What this version exports. A model's card says which it has: one that is added here is missing in earlier exports,
which can be used all the same."""
IMAGES, CODE, RECONSTRUCTION = "images", "code", "reconstruction"

Specs = dict[str, tf.TensorSpec]
Function = Callable[..., dict[str, tf.Tensor]]


def images_spec(image_shape: Sequence[int]) -> Specs:
    """What `serving_default` and `encode` take.

    >>> images_spec((28, 28, 1))["images"].shape
    TensorShape([None, 28, 28, 1])
    """
    return {IMAGES: tf.TensorSpec((None, *image_shape), tf.float32, IMAGES)}


def encoded_specs(architecture: Architecture, image_shape: Sequence[int]) -> Specs:
    """What `encode` returns and `decode` takes, the code first.

    >>> {name: spec.dtype.name for name, spec in encoded_specs(Architecture((5, 1), (2, 2)), (28, 28, 1)).items()}
    {'code': 'float32', 'switches_1': 'uint8', 'switches_2': 'uint8'}
    """
    pooled_shapes = architecture.stage_shapes(image_shape)[1:]
    specs = {CODE: tf.TensorSpec((None, *architecture.code_shape(image_shape)), tf.float32, CODE)}
    for name, shape in zip(architecture.switches_names, pooled_shapes):
        specs[name] = tf.TensorSpec((None, *shape), tf.uint8, name)
    return specs


def functions(
    model: Autoencoder, weights: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext
) -> dict[str, Function]:
    """What each signature computes, by its name.

    Args:
        model: from its weights as they are when it runs.
        weights: a context in which the model has others.
    """
    names = model.architecture.switches_names

    def encode(images: tf.Tensor) -> dict[str, tf.Tensor]:
        with weights():
            code, switches = model.encode(images)
        return {CODE: code, **dict(zip(names, switches))}

    def decode(code: tf.Tensor, **switches: tf.Tensor) -> dict[str, tf.Tensor]:
        with weights():
            return {RECONSTRUCTION: model.decode(code, [switches[name] for name in names])}

    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        with weights():
            code, switches = model.encode(images)
            return {CODE: code, RECONSTRUCTION: model.reconstruct(code, switches)}

    return {SERVING_DEFAULT: serve, ENCODE: encode, DECODE: decode}


def traced(functions: dict[str, Function], model: Autoencoder) -> dict[str, Function]:
    """The same as graphs, for batches of any size."""
    images, encoded = images_spec(model.image_shape), encoded_specs(model.architecture, model.image_shape)
    taken = {SERVING_DEFAULT: images, ENCODE: images, DECODE: encoded}
    # Traced once: of functions that could be traced anew, saving does it, and the file has both. No control flow
    # depends on a tensor: autograph would only make tracing twice as long.
    return {
        name: tf.function(function, autograph=False).get_concrete_function(**taken[name])
        for name, function in functions.items()
    }
