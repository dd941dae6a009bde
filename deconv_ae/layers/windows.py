"""What the layers have in common: arguments that describe pooling windows."""

import keras

from deconv_ae.ops.windows import Windows


class WindowsLayer(keras.layers.Layer):
    """What the layers have in common: arguments that describe pooling windows."""

    def __init__(self, pool_size, strides=None, padding="valid", **kwargs):
        super().__init__(**kwargs)
        if keras.config.image_data_format() == "channels_first":
            raise ValueError(
                f"{type(self).__name__} works on channels_last images, and keras.config.image_data_format() is "
                "'channels_first': call keras.config.set_image_data_format('channels_last') and transpose the images"
            )
        self._windows = Windows.from_arguments(pool_size, strides, padding)
        self.pool_size = self._windows.pool_size
        self.strides = self._windows.strides
        self.padding = self._windows.padding
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
        }
