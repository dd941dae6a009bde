"""The conversions between argmax and switches as layers."""

import keras

from deconv_ae.layers.windows import WindowsLayer
from deconv_ae.ops.environment import ARGMAX_DTYPE
from deconv_ae.ops.origin import Origin, with_origin
from deconv_ae.ops.switches import argmax_to_switches, switches_to_argmax, windows_with_switches
from deconv_ae.ops.windows import lengths_argument


class _SwitchesLayer(WindowsLayer):
    """The base class of `ArgmaxToSwitches2D` and `SwitchesToArgmax2D`."""

    def __init__(self, pool_size=2, strides=None, padding="valid", input_size=None, data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        # Raises a ValueError if a window has more than 256 positions.
        windows_with_switches(pool_size, strides, padding, data_format)
        self.input_size = lengths_argument("input_size", input_size, self.dimensions)

    def compute_output_shape(self, input_shape):
        self._windows.check_restorable(self.input_size, self._windows.size_of(input_shape))
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "input_size": self.input_size}


@keras.saving.register_keras_serializable(package="deconv_ae")
class ArgmaxToSwitches2D(_SwitchesLayer):
    """The function `argmax_to_switches` as a layer.

    Args:
        pool_size: int or pair of ints, the pooling's window, of at most 256 positions.
        strides: int or pair of ints, the pooling's strides. Defaults to `pool_size`.
        padding: the pooling's padding, `"valid"` or `"same"`.
        input_size: pair of ints, (height, width) of the images that were pooled. Required.
        data_format: the pooling's data format. Defaults to `keras.config.image_data_format()`.
        **kwargs: `name` and `dtype`, as for any Keras layer.

    Input shape:
        Integers, `(batch, pooled_height, pooled_width, channels)`, or `(batch, channels, pooled_height, pooled_width)`
        with `channels_first`.

    Output shape:
        The shape of the input, uint8.
    """

    def call(self, argmax):
        return argmax_to_switches(argmax, self.input_size, self.pool_size, self.strides, self.padding, self.data_format)

    def compute_output_spec(self, argmax):
        return keras.KerasTensor(self.compute_output_shape(argmax.shape), dtype="uint8")


@keras.saving.register_keras_serializable(package="deconv_ae")
class SwitchesToArgmax2D(_SwitchesLayer):
    """The function `switches_to_argmax` as a layer.

    Args:
        pool_size: int or pair of ints, the pooling's window, of at most 256 positions.
        strides: int or pair of ints, the pooling's strides. Defaults to `pool_size`.
        padding: the pooling's padding, `"valid"` or `"same"`.
        input_size: pair of ints, (height, width) of the images that were pooled. Required.
        data_format: the pooling's data format. Defaults to `keras.config.image_data_format()`.
        **kwargs: `name` and `dtype`, as for any Keras layer.

    Input shape:
        Integers, `(batch, pooled_height, pooled_width, channels)`, or `(batch, channels, pooled_height, pooled_width)`
        with `channels_first`.

    Output shape:
        The shape of the input, int64 (int32 on JAX).
    """

    integer_input = "switches"

    def call(self, switches):
        return switches_to_argmax(
            switches, self.input_size, self.pool_size, self.strides, self.padding, self.data_format
        )

    def compute_output_spec(self, switches):
        argmax = keras.KerasTensor(self.compute_output_shape(switches.shape), dtype=ARGMAX_DTYPE)
        return with_origin(argmax, Origin(self._windows, self.input_size))
