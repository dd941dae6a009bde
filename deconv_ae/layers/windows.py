"""The base class of the layers whose arguments describe pooling windows."""

import keras

from deconv_ae.ops import checks
from deconv_ae.ops.windows import Windows


class WindowsLayer(keras.layers.Layer):
    """The base class of the layers whose arguments describe pooling windows."""

    dimensions = 2
    integer_input = "argmax"
    """The name, for messages, of the input whose integers may be too wide for the backend."""

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(**kwargs)
        self._windows = Windows.from_arguments(pool_size, strides, padding, data_format, self.dimensions)
        self.pool_size = self._windows.pool_size
        self.strides = self._windows.strides
        self.padding = self._windows.padding
        self.data_format = self._windows.data_format
        self.input_spec = keras.layers.InputSpec(ndim=self.dimensions + 2)
        # The layer has no weights, so it is built at once.
        self.built = True

    def __call__(self, *args, **kwargs):
        # On JAX, `keras.layers.Layer.__call__` silently narrows integers to int32, so this check must come first.
        keras.tree.map_structure(self._check_integer_width, (args, kwargs))
        return super().__call__(*args, **kwargs)

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
        }

    def _check_integer_width(self, value):
        # TensorFlow's tensors have no `max`. They need no check here: Keras does not narrow them, so
        # `checks.as_integers` can still check them when `call` runs.
        if hasattr(value, "dtype") and hasattr(value, "max"):
            checks.check_width(self.integer_input, value)
