"""Where pooling windows lie: the only place with that arithmetic."""

import dataclasses
import math
import numbers
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from deconv_ae.ops.execution import checked

# A length, or a (height, width) of two: Python integers where the shape is known when a graph is traced, scalar
# tensors of integers where it is not.
Length = Any
Size = tuple[Length, Length]

# Up to here a float32 holds numbers and their halves, and a quotient rounds down to what integers give. On a CPU that
# takes a quarter of the time of int64's division.
_MOST_DIVIDED_AS_FLOAT32 = 2**21


@dataclasses.dataclass(frozen=True)
class Axis:
    """Where the windows of a pooling lie along one axis: the only place with that arithmetic.

    Lengths may be integers or integer tensors.
    """

    pool: int
    stride: int
    padding: str

    def pooled_length(self, length: Length) -> Length:
        """The number of windows along an axis of this length."""
        if self.padding == "same":
            return (length + self.stride - 1) // self.stride
        return at_least_zero((length - self.pool) // self.stride + 1)

    def smallest_length(self, pooled_length: Length) -> Length:
        """The smallest length that has this many windows, of 1 or more; it and `stride - 1` more do."""
        return (pooled_length - 1) * self.stride + (1 if self.padding == "same" else self.pool)

    def pad_before(self, length: Length) -> Length:
        """How far the first window starts before the image does."""
        if self.padding == "valid":
            return 0
        missing = (self.pooled_length(length) - 1) * self.stride + self.pool - length
        return at_least_zero(missing) // 2

    def starts(self, length: Length) -> tf.Tensor:
        """Where every window starts, int64; the first may start before the image does."""
        return tf.range(self.pooled_length(length), dtype=tf.int64) * self.stride - int64(self.pad_before(length))

    @property
    def reach(self) -> int:
        """How many consecutive windows can share a position."""
        return -(-self.pool // self.stride)


@dataclasses.dataclass(frozen=True)
class Windows:
    """The windows of a two-dimensional pooling."""

    pool_size: tuple[int, int]
    strides: tuple[int, int]
    padding: str

    @classmethod
    def from_arguments(cls, pool_size: Any, strides: Any, padding: Any) -> "Windows":
        """The windows that a user's arguments describe; ValueError if they describe none."""
        pool_size = pair("pool_size", pool_size)
        strides = pool_size if strides is None else pair("strides", strides)
        if not isinstance(padding, str) or padding.lower() not in ("valid", "same"):
            raise ValueError(f"`padding` must be 'valid' or 'same'; got padding={padding!r}")
        return cls(pool_size, strides, padding.lower())

    @property
    def axes(self) -> tuple[Axis, Axis]:
        (pool_height, pool_width), (stride_rows, stride_columns) = self.pool_size, self.strides
        return Axis(pool_height, stride_rows, self.padding), Axis(pool_width, stride_columns, self.padding)

    @property
    def sharing(self) -> int:
        """How many windows can share a position: 1 where they do not overlap."""
        rows, columns = self.axes
        return rows.reach * columns.reach

    def pooled_size(self, size: Sequence[Length]) -> Size:
        """The (height, width) of the pooled images; None where the size is None."""
        height, width = (None if n is None else axis.pooled_length(n) for axis, n in zip(self.axes, size))
        if any(isinstance(n, int) and n < 1 for n in (height, width)):
            raise ValueError(
                f"images of {size[0]}x{size[1]} are smaller than a pooling window: pool_size={self.pool_size}, "
                f"padding={self.padding!r}"
            )
        return height, width

    def smallest_size(self, pooled_size: Sequence[Length]) -> Size:
        """The smallest (height, width) that pools to `pooled_size`; None where that is None."""
        height, width = (None if n is None else axis.smallest_length(n) for axis, n in zip(self.axes, pooled_size))
        return height, width

    def first_positions(self, size: Size, channels: Length) -> tf.Tensor:
        """Where every window begins in each channel, numbered as argmax: (pooled height, pooled width, channels) int64.

        Where a window begins left of the image, that is the number of another pixel or of none: good for differences.
        """
        (rows, columns), (height, width) = self.axes, size
        pixels = rows.starts(height)[:, None] * int64(width) + columns.starts(width)
        return pixels[:, :, None] * int64(channels) + tf.range(int64(channels))

    def dtype_to_divide_in(self, shape: Sequence[Length]) -> tf.DType:
        """What to compute switches in, for images of this (height, width, channels): float32 for windows that are
        inside of images of a known, not enormous, size."""
        known = self.padding == "valid" and all(isinstance(n, int) for n in shape)
        return tf.float32 if known and math.prod(shape) <= _MOST_DIVIDED_AS_FLOAT32 else tf.int64

    def check_restorable(self, size: Sequence[Length], pooled_size: Sequence[Length]) -> None:
        """Raises ValueError if images of `size` are known not to pool to `pooled_size`."""
        for name, axis, length, pooled in zip(("height", "width"), self.axes, size, pooled_size):
            if not (isinstance(length, int) and isinstance(pooled, int)):
                continue
            smallest = axis.smallest_length(pooled)
            if not smallest <= length < smallest + axis.stride:
                raise ValueError(
                    f"images of {name} {length} do not pool to {name} {pooled}: with pool_size={self.pool_size}, "
                    f"strides={self.strides}, padding={self.padding!r} those of {name} {smallest} to "
                    f"{smallest + axis.stride - 1} do"
                )

    def checked_restorable(self, pooled: tf.Tensor, size: Size) -> tf.Tensor:
        """`pooled`, if images of `size` pool to it: ValueError where it is known now that they do not, else checked at
        run time."""
        if pooled.shape.rank != 4:
            raise ValueError(f"expected the shape (batch, height, width, channels); got {pooled.shape}")
        pooled_size = lengths_of(pooled)[1:3]
        self.check_restorable(size, pooled_size)
        expected = self.pooled_size(size)
        if all(isinstance(n, int) for n in (*expected, *pooled_size)):
            return pooled
        expected, actual = tf.stack(expected), tf.stack(pooled_size)
        message = "the (height, width) to restore, the one it pools to, and that of the pooled images:"
        return checked(pooled, tf.reduce_all(expected == actual), [message, tf.stack(size), expected, actual])


def pair(name: str, value: Any) -> tuple[int, int]:
    """An argument that is a positive integer or a pair of them, as a pair."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or not all(
        isinstance(v, numbers.Integral) and not isinstance(v, bool) and int(v) > 0 for v in pair
    ):
        raise ValueError(
            f"`{name}` must be a positive integer or a pair of positive integers (height, width); got {name}={value!r}"
        )
    return int(pair[0]), int(pair[1])


def check_integers(name: str, tensor: Any) -> None:
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if "int" not in dtype:
        raise ValueError(f"`{name}` must be integers; got {dtype}")


def size_argument(name: str, size: Any) -> Size:
    """A (height, width) that a user gave: as integers where they are known."""
    if isinstance(size, keras.KerasTensor):
        return None, None
    if tf.is_tensor(size) or any(map(tf.is_tensor, size if isinstance(size, (tuple, list)) else ())):
        lengths = tf.stack(size)
        check_integers(name, lengths)
        lengths = tf.cast(lengths, tf.int32)
        known = tf.get_static_value(lengths)
        if known is None:
            height, width = tf.unstack(lengths, num=2)
            return height, width
        size = known.tolist()
    return pair(name, size)


def at_least_zero(length: Length) -> Length:
    return tf.maximum(length, 0) if tf.is_tensor(length) else max(length, 0)


def int64(length: Length) -> tf.Tensor:
    return tf.cast(length, tf.int64)


def floor_divided(dividend: tf.Tensor, divisor: Any) -> tf.Tensor:
    """Whole numbers of 0 or more, divided and rounded down; also of a floating point type."""
    if dividend.dtype.is_floating:
        # The half keeps a quotient that is whole from being rounded to just below it.
        return tf.floor((dividend + 0.5) / divisor)
    return dividend // divisor


def lengths_of(tensor: tf.Tensor) -> tuple[Length, ...]:
    """The tensor's shape: an integer where it is static, a scalar tensor where it is not."""
    static = tensor.shape.as_list()
    if None not in static:
        return tuple(static)
    return tuple(d if s is None else s for s, d in zip(static, tf.unstack(tf.shape(tensor))))


def product(lengths: Sequence[Length]) -> Length:
    """A number of values, which may be more than int32 counts: an integer where it is static, else int64."""
    return math.prod(n if isinstance(n, int) else int64(n) for n in lengths)


def static(lengths: Sequence[Length]) -> tuple[int | None, ...]:
    return tuple(n if isinstance(n, int) else None for n in lengths)
