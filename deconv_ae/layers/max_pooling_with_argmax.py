"""Max pooling that also tells where every maximum was."""

import keras
import tensorflow as tf

from deconv_ae.layers.windows import WindowsLayer
from deconv_ae.ops import execution
from deconv_ae.ops.execution import with_gradient
from deconv_ae.ops.pooling import max_pool
from deconv_ae.ops.positions import Positions
from deconv_ae.ops.provenance import with_windows
from deconv_ae.ops.windows import lengths_of


@keras.saving.register_keras_serializable(package="deconv_ae")
class MaxPoolingWithArgmax2D(WindowsLayer):
    """Max pooling of images that also tells where every maximum was.

    Along an axis of `length`, `padding="valid"` gives `(length - pool) // stride + 1` values and `padding="same"`
    gives `ceil(length / stride)`, with windows that may reach outside of the image. Among equal values the first in
    row-major order is the maximum. NaN counts as more than any number: a window with a NaN gives NaN, and the
    position of its first.

    TensorFlow's pooling kernels do the work: on a CPU, for images of known size with fewer than 16 channels, in
    float32 (up to 2**24 values) or float64, max pooling followed by a look-up of the maxima, which is the faster there,
    and otherwise `tf.nn.max_pool_with_argmax`. XLA can use neither, so under `jit_compile=True` the layer is composed
    of slices and comparisons, or of an argmax over each window where they lie side by side; so it is, too, for a batch
    with a NaN, -inf or the lowest finite number, which the kernels get wrong, and on a GPU under
    `tf.config.experimental.enable_op_determinism`. The result is the same. XLA or not, the layer asks when it is
    traced: TensorFlow reuses a `tf.function` that it has traced outside of XLA, and then cannot compile it when a
    compiled one calls it.

    Args:
        pool_size: int or pair of ints, (height, width) of the window.
        strides: int or pair of ints, how far windows are apart. May be smaller than `pool_size` (windows overlap)
            or larger (positions are left out). Defaults to `pool_size`.
        padding: `"valid"` or `"same"`, in any case.
        **kwargs: `name` and `dtype`, as for any Keras layer.

    Input shape:
        `(batch, height, width, channels)`, any of which may be None; cast to the compute dtype: float16, bfloat16,
        float32 or float64.

    Output shape:
        A pair of tensors of shape `(batch, pooled_height, pooled_width, channels)`: the maxima, in the compute
        dtype; and their positions within their own image, int64, `(row * width + column) * channels + channel`.

    Raises:
        ValueError: For an argument that is not as above, for images that are known to be smaller than the window
            with `"valid"`, and where Keras's image data format is channels_first.

    Example:

    >>> import numpy as np
    >>> images = np.array([[0, 9, 2], [4, 3, 8]], "float32").reshape(1, 2, 3, 1)
    >>> pooled, argmax = MaxPoolingWithArgmax2D(pool_size=2, strides=1)(images)
    >>> pooled.numpy().squeeze(), argmax.numpy().squeeze()
    (array([9., 9.], dtype=float32), array([1, 1]))
    """

    def call(self, images):
        images = tf.cast(images, self.compute_dtype)
        size = lengths_of(images)[1:3]
        shape, _ = self.compute_output_shape(images.shape)

        @with_gradient
        def pool(images):
            pooled, argmax = max_pool(images, self._windows)
            positions = Positions(argmax, size, self._windows, in_windows=True, composed=execution.must_compose())
            return (pooled, argmax), lambda upstream, _: positions.scatter_add(upstream)

        pooled, argmax = pool(images)
        argmax = tf.ensure_shape(argmax, shape)
        return tf.ensure_shape(pooled, shape), with_windows(argmax, self._windows, size)

    def compute_output_shape(self, images_shape):
        batch, height, width, channels = images_shape
        shape = (batch, *self._windows.pooled_size((height, width)), channels)
        return shape, shape

    def compute_output_spec(self, images):
        pooled_shape, argmax_shape = self.compute_output_shape(images.shape)
        return (
            keras.KerasTensor(pooled_shape, dtype=self.compute_dtype),
            keras.KerasTensor(argmax_shape, dtype="int64"),
        )
