"""Max unpooling layers, which put maxima back at their positions."""

import keras
from keras import ops

from deconv_ae.layers.windows import WindowsLayer
from deconv_ae.ops import checks
from deconv_ae.ops.origin import origin_of
from deconv_ae.ops.unpooling import size_to_restore, unpool
from deconv_ae.ops.windows import static


class _MaxUnpooling(WindowsLayer):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # With an `input_spec`, Keras would reject a list of `pooled` and `argmax`; `unpool` checks their shapes.
        self.input_spec = None

    def call(self, pooled, argmax=None, output_size=None, like=None):
        pooled, argmax = self._pooled_and_argmax(pooled, argmax)
        values = ops.cast(checks.as_tensor("pooled", pooled), self.compute_dtype)
        return unpool(values, argmax, self._windows, output_size, like)

    def compute_output_shape(self, pooled_shape, argmax_shape=None, output_size=None, like_shape=None):
        if isinstance(pooled_shape[0], (tuple, list)):
            pooled_shape, argmax_shape = pooled_shape
        argmax = keras.KerasTensor(pooled_shape if argmax_shape is None else argmax_shape, dtype="int64")
        like = None if like_shape is None else keras.KerasTensor(like_shape)
        return self._restored_shape(pooled_shape, argmax, output_size, like)

    def compute_output_spec(self, pooled, argmax=None, output_size=None, like=None):
        pooled, argmax = self._pooled_and_argmax(pooled, argmax)
        self._windows.check_rank("pooled", pooled.shape)
        checks.check_same_shape(pooled, argmax, self._windows.channel_axis)
        shape = self._restored_shape(pooled.shape, argmax, output_size, like)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def _restored_shape(self, pooled_shape, argmax, output_size, like):
        size = size_to_restore(argmax, self._windows, origin_of(argmax), output_size, like)
        return self._windows.shape_of(pooled_shape[0], static(size), pooled_shape[self._windows.channel_axis])

    def _pooled_and_argmax(self, pooled, argmax):
        """Returns `pooled` and `argmax`. If `argmax` is None, `pooled` is a list of both, as in keras.Sequential."""
        if argmax is None and isinstance(pooled, (tuple, list)) and len(pooled) == 2:
            return pooled
        if argmax is None:
            raise ValueError(
                f"{type(self).__name__} needs `argmax`: call it with (pooled, argmax) or a list of both; "
                "keras.layers.TimeDistributed passes one tensor only, so unpool frames with "
                "MaxUnpooling3D((1, 2, 2))"
            )
        return pooled, argmax


@keras.saving.register_keras_serializable(package="deconv_ae")
class MaxUnpooling1D(_MaxUnpooling):
    """Puts the pooled values of a sequence back at the positions of the maxima: `MaxUnpooling2D` in one dimension.

    Args:
        pool_size: int, length of the pooling's window.
        strides: int, the pooling's strides. Defaults to `pool_size`.
        padding: the pooling's padding, `"valid"` or `"same"`.
        data_format: the pooling's data format. Defaults to `keras.config.image_data_format()`.
        **kwargs: `name` and `dtype`, as for any Keras layer.

    Example:
    >>> from deconv_ae import MaxPoolingWithArgmax1D
    >>> pooled, argmax = MaxPoolingWithArgmax1D(2)(keras.ops.array([[[3.0], [7.0], [5.0], [1.0]]]))
    >>> keras.ops.convert_to_numpy(MaxUnpooling1D(2)(pooled, argmax)).squeeze().tolist()
    [0.0, 7.0, 5.0, 0.0]
    """

    dimensions = 1


@keras.saving.register_keras_serializable(package="deconv_ae")
class MaxUnpooling2D(_MaxUnpooling):
    """Puts every pooled value back at the position of its maximum; all other values are 0.

    This is the counterpart of `MaxPoolingWithArgmax2D` with the same arguments, see https://arxiv.org/abs/1505.04366.
    Values are assigned, not added: if several windows chose one position, the last of them in row-major order wins, on
    every device and in every run, and only its value gets the gradient. A position may be anywhere in its own image and
    channel, even outside of its value's window.

    Several sizes pool to the same shape: 28 and 29 both pool to 14. Give the size to restore as `output_size`, or a
    tensor of that size as `like`. On TensorFlow and JAX, a pooling layer attaches the size of its images to the
    `argmax`. That size is then the default, and any other size is an error. If no size is attached, the default is that
    of TensorFlow Addons: `(pooled - 1) * stride + pool` for `padding="valid"`, `pooled * stride` for `padding="same"`.
    If the positions do not lie in their windows for the default size, but do for another size, that is an error.

    On TensorFlow and JAX, the layer does not check positions that a pooling layer with the same arguments returned. It
    checks that all other positions are in their own image and channel, except in code that XLA compiles.

    Args:
        pool_size: int or pair of ints, (height, width) of the pooling's window.
        strides: int or pair of ints, the pooling's strides. Defaults to `pool_size`.
        padding: the pooling's padding, `"valid"` or `"same"`.
        data_format: the pooling's data format. Defaults to `keras.config.image_data_format()`.
        **kwargs: `name` and `dtype`, as for any Keras layer.

    Call arguments:
        pooled: the values; or a list of the values and `argmax`.
        argmax: the values' positions, as `MaxPoolingWithArgmax2D` numbers them: integers of the shape of `pooled`.
        output_size: (height, width) to restore: two ints, or an integer tensor of shape (2,).
        like: a tensor with the height and width to restore, for models that know them only at run time.

    Input shape:
        `pooled` and `argmax`: `(batch, pooled_height, pooled_width, channels)`, or `(batch, channels, pooled_height,
        pooled_width)` with `channels_first`. Any of these lengths may be None; JAX must know height and width.

    Output shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` with `channels_first`, in the compute
        dtype.

    Raises:
        ValueError: If an argument is not as above; if both `output_size` and `like` are given; if the size is known
            not to pool to the shape of `pooled` (the message has the sizes that do); if the size is known to differ
            from that of the images before pooling; on PyTorch, and on JAX outside of `jit`, also if positions are not
            in their own image and channel, or are in their windows for another size but not for the default size.
        tf.errors.InvalidArgumentError: On TensorFlow, when the layer runs: if positions are not in their own image and
            channel, if they are in their windows for another size but not for the default size, or if the size does
            not pool to the shape of `pooled` or differs from that of the images before pooling. Code that XLA compiles
            cannot raise: it drops a value whose position is not in its own image, and a value whose position is in
            another channel goes to that channel.

    Example:
    >>> import numpy as np
    >>> from deconv_ae import MaxPoolingWithArgmax2D
    >>> images = np.array([[0, 9, 2], [4, 3, 8]], "float32").reshape(1, 2, 3, 1)
    >>> pooled, argmax = MaxPoolingWithArgmax2D(pool_size=2)(images)
    >>> keras.ops.convert_to_numpy(MaxUnpooling2D(pool_size=2)(pooled, argmax)).squeeze()
    array([[0., 9., 0.],
           [0., 0., 0.]], dtype=float32)
    """


@keras.saving.register_keras_serializable(package="deconv_ae")
class MaxUnpooling3D(_MaxUnpooling):
    """Puts the pooled values of a volume back at the positions of the maxima: `MaxUnpooling2D` in three dimensions.

    Args:
        pool_size: int or three ints, (depth, height, width) of the pooling's window.
        strides: int or three ints, the pooling's strides. Defaults to `pool_size`.
        padding: the pooling's padding, `"valid"` or `"same"`.
        data_format: the pooling's data format. Defaults to `keras.config.image_data_format()`.
        **kwargs: `name` and `dtype`, as for any Keras layer.

    Example:
    >>> from deconv_ae import MaxPoolingWithArgmax3D
    >>> volume = keras.ops.reshape(keras.ops.arange(8, dtype="float32"), (1, 2, 2, 2, 1))
    >>> keras.ops.convert_to_numpy(MaxUnpooling3D(2)(*MaxPoolingWithArgmax3D(2)(volume))).ravel().tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 7.0]
    """

    dimensions = 3
