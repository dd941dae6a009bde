"""Keras's convolutions, faster for images of few channels on a CPU."""

from typing import Any

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    from deconv_ae.ops import banded_convolution


class _BandedLayer:
    """What the convolution and its transpose have in common: how bias and activation follow."""

    def call(self, images):
        if keras.backend.backend() != "tensorflow" or self.data_format != "channels_last":
            return super().call(images)
        channels, filters = images.shape[-1], self.filters
        if not banded_convolution.is_banded(images.shape[2], channels, filters, self.compute_dtype):
            return super().call(images)
        convolved = self._convolve_by_rows(images, self.kernel)
        if self.use_bias:
            # By rows as well: adding to, and summing over, vectors as long as a row.
            bias = tf.tile(tf.convert_to_tensor(self.bias), (images.shape[2],))
            rows = tf.nn.bias_add(banded_convolution.rows_of(convolved), bias)
            convolved = banded_convolution.images_of(rows, images.shape[2])
        return convolved if self.activation is None else self.activation(convolved)


@keras.saving.register_keras_serializable(package="deconv_ae")
class BandedConv2D(_BandedLayer, keras.layers.Conv2D):
    """`keras.layers.Conv2D` for images of few channels: the same weights and, but for rounding, the same results.

    On TensorFlow, on a CPU and outside of XLA, float32 images of at most 32 columns, with one channel going in or
    coming out and at most 8 on the other side, are convolved by rows, and everything else as by the class that this
    one is derived from. Takes that class's arguments; strides, dilation_rate and groups have to be 1, and padding is
    "same".

    >>> layer = BandedConv2D(3, kernel_size=5, activation="relu")
    >>> tuple(layer(keras.ops.ones((2, 28, 28, 1))).shape)
    (2, 28, 28, 3)
    """

    def __init__(self, filters: int, kernel_size: Any, **options: Any) -> None:
        super().__init__(filters, kernel_size, **_same(options))

    def _convolve_by_rows(self, images: Any, kernel: Any) -> Any:
        return banded_convolution.convolve(images, kernel)


@keras.saving.register_keras_serializable(package="deconv_ae")
class BandedConv2DTranspose(_BandedLayer, keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose` for images of few channels, as `BandedConv2D` is of `Conv2D`.

    >>> layer = BandedConv2DTranspose(1, kernel_size=5, use_bias=False)
    >>> tuple(layer(keras.ops.ones((2, 28, 28, 3))).shape)
    (2, 28, 28, 1)
    """

    def __init__(self, filters: int, kernel_size: Any, **options: Any) -> None:
        super().__init__(filters, kernel_size, **_same(options))

    def _convolve_by_rows(self, images: Any, kernel: Any) -> Any:
        return banded_convolution.convolve_transposed(images, kernel)


def _same(options: dict[str, Any]) -> dict[str, Any]:
    """The options with what the rows take for granted; ValueError if they ask for something else."""
    given = {name: value for name, value in options.items() if value is not None}
    for name, only in (("strides", 1), ("dilation_rate", 1), ("groups", 1)):
        value = given.pop(name, only)
        if value not in (only, (only, only), [only, only]):
            raise ValueError(f"`{name}` has to be 1; got {name}={value!r}")
    if given.pop("padding", "same") != "same":
        raise ValueError(f"`padding` has to be 'same'; got padding={options['padding']!r}")
    return {**options, "padding": "same"}
