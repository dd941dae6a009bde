"""Keras's convolutions, faster for images of few channels on a CPU."""

from typing import Any

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    from deconv_ae.ops import banded_convolution, pooled_convolution
    from deconv_ae.ops.pooled_convolution import Convolution


class _BandedLayer:
    """What the convolution and its transpose have in common: how bias and activation follow."""

    def call(self, images):
        if keras.backend.backend() != "tensorflow" or self.data_format != "channels_last":
            return super().call(images)
        channels, filters = images.shape[-1], self.filters
        if not (
            banded_convolution.is_banded(images.shape[2], channels, filters, self.compute_dtype)
            or self._is_phased(images.shape[2])
        ):
            return super().call(images)
        kernel, bias = tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.bias) if self.use_bias else None
        convolved = self._convolve_by_rows(images, kernel)
        if bias is not None:
            # By rows as well: adding to, and summing over, vectors as long as a row.
            rows = tf.nn.bias_add(banded_convolution.rows_of(convolved), tf.tile(bias, (images.shape[2],)))
            convolved = banded_convolution.images_of(rows, images.shape[2])
        if self.activation is not None:
            convolved = self.activation(convolved)
        return self._known_as_convolution(convolved, images, kernel, bias)

    def _is_phased(self, width):
        return False

    def _known_as_convolution(self, convolved, images, kernel, bias):
        return convolved


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

    def _known_as_convolution(self, convolved: Any, images: Any, kernel: Any, bias: Any) -> Any:
        if self.activation not in (keras.activations.linear, keras.activations.relu):
            return convolved
        relu = self.activation is keras.activations.relu
        return pooled_convolution.with_convolution(convolved, Convolution(images, kernel, bias, relu))


@keras.saving.register_keras_serializable(package="deconv_ae")
class BandedConv2DTranspose(_BandedLayer, keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose` for images of few channels, as `BandedConv2D` is of `Conv2D`.

    Of any width and number of channels going in, up to 8 coming out are computed for several neighbouring pixels at
    once, by odd kernels.

    >>> layer = BandedConv2DTranspose(1, kernel_size=5, use_bias=False)
    >>> tuple(layer(keras.ops.ones((2, 28, 28, 3))).shape)
    (2, 28, 28, 1)
    """

    def __init__(self, filters: int, kernel_size: Any, **options: Any) -> None:
        super().__init__(filters, kernel_size, **_same(options))

    def _convolve_by_rows(self, images: Any, kernel: Any) -> Any:
        if banded_convolution.is_banded(images.shape[2], images.shape[-1], self.filters, self.compute_dtype):
            return pooled_convolution.convolve_transposed(images, kernel)
        return banded_convolution.convolve_transposed_by_phases(images, kernel)

    def _is_phased(self, width: int | None) -> bool:
        return banded_convolution.is_phased(width, self.filters, self.kernel_size, self.compute_dtype)


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
