"""Positions that windows chose, and the two operations on them: scattering values there, and taking values from there.

Overlapping windows may choose the same maximum. Unpooling *assigns*: the last window in row-major order wins, always,
and the gradient goes to the winner alone. (PyTorch leaves the winner to chance and gives every window the gradient:
pytorch/pytorch issues 78249, 80827.)

Scattering values to positions and taking the values at positions are linear and each other's gradient. Gradients pass
through these two operations of `Positions`, the mask of `only_winners`, and nothing else.
"""

import dataclasses
from typing import Any

import tensorflow as tf

from deconv_ae.ops import execution
from deconv_ae.ops.execution import cond, with_gradient
from deconv_ae.ops.windows import Length, Size, Windows, int64, lengths_of, product, static

# Where more windows than this share a position, one scatter beats comparing them all.
_MAX_SHIFTS = 16
# The same for adding values on a CPU, where XLA computes the values anew for every comparison.
_MAX_SHIFTS_OF_VALUES_ON_CPU = 1


@dataclasses.dataclass(frozen=True)
class Positions:
    """The position that each pooling window chose, and the operations on those positions.

    `scatter_add` and `take` are linear and each other's gradient, to any order.

    Attributes:
        argmax: int64 of shape (batch, pooled height, pooled width, channels).
        size: (height, width) of the images that the positions are in.
        windows: the windows.
        in_windows: whether every position is inside the window that chose it: True, or a bool tensor where only
            the data can tell.
        composed: use operations that XLA has, not TensorFlow's pooling kernels. Then positions may be out of the
            images' range: values are not scattered there.
    """

    argmax: tf.Tensor
    size: Size
    windows: Windows
    in_windows: tf.Tensor | bool
    composed: bool

    @property
    def image_shape(self) -> tuple[Length, ...]:
        batch, _, _, channels = lengths_of(self.argmax)
        return (batch, *self.size, channels)

    @property
    def image_length(self) -> Length:
        return product(self.image_shape[1:])

    def scatter_add(self, values: tf.Tensor) -> tf.Tensor:
        """Images that are zero but for the sums of the values that each position got."""

        @with_gradient
        def scatter_add(values):
            if not self.composed:
                images = self._scatter_add_kernel(values)
            elif self.windows.sharing > (_MAX_SHIFTS if execution.has_gpu() else _MAX_SHIFTS_OF_VALUES_ON_CPU):
                images = self._scatter_add_segments(values)
            else:
                images = cond(
                    self.in_windows,
                    lambda: self._scatter_add_dense(values),
                    lambda: self._scatter_add_segments(values),
                )
            return images, self.take

        return tf.ensure_shape(scatter_add(values), static(self.image_shape))

    def take(self, images: tf.Tensor) -> tf.Tensor:
        """The values that the images have at the positions; where XLA let pass one that is out of range, any value."""
        return tf.gather(tf.reshape(images, (self.image_shape[0], -1)), self.argmax, batch_dims=1)

    def only_winners(self, values: tf.Tensor) -> tf.Tensor:
        """The values, with 0 for a window whose position a later window chose as well."""

        def masked(winners: tf.Tensor) -> tf.Tensor:
            # A mask, not a product: an infinity or NaN that lost must not get through.
            return tf.where(winners, values, tf.zeros((), values.dtype))

        if self.windows.sharing > _MAX_SHIFTS:
            return masked(self._winners_anywhere())
        return cond(
            self.in_windows,
            lambda: values if self.windows.sharing == 1 else masked(self._winners_in_windows()),
            lambda: masked(self._winners_anywhere()),
        )

    def _winners_in_windows(self) -> tf.Tensor:
        """Winners where only windows that overlap can have chosen the same position."""
        rows, columns = (axis.reach for axis in self.windows.axes)
        _, pooled_height, pooled_width, _ = lengths_of(self.argmax)
        # On a CPU that takes half of the memory and of the time; on a GPU TensorFlow would compute int32 on the CPU.
        narrow = not execution.has_gpu() and isinstance(self.image_length, int) and self.image_length <= tf.int32.max
        argmax = tf.cast(self.argmax, tf.int32) if narrow else self.argmax
        padded = tf.pad(argmax, ((0, 0), (0, rows - 1), (columns - 1, columns - 1), (0, 0)), constant_values=-1)
        lost = tf.zeros(tf.shape(self.argmax), tf.bool)
        for down in range(rows):
            for right in range(1 if down == 0 else 1 - columns, columns):
                left = columns - 1 + right
                lost |= argmax == padded[:, down : down + pooled_height, left : left + pooled_width]
        return ~lost

    def _winners_anywhere(self) -> tf.Tensor:
        """Winners among windows that may have chosen any position of their image, or none."""
        positions = self._positions_in_batch()
        window = tf.reshape(tf.range(tf.size(positions)), tf.shape(positions))
        last_window = tf.math.unsorted_segment_max(window, positions, self._batch_length)
        return (positions >= 0) & (tf.gather(last_window, tf.maximum(positions, 0)) == window)

    @property
    def _batch_length(self) -> tf.Tensor:
        return int64(product(self.image_shape))

    def _positions_in_batch(self) -> tf.Tensor:
        """The positions numbered through the batch; -1 for those out of their image's range."""
        image_length = int64(self.image_length)
        image_starts = tf.range(int64(lengths_of(self.argmax)[0])) * image_length
        in_range = (self.argmax >= 0) & (self.argmax < image_length)
        return tf.where(in_range, self.argmax + image_starts[:, None, None, None], -1)

    def _scatter_add_kernel(self, values: tf.Tensor) -> tf.Tensor:
        # The gradient of TensorFlow's max pooling is a scatter-add that runs in parallel over the batch. Of
        # `input` it reads only the shape, so that memory is neither filled nor touched.
        return tf.raw_ops.MaxPoolGradWithArgmax(
            input=tf.raw_ops.Empty(shape=tf.stack(self.image_shape), dtype=values.dtype),
            grad=values,
            argmax=self.argmax,
            ksize=(1, *self.windows.pool_size, 1),
            strides=(1, *self.windows.strides, 1),
            padding=self.windows.padding.upper(),
        )

    def _scatter_add_segments(self, values: tf.Tensor) -> tf.Tensor:
        images = tf.math.unsorted_segment_sum(values, self._positions_in_batch(), self._batch_length)
        return tf.reshape(images, self.image_shape)

    def _scatter_add_dense(self, values: tf.Tensor) -> tf.Tensor:
        """Every pixel asks the windows that cover it whether they chose it.

        Along an axis, pixel `block * stride + phase` can only be in the windows `block`, `block - 1` and so on,
        as many as share a position. So the pooled tensors, shifted by that many blocks and repeated over the
        phases, compare elementwise with where the pixels are in those windows.
        """
        rows, columns = self.windows.axes
        batch, height, width, channels = self.image_shape
        _, pooled_height, pooled_width, _ = lengths_of(self.argmax)
        blocks_down, blocks_right = pooled_height + rows.reach - 1, pooled_width + columns.reach - 1

        def shifted(pooled: tf.Tensor, down: int, right: int, fill: Any) -> tf.Tensor:
            paddings = ((0, 0), (down, rows.reach - 1 - down), (right, columns.reach - 1 - right), (0, 0))
            padded = tf.pad(pooled, paddings, constant_values=fill)
            # Five dimensions, with batch and rows as one: TensorFlow broadcasts no more than that.
            return tf.reshape(padded, (batch * blocks_down, 1, blocks_right, 1, channels))

        from_start = self.argmax - self.windows.first_positions(self.size, channels)
        zero = tf.zeros((), values.dtype)
        images = zero
        for down in range(rows.reach):
            for right in range(columns.reach):
                row = down * rows.stride + tf.range(rows.stride, dtype=tf.int64)
                column = right * columns.stride + tf.range(columns.stride, dtype=tf.int64)
                pixel = (row[:, None, None, None] * int64(width) + column[:, None]) * int64(channels)
                chose = shifted(from_start, down, right, -1) == pixel
                images += tf.where(chose, shifted(values, down, right, zero), zero)
        images = tf.reshape(images, (batch, blocks_down * rows.stride, blocks_right * columns.stride, channels))
        # Blocks reach beyond the image where windows do, and end before it where the last window does.
        images = images[:, rows.pad_before(height) :, columns.pad_before(width) :][:, :height, :width]
        _, covered_height, covered_width, _ = lengths_of(images)
        return tf.pad(images, ((0, 0), (0, height - covered_height), (0, width - covered_width), (0, 0)))
