"""Max pooling layers that also return the position of every maximum."""

import keras
from keras import ops

from deconv_ae.layers.windows import WindowsLayer
from deconv_ae.ops import checks
from deconv_ae.ops.environment import ARGMAX_DTYPE
from deconv_ae.ops.origin import Origin, with_origin
from deconv_ae.ops.pooling import pool
from deconv_ae.ops.windows import shape_of_pooled


class _TwoShapes(tuple):
    """The shapes of the maxima and of the argmax.

    keras.layers.TimeDistributed takes this pair for one shape and slices it, so a slice raises an error.
    """

    def __getitem__(self, index):
        if isinstance(index, slice):
            raise ValueError(
                "keras.layers.TimeDistributed takes no layer with two results: pool frames with "
                "MaxPoolingWithArgmax3D((1, 2, 2)) and unpool them with MaxUnpooling3D((1, 2, 2)), or wrap one layer "
                "that pools and unpools"
            )
        return super().__getitem__(index)


class _MaxPoolingWithArgmax(WindowsLayer):
    integer_input = "images"

    def call(self, images):
        return pool(ops.cast(checks.as_tensor("images", images), self.compute_dtype), self._windows)

    def compute_output_shape(self, images_shape):
        shape = shape_of_pooled(images_shape, self._windows)
        return _TwoShapes((shape, shape))

    def compute_output_spec(self, images):
        pooled_shape, argmax_shape = self.compute_output_shape(images.shape)
        argmax = keras.KerasTensor(argmax_shape, dtype=ARGMAX_DTYPE)
        origin = Origin(self._windows, self._windows.size_of(images.shape))
        return keras.KerasTensor(pooled_shape, dtype=self.compute_dtype), with_origin(argmax, origin)


@keras.saving.register_keras_serializable(package="deconv_ae")
class MaxPoolingWithArgmax1D(_MaxPoolingWithArgmax):
    """Max pooling of sequences with the positions of the maxima: `MaxPoolingWithArgmax2D` in one dimension.

    Args:
        pool_size: int, length of the window.
        strides: int, distance between windows. Defaults to `pool_size`.
        padding: `"valid"` or `"same"`, in upper or lower case.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `keras.config.image_data_format()`.
        **kwargs: `name` and `dtype`, as for any Keras layer.

    Input shape:
        `(batch, length, channels)`, or `(batch, channels, length)` with `channels_first`.

    Output shape:
        Two tensors of shape `(batch, pooled_length, channels)`, or `(batch, channels, pooled_length)` with
        `channels_first`: the maxima, and their positions within their own sequence as it lies in memory,
        `step * channels + channel` with channels last.

    Example:
    >>> pooled, argmax = MaxPoolingWithArgmax1D(pool_size=2)(keras.ops.array([[[3.0], [7.0], [5.0], [1.0]]]))
    >>> [keras.ops.convert_to_numpy(tensor).squeeze().tolist() for tensor in (pooled, argmax)]
    [[7.0, 5.0], [1, 2]]
    """

    dimensions = 1


@keras.saving.register_keras_serializable(package="deconv_ae")
class MaxPoolingWithArgmax2D(_MaxPoolingWithArgmax):
    """Max pooling of images that also returns the position of every maximum.

    Along an axis of `length`, `padding="valid"` gives `(length - pool) // stride + 1` values. `padding="same"` gives
    `ceil(length / stride)` values, with windows that may reach outside of the image. Among equal values the maximum is
    the first in row-major order. NaN counts as more than any number: a window with a NaN gives NaN and the position of
    its first NaN. Gradients of any order go only to the positions of the maxima.

    On TensorFlow and PyTorch, the layer uses the backend's pooling kernels. Under XLA (on JAX, or on TensorFlow with
    `jit_compile=True`), it is composed of operations that XLA has. The table in `deconv_ae/ops/pooling.py` says which
    implementation runs where. The result is the same everywhere. The layer chooses the implementation when it is
    traced. TensorFlow does not trace a `tf.function` again when a compiled function calls it. So a compiled function
    cannot call a `tf.function` that was traced outside of XLA.

    To pool the frames of a video one by one, use `MaxPoolingWithArgmax3D((1, 2, 2))`; `keras.layers.TimeDistributed`
    does not support layers with two results.

    Args:
        pool_size: int or pair of ints, (height, width) of the window.
        strides: int or pair of ints, distance between windows. May be smaller than `pool_size` (windows overlap)
            or larger (windows skip positions). Defaults to `pool_size`.
        padding: `"valid"` or `"same"`, in upper or lower case.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `keras.config.image_data_format()`.
        **kwargs: `name` and `dtype`, as for any Keras layer.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` with `channels_first`. Any of these
        lengths may be None; JAX must know height and width. The layer casts the input to its compute dtype: float16,
        bfloat16, float32 or float64.

    Output shape:
        A pair of tensors of shape `(batch, pooled_height, pooled_width, channels)`, or `(batch, channels,
        pooled_height, pooled_width)` with `channels_first`: the maxima, in the compute dtype; and their positions
        within their own image as it lies in memory, int64 (int32 on JAX):
        `(row * width + column) * channels + channel`, or `(channel * height + row) * width + column` with
        `channels_first`.

    Raises:
        ValueError: If an argument is not as above, or if `padding` is `"valid"` and the images are known to be smaller
            than the window.

    Example:
    >>> import numpy as np
    >>> images = np.array([[0, 9, 2], [4, 3, 8]], "float32").reshape(1, 2, 3, 1)
    >>> pooled, argmax = MaxPoolingWithArgmax2D(pool_size=2, strides=1)(images)
    >>> [keras.ops.convert_to_numpy(tensor).squeeze().tolist() for tensor in (pooled, argmax)]
    [[9.0, 9.0], [1, 1]]
    """


@keras.saving.register_keras_serializable(package="deconv_ae")
class MaxPoolingWithArgmax3D(_MaxPoolingWithArgmax):
    """Max pooling of volumes with the positions of the maxima: `MaxPoolingWithArgmax2D` in three dimensions.

    Args:
        pool_size: int or three ints, (depth, height, width) of the window.
        strides: int or three ints, distance between windows. Defaults to `pool_size`.
        padding: `"valid"` or `"same"`, in upper or lower case.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `keras.config.image_data_format()`.
        **kwargs: `name` and `dtype`, as for any Keras layer.

    Input shape:
        `(batch, depth, height, width, channels)`, or `(batch, channels, depth, height, width)` with `channels_first`.

    Output shape:
        Two tensors of shape `(batch, pooled_depth, pooled_height, pooled_width, channels)`, or `(batch, channels,
        pooled_depth, pooled_height, pooled_width)` with `channels_first`: the maxima, and their positions within their
        own volume as it lies in memory.

    Example:
    >>> volume = keras.ops.reshape(keras.ops.arange(8, dtype="float32"), (1, 2, 2, 2, 1))
    >>> pooled, argmax = MaxPoolingWithArgmax3D(pool_size=2)(volume)
    >>> float(pooled[0, 0, 0, 0, 0]), int(argmax[0, 0, 0, 0, 0])
    (7.0, 7)
    """

    dimensions = 3
