"""What the layers have in common: arguments that describe pooling windows."""

import keras

from deconv_ae.ops.windows import Windows


class WindowsLayer(keras.layers.Layer):
    """What the layers have in common: arguments that describe pooling windows."""

    dimensions = 2

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(**kwargs)
        self._windows = Windows.from_arguments(pool_size, strides, padding, data_format, self.dimensions)
        self.pool_size = self._windows.pool_size
        self.strides = self._windows.strides
        self.padding = self._windows.padding
        self.data_format = self._windows.data_format
        self.input_spec = keras.layers.InputSpec(ndim=self.dimensions + 2)

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
        }

    @classmethod
    def from_config(cls, config):
        # Files of before there was a choice.
        return cls(**{"data_format": "channels_last", **config})
