"""The arithmetic of pooling windows, in one to three dimensions: which positions each window covers."""

import dataclasses
import itertools
import math
import numbers
from collections.abc import Sequence
from typing import Any

import keras

from deconv_ae.ops import environment

# A length, or one length for each dimension. A length is a Python integer if the shape is known when a call is traced,
# else a scalar tensor of integers, or None for a symbolic tensor of Keras.
Length = Any
Size = tuple[Length, ...]

_LARGEST_INT32 = 2**31 - 1
DATA_FORMATS = ("channels_last", "channels_first")
_DIMENSION_NAMES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


@dataclasses.dataclass(frozen=True)
class Axis:
    """The windows of a pooling along one axis. Lengths may be integers or integer tensors."""

    pool: int
    stride: int
    padding: str

    def pooled_length(self, length: Length) -> Length:
        """The number of windows along an axis of this length."""
        if self.padding == "same":
            return (length + self.stride - 1) // self.stride
        return at_least_zero((length - self.pool) // self.stride + 1)

    def smallest_length(self, pooled_length: Length) -> Length:
        """The smallest length with this many windows (1 or more). The next `stride - 1` lengths also have this many."""
        return (pooled_length - 1) * self.stride + (1 if self.padding == "same" else self.pool)

    def default_length(self, pooled_length: Length) -> Length:
        """The length that TensorFlow Addons restores if the user gives none."""
        return pooled_length * self.stride if self.padding == "same" else self.smallest_length(pooled_length)

    def pads(self, length: Length) -> tuple[Length, Length]:
        """How many positions the first window starts before the image, and the last window ends behind it."""
        if self.padding == "valid":
            return 0, 0
        missing = at_least_zero((self.pooled_length(length) - 1) * self.stride + self.pool - length)
        return missing // 2, missing - missing // 2

    def starts(self, length: Length, dtype: str) -> Any:
        """The start of every window. The first window may start before the image."""
        count, (before, _) = self.pooled_length(length), self.pads(length)
        return arange(count, dtype) * self.stride - keras.ops.cast(before, dtype)

    @property
    def windows_per_position(self) -> int:
        """How many windows along this axis can contain the same position."""
        return -(-self.pool // self.stride)


@dataclasses.dataclass(frozen=True)
class Windows:
    """The windows of a pooling, and the numbers of their positions.

    Positions are numbered within their own image, in the order in which its values lie in memory. With two dimensions
    and channels last, that is `(row * width + column) * channels + channel`.
    """

    pool_size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str
    data_format: str

    @classmethod
    def from_arguments(
        cls, pool_size: Any, strides: Any, padding: Any, data_format: Any = None, dimensions: int = 2
    ) -> "Windows":
        """The windows that a user's arguments describe; ValueError if an argument is wrong."""
        pool_size = lengths_argument("pool_size", pool_size, dimensions)
        strides = pool_size if strides is None else lengths_argument("strides", strides, dimensions)
        if not isinstance(padding, str) or padding.lower() not in ("valid", "same"):
            raise ValueError(f"`padding` must be 'valid' or 'same'; got padding={padding!r}")
        data_format = keras.config.image_data_format() if data_format is None else data_format
        if not isinstance(data_format, str) or data_format.lower() not in DATA_FORMATS:
            raise ValueError(f"`data_format` must be one of {DATA_FORMATS}; got data_format={data_format!r}")
        return cls(pool_size, strides, padding.lower(), data_format.lower())

    @property
    def dimensions(self) -> int:
        return len(self.pool_size)

    @property
    def channels_last(self) -> bool:
        return self.data_format == "channels_last"

    @property
    def axes(self) -> tuple[Axis, ...]:
        return tuple(Axis(pool, stride, self.padding) for pool, stride in zip(self.pool_size, self.strides))

    @property
    def windows_per_position(self) -> int:
        """How many windows can contain the same position: 1 if the windows do not overlap."""
        return math.prod([axis.windows_per_position for axis in self.axes])

    @property
    def channel_axis(self) -> int:
        return self.dimensions + 1 if self.channels_last else 1

    @property
    def first_axis(self) -> int:
        """The first of the axes along which windows move."""
        return 1 if self.channels_last else 2

    def size_of(self, shape: Sequence[Any]) -> tuple[Any, ...]:
        """The size of images of this shape: the shape without batch and channels."""
        return tuple(shape[self.first_axis : self.first_axis + self.dimensions])

    def shape_of(self, batch: Any, size: Sequence[Any], channels: Any) -> tuple[Any, ...]:
        """The shape of images of this size."""
        return (batch, *size, channels) if self.channels_last else (batch, channels, *size)

    def along(self, vector: Any, axis: int) -> Any:
        """A vector as a tensor that lies along one of the images' axes and broadcasts along the others."""
        shape = [1] * (self.dimensions + 2)
        shape[axis] = -1
        return keras.ops.reshape(vector, shape)

    def steps(self, size: Size, channels: Length) -> tuple[tuple[Length, ...], Length]:
        """How much a position's number grows per step along each dimension, and per channel."""
        steps = [channels if self.channels_last else 1]
        for length in reversed(size[1:]):
            steps.append(steps[-1] * length)
        return tuple(reversed(steps)), 1 if self.channels_last else steps[-1] * size[0]

    def channel_numbers(self, size: Size, channels: Length, dtype: str) -> Any:
        """The number that each channel adds to a position, in a shape that broadcasts over images."""
        step = keras.ops.cast(self.steps(size, channels)[1], dtype)
        return self.along(arange(channels, dtype) * step, self.channel_axis)

    def first_positions(self, size: Size, channels: Length, dtype: str) -> Any:
        """The number of every window's first position in each channel, in a shape that broadcasts over pooled images.

        A window may begin outside of the image. Then the number belongs to another position or to none. Only its
        difference from the window's other numbers has a meaning.
        """
        numbers = self.channel_numbers(size, channels, dtype)
        for index, (axis, length, step) in enumerate(zip(self.axes, size, self.steps(size, channels)[0])):
            starts = axis.starts(length, dtype) * keras.ops.cast(step, dtype)
            numbers = numbers + self.along(starts, self.first_axis + index)
        return numbers

    def pooled_size(self, size: Sequence[Length]) -> Size:
        """The size of the pooled images; ValueError if they are known to be empty. A length of None gives None."""
        pooled = tuple(None if n is None else axis.pooled_length(n) for axis, n in zip(self.axes, size))
        if any(isinstance(n, int) and n < 1 for n in pooled):
            raise ValueError(
                f"images of {'x'.join(map(str, size))} are smaller than a pooling window: pool_size={self.pool_size}, "
                f"padding={self.padding!r}"
            )
        return pooled

    def default_size(self, pooled_size: Sequence[Length]) -> Size:
        """The size that TensorFlow Addons restores from `pooled_size`. A length of None gives None."""
        return tuple(None if n is None else axis.default_length(n) for axis, n in zip(self.axes, pooled_size))

    def sizes_pooled_to(self, pooled_size: Sequence[Length]) -> list[Size]:
        """All sizes of images that pool to `pooled_size`, whose lengths must be 1 or more."""
        lengths = [
            [axis.smallest_length(n) + extra for extra in range(axis.stride)] for axis, n in zip(self.axes, pooled_size)
        ]
        return list(itertools.product(*lengths))

    def check_rank(self, name: str, shape: Sequence[Any]) -> None:
        """Raises ValueError unless a shape has as many dimensions as images for these windows have."""
        if len(shape) != self.dimensions + 2:
            wanted = ", ".join(map(str, self.shape_of("batch", self.size_names, "channels")))
            raise ValueError(f"`{name}` must have the shape ({wanted}); got {tuple(shape)}")

    def check_restorable(self, size: Sequence[Length], pooled_size: Sequence[Length]) -> None:
        """Raises ValueError if images of `size` are known not to pool to `pooled_size`."""
        for name, axis, length, pooled in zip(self.size_names, self.axes, size, pooled_size):
            if not (isinstance(length, int) and isinstance(pooled, int)):
                continue
            smallest = axis.smallest_length(pooled)
            if not smallest <= length < smallest + axis.stride:
                raise ValueError(
                    f"images of {name} {length} do not pool to {name} {pooled}: with pool_size={self.pool_size}, "
                    f"strides={self.strides}, padding={self.padding!r} images of {name} {smallest} to "
                    f"{smallest + axis.stride - 1} do"
                )

    @property
    def size_names(self) -> tuple[str, ...]:
        return _DIMENSION_NAMES[self.dimensions]


def lengths_argument(name: str, value: Any, dimensions: int) -> tuple[int, ...]:
    """One positive integer for each dimension; a single integer is repeated. ValueError for anything else."""
    lengths = tuple(value) if isinstance(value, (tuple, list)) else (value,) * dimensions
    if len(lengths) != dimensions or not all(
        isinstance(v, numbers.Integral) and not isinstance(v, bool) and int(v) > 0 for v in lengths
    ):
        names = ", ".join(_DIMENSION_NAMES[dimensions])
        alternative = {1: "", 2: " or a pair of positive integers", 3: " or 3 positive integers"}[dimensions]
        raise ValueError(f"`{name}` must be a positive integer{alternative} ({names}); got {name}={value!r}")
    return tuple(map(int, lengths))


def size_argument(name: str, size: Any, dimensions: int) -> Size:
    """A user's size as one length for each dimension; ValueError if it is not a size.

    The lengths are integers if they are known now, scalar tensors if they are known only at run time, and None for a
    symbolic tensor of Keras.
    """
    if isinstance(size, keras.KerasTensor):
        return (None,) * dimensions
    parts = size if isinstance(size, (tuple, list)) else ()
    if any(part is None for part in parts):
        raise ValueError(
            f"`{name}` must be known, got {name}={size!r}; for a size that is known only at run time, give `like=` a "
            "tensor of that size if you unpool, else an integer tensor"
        )
    if not keras.ops.is_tensor(size) and not any(map(keras.ops.is_tensor, parts)):
        return lengths_argument(name, size, dimensions)
    lengths = keras.ops.stack(parts) if parts else size
    check_integers(name, lengths)
    known = environment.static_value(lengths)
    if known is not None:
        return lengths_argument(name, known, dimensions)
    return tuple(keras.ops.unstack(keras.ops.cast(lengths, "int32"), num=dimensions))


def check_integers(name: str, tensor: Any) -> None:
    """Raises ValueError if a tensor does not hold integers."""
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if "int" not in dtype:
        raise ValueError(f"`{name}` must be integers; got {dtype}")


def at_least_zero(length: Length) -> Length:
    """The length, or 0 if it is negative."""
    # Keras's maximum of two int64 tensors is int32 on PyTorch, and ONNX does not mix int32 and int64. Operators keep
    # the type.
    return (length + abs(length)) // 2


def arange(length: Length, dtype: str) -> Any:
    """The integers from 0 to `length - 1`."""
    # The start is given because jax2onnx 0.17 cannot trace Keras's arange without a start.
    return keras.ops.arange(0, length, dtype=dtype)


def product(lengths: Sequence[Length]) -> Length:
    """The product of lengths: an integer if all are static, else an int64 tensor, because int32 may overflow."""
    return math.prod([keras.ops.cast(n, "int64") if keras.ops.is_tensor(n) else n for n in lengths])


def counting_dtype(position_count: Length) -> str:
    """The narrowest type for numbers of an image's positions: int32 takes half of int64's memory and time."""
    is_short = isinstance(position_count, int) and position_count <= _LARGEST_INT32
    return "int32" if is_short else environment.ARGMAX_DTYPE


def pad(tensor: Any, widths: dict[int, tuple[Length, Length]]) -> Any:
    """Pads the tensor with zeros before and after, along the given dimensions.

    This function takes no padding value, because `tf.vectorized_map` of TensorFlow 2.21 always pads with 0.
    """
    pads = [widths.get(dimension, (0, 0)) for dimension in range(len(tensor.shape))]
    if all(isinstance(n, int) and n == 0 for pair in pads for n in pair):
        return tensor
    return environment.pad(tensor, pads)


def static(lengths: Sequence[Length]) -> tuple[int | None, ...]:
    """The lengths with None in place of tensors."""
    return tuple(n if isinstance(n, int) else None for n in lengths)


def shape_of_pooled(shape: Any, windows: Windows) -> tuple[Any, ...]:
    """The shape that images of the given shape are pooled to. A length of None gives None."""
    shape = tuple(shape)
    return windows.shape_of(shape[0], windows.pooled_size(windows.size_of(shape)), shape[windows.channel_axis])
