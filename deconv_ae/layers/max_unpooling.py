"""The unpooling that puts maxima back where they were."""

import keras
import tensorflow as tf

from deconv_ae.layers.windows import WindowsLayer
from deconv_ae.ops import execution
from deconv_ae.ops.execution import checked, cond
from deconv_ae.ops.positions import Positions
from deconv_ae.ops.provenance import known_in_windows
from deconv_ae.ops.switches import switches_of
from deconv_ae.ops.windows import Size, check_integers, int64, lengths_of, product, size_argument, static


@keras.saving.register_keras_serializable(package="deconv_ae")
class MaxUnpooling2D(WindowsLayer):
    """Puts every pooled value back to the position of its maximum; all other values are 0.

    The counterpart of `MaxPoolingWithArgmax2D` with the same arguments, as in https://arxiv.org/abs/1505.04366.
    Values are assigned, not added: where several windows chose one position, the last of them in row-major order
    wins, on every device and in every run, and the gradient goes to it alone. Any position of the image is allowed,
    also one outside of the window that chose it.

    Several sizes pool to the same shape. Call the layer with the one to restore, as `output_size`, or with a tensor
    `like` the one that was pooled; the default is the smallest, which is `(pooled - 1) * stride + pool` for
    `padding="valid"` and `(pooled - 1) * stride + 1` for `padding="same"`.

    It is fastest on an `argmax` that comes straight from the pooling layer. Positions of unknown origin are looked
    at first: whether they are in the image, and each in the window that chose it.

    Args:
        pool_size: int or pair of ints, (height, width) of the pooling's window.
        strides: int or pair of ints, the pooling's strides. Defaults to `pool_size`.
        padding: `"valid"` or `"same"`: the pooling's padding.
        **kwargs: `name` and `dtype`, as for any Keras layer.

    Call arguments:
        pooled: the values.
        argmax: their positions, as `MaxPoolingWithArgmax2D` numbers them: integers of the shape of `pooled`, which is
            checked as far as it is known when the call is traced.
        output_size: (height, width) to restore: two ints, or an integer tensor of shape (2,).
        like: tensor of shape `(batch, height, width, any)`, of which only height and width are used: for models
            that know them only at run time.

    Input shape:
        `pooled` and `argmax`: `(batch, pooled_height, pooled_width, channels)`, any of which may be None.

    Output shape:
        `(batch, height, width, channels)`, in the compute dtype.

    Raises:
        ValueError: For an argument that is not as above, for both `output_size` and `like`, for a size that is
            known not to pool to the shape of `pooled` (the message has the sizes that do), and where Keras's image
            data format is channels_first.
        tf.errors.InvalidArgumentError: When it runs, for positions that are not in the image and for a size that
            does not pool to the shape of `pooled`. XLA cannot raise: compiled with it, a value whose position is
            not in the image is left out.

    Example:

    >>> import numpy as np
    >>> from deconv_ae import MaxPoolingWithArgmax2D
    >>> images = np.array([[0, 9, 2], [4, 3, 8]], "float32").reshape(1, 2, 3, 1)
    >>> pooled, argmax = MaxPoolingWithArgmax2D(pool_size=2)(images)
    >>> MaxUnpooling2D(pool_size=2)(pooled, argmax, like=images).numpy().squeeze()
    array([[0., 9., 0.],
           [0., 0., 0.]], dtype=float32)
    """

    def call(self, pooled, argmax, output_size=None, like=None):
        self._check_arguments(pooled, argmax, like)
        like_size = None if like is None else lengths_of(like)[1:3]
        size = self._size_to_restore(lengths_of(pooled)[1:3], output_size, like_size)
        pooled = tf.cast(pooled, self.compute_dtype)
        positions = self._positions(argmax, size)
        images = positions.scatter_add(positions.only_winners(pooled))
        batch, *_, channels = pooled.shape
        return tf.ensure_shape(images, (batch, *static(size), channels))

    def _positions(self, argmax, size) -> Positions:
        """The positions, behind the checks that the kernels need: those do not look where they write.

        `MaxPoolGradWithArgmax` on the CPU writes into the neighbouring image, or aborts the process.
        """
        in_windows = known_in_windows(argmax, self._windows, size)
        argmax = tf.cast(argmax, tf.int64)
        if in_windows is not True:
            argmax = self._windows.checked_restorable(argmax, size)
            image_length = int64(product((*size, lengths_of(argmax)[-1])))
            smallest, largest = tf.reduce_min(argmax), tf.reduce_max(argmax)
            message = "argmax is out of range: its smallest and largest position, and an image's number of them:"
            # The smallest number of an empty tensor is the largest int64, and the other way round.
            in_range = (smallest >= 0) & (largest < image_length)
            argmax = checked(argmax, in_range, [message, smallest, largest, image_length])
            in_windows = cond(
                in_windows,
                lambda: tf.constant(True),
                lambda: tf.reduce_all(switches_of(argmax, size, self._windows)[1]),
            )
        return Positions(argmax, size, self._windows, in_windows, composed=execution.must_compose())

    def _check_arguments(self, pooled, argmax, like):
        check_integers("argmax", argmax)
        if like is not None and len(like.shape) != 4:
            raise ValueError(f"`like` must have the shape (batch, height, width, any); got {tuple(like.shape)}")
        if not tf.TensorShape(pooled.shape).is_compatible_with(argmax.shape):
            raise ValueError(
                f"`argmax` must have the shape of `pooled`, {tuple(pooled.shape)}; got {tuple(argmax.shape)}"
            )

    def _size_to_restore(self, pooled_size, output_size, like_size) -> Size:
        if output_size is not None and like_size is not None:
            raise ValueError("give `output_size` or `like`, not both")
        if output_size is None and like_size is None:
            return self._windows.smallest_size(pooled_size)
        size = size_argument("output_size", output_size) if like_size is None else tuple(like_size)
        self._windows.check_restorable(size, pooled_size)
        return size

    def compute_output_shape(self, pooled_shape, argmax_shape=None, output_size=None, like_shape=None):
        like_size = None if like_shape is None else like_shape[1:3]
        size = self._size_to_restore(pooled_shape[1:3], output_size, like_size)
        return (pooled_shape[0], *static(size), pooled_shape[-1])

    def compute_output_spec(self, pooled, argmax, output_size=None, like=None):
        self._check_arguments(pooled, argmax, like)
        like_shape = None if like is None else like.shape
        shape = self.compute_output_shape(pooled.shape, argmax.shape, output_size, like_shape)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)
