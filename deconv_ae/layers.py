"""Max pooling that remembers where the maxima were, and the unpooling that puts them back.

Pooling and unpooling with switches is the pair of layers of "Learning Deconvolution Network for Semantic
Segmentation" (Noh et al., 2015, https://arxiv.org/abs/1505.04366). TensorFlow has an operation for the first
half and none for the second (tensorflow/tensorflow issue 2169).

Positions come in two forms, and `argmax_to_switches` and `switches_to_argmax` convert them:

argmax:   `(row * width + column) * channels + channel` of the maximum, within its own image: int64, numbered as
          `tf.nn.max_pool_with_argmax` does without the batch.
switches: `row_in_window * pool_width + column_in_window` of the maximum, within its own pooling window: uint8,
          small, and meaningful without knowing the size of the image.

Three facts shape the implementation:

*   XLA cannot compile `MaxPoolWithArgmax` on any device (tensorflow/tensorflow issue 103438), and Keras compiles
    models with XLA by default where there is a GPU. Under XLA everything here is therefore composed of operations
    that it has. Elsewhere TensorFlow's own kernels are faster, and do the work, but for images with a NaN, -inf or
    the lowest finite number, which they get wrong, and for deterministic operations on a GPU.
*   Overlapping windows may choose the same maximum. Unpooling *assigns*: the last window in row-major order wins,
    always, and the gradient goes to the winner alone. (PyTorch leaves the winner to chance and gives every window
    the gradient: pytorch/pytorch issues 78249, 80827.)
*   Scattering values to positions and taking the values at positions are linear and each other's gradient.
    Gradients pass through these two operations of `_Positions`, the mask of `only_winners`, and nothing else.
"""

import contextlib
import contextvars
import dataclasses
import math
import numbers
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

# Private, for `compiled_by_xla` and `must_compose`, which have no public way to ask. setup.py bounds TensorFlow's
# versions; should a new one move them, the import fails at once, where a fallback would silently give the wrong answer.
from tensorflow.python.framework import config as framework_config
from tensorflow.python.ops import control_flow_util

# A length, or a (height, width) of two: Python integers where the shape is known when a graph is traced, scalar
# tensors of integers where it is not.
Length = Any
Size = tuple[Length, Length]

# Positions in a window that has switches, which are uint8.
LARGEST_WINDOW = 256

# Where more windows than this share a position, one scatter beats comparing them all.
_MAX_SHIFTS = 16
# The same for adding values on a CPU, where XLA computes the values anew for every comparison.
_MAX_SHIFTS_OF_VALUES_ON_CPU = 1

# Up to here a float32 holds numbers and their halves, and a quotient rounds down to what integers give. On a CPU that
# takes a quarter of the time of int64's division.
_MOST_DIVIDED_AS_FLOAT32 = 2**21


# ------------------------------------------------------------------------------------------------- Geometry


@dataclasses.dataclass(frozen=True)
class _Axis:
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
        return _at_least_zero((length - self.pool) // self.stride + 1)

    def smallest_length(self, pooled_length: Length) -> Length:
        """The smallest length that has this many windows, of 1 or more; it and `stride - 1` more do."""
        return (pooled_length - 1) * self.stride + (1 if self.padding == "same" else self.pool)

    def pad_before(self, length: Length) -> Length:
        """How far the first window starts before the image does."""
        if self.padding == "valid":
            return 0
        missing = (self.pooled_length(length) - 1) * self.stride + self.pool - length
        return _at_least_zero(missing) // 2

    def starts(self, length: Length) -> tf.Tensor:
        """Where every window starts, int64; the first may start before the image does."""
        return tf.range(self.pooled_length(length), dtype=tf.int64) * self.stride - _int64(self.pad_before(length))

    @property
    def reach(self) -> int:
        """How many consecutive windows can share a position."""
        return -(-self.pool // self.stride)


@dataclasses.dataclass(frozen=True)
class _Windows:
    """The windows of a two-dimensional pooling."""

    pool_size: tuple[int, int]
    strides: tuple[int, int]
    padding: str

    @classmethod
    def from_arguments(cls, pool_size: Any, strides: Any, padding: Any) -> "_Windows":
        """The windows that a user's arguments describe; ValueError if they describe none."""
        pool_size = _pair("pool_size", pool_size)
        strides = pool_size if strides is None else _pair("strides", strides)
        if not isinstance(padding, str) or padding.lower() not in ("valid", "same"):
            raise ValueError(f"`padding` must be 'valid' or 'same'; got padding={padding!r}")
        return cls(pool_size, strides, padding.lower())

    @property
    def axes(self) -> tuple[_Axis, _Axis]:
        (pool_height, pool_width), (stride_rows, stride_columns) = self.pool_size, self.strides
        return _Axis(pool_height, stride_rows, self.padding), _Axis(pool_width, stride_columns, self.padding)

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
        pixels = rows.starts(height)[:, None] * _int64(width) + columns.starts(width)
        return pixels[:, :, None] * _int64(channels) + tf.range(_int64(channels))

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
        pooled_size = _lengths(pooled)[1:3]
        self.check_restorable(size, pooled_size)
        expected = self.pooled_size(size)
        if all(isinstance(n, int) for n in (*expected, *pooled_size)):
            return pooled
        expected, actual = tf.stack(expected), tf.stack(pooled_size)
        message = "the (height, width) to restore, the one it pools to, and that of the pooled images:"
        return _checked(pooled, tf.reduce_all(expected == actual), [message, tf.stack(size), expected, actual])


def _pair(name: str, value: Any) -> tuple[int, int]:
    """An argument that is a positive integer or a pair of them, as a pair."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or not all(
        isinstance(v, numbers.Integral) and not isinstance(v, bool) and int(v) > 0 for v in pair
    ):
        raise ValueError(
            f"`{name}` must be a positive integer or a pair of positive integers (height, width); got {name}={value!r}"
        )
    return int(pair[0]), int(pair[1])


# ------------------------------------------------------------------------------------------------- Tensors


def _at_least_zero(length: Length) -> Length:
    return tf.maximum(length, 0) if tf.is_tensor(length) else max(length, 0)


def _int64(length: Length) -> tf.Tensor:
    return tf.cast(length, tf.int64)


def _floor_divided(dividend: tf.Tensor, divisor: Any) -> tf.Tensor:
    """Whole numbers of 0 or more, divided and rounded down; also of a floating point type."""
    if dividend.dtype.is_floating:
        # The half keeps a quotient that is whole from being rounded to just below it.
        return tf.floor((dividend + 0.5) / divisor)
    return dividend // divisor


def _lengths(tensor: tf.Tensor) -> tuple[Length, ...]:
    """The tensor's shape: an integer where it is static, a scalar tensor where it is not."""
    static = tensor.shape.as_list()
    if None not in static:
        return tuple(static)
    return tuple(d if s is None else s for s, d in zip(static, tf.unstack(tf.shape(tensor))))


def _product(lengths: Sequence[Length]) -> Length:
    """A number of values, which may be more than int32 counts: an integer where it is static, else int64."""
    return math.prod(n if isinstance(n, int) else _int64(n) for n in lengths)


def _static(lengths: Sequence[Length]) -> tuple[int | None, ...]:
    return tuple(n if isinstance(n, int) else None for n in lengths)


def _cond(condition: tf.Tensor | bool, if_true: Callable, if_false: Callable) -> Any:
    """tf.cond that takes only one branch into the graph where the condition is known."""
    if isinstance(condition, bool):
        return if_true() if condition else if_false()
    return tf.cond(condition, if_true, if_false)


def _checked(tensor: tf.Tensor, condition: tf.Tensor, data: Sequence[Any]) -> tf.Tensor:
    """The tensor, once the condition holds; InvalidArgumentError with the data if it does not. XLA cannot raise."""
    if compiled_by_xla():
        return tensor
    with tf.control_dependencies([tf.debugging.Assert(condition, data)]):
        return tf.identity(tensor)


def has_gpu() -> bool:
    """Whether what is being traced may run on a GPU."""
    return bool(tf.config.get_visible_devices("GPU"))


def compiled_by_xla() -> bool:
    """Whether XLA compiles the code that is being traced, asked as TensorFlow's own operations ask."""
    graph = tf.compat.v1.get_default_graph()
    return not tf.executing_eagerly() and control_flow_util.GraphOrParentsInXlaContext(graph)


def must_compose() -> bool:
    """Whether the code that is being traced must do without TensorFlow's pooling kernels.

    XLA has none that knows positions, and its MaxPoolGradGrad compares only 16 bits of the values. And on a GPU they
    add with atomic operations, in any order, for which `tf.config.experimental.enable_op_determinism` makes them fail.
    """
    return compiled_by_xla() or (has_gpu() and framework_config.is_op_determinism_enabled())


_RECORDS_GRADIENTS = contextvars.ContextVar("_RECORDS_GRADIENTS", default=True)


@contextlib.contextmanager
def without_gradients() -> Iterator[None]:
    """A graph that is traced within is for serving: the layers leave no gradients behind in it.

    TensorFlow marks operations that have a gradient of their own in the graphs that it saves, and warns whoever
    loads them.
    """
    token = _RECORDS_GRADIENTS.set(False)
    try:
        yield
    finally:
        _RECORDS_GRADIENTS.reset(token)


def with_gradient(function: Callable) -> Callable:
    """`tf.custom_gradient`, but for graphs that are traced `without_gradients`."""
    if _RECORDS_GRADIENTS.get():
        return tf.custom_gradient(function)
    return lambda *tensors: function(*tensors)[0]


# ------------------------------------------------------------------------------------------------- Positions


def _switches_of(argmax: tf.Tensor, size: Size, windows: _Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """The switch of every window, and whether its argmax is inside the window and its channel.

    Returns:
        int64 switches, which mean something only where the bool tensor beside them is True.
    """
    (height, width), channels = map(_int64, size), _int64(_lengths(argmax)[-1])
    rows, columns = windows.axes
    pixel = argmax // channels
    row = pixel // width
    row_in_window = row - rows.starts(size[0])[:, None, None]
    column_in_window = pixel - row * width - columns.starts(size[1])[:, None]
    inside = (
        (row >= 0)
        & (row < height)
        & (row_in_window >= 0)
        & (row_in_window < rows.pool)
        & (column_in_window >= 0)
        & (column_in_window < columns.pool)
        & (argmax - pixel * channels == tf.range(channels))
    )
    return row_in_window * columns.pool + column_in_window, inside


def _switches_in_windows(argmax: tf.Tensor, size: Size, windows: _Windows) -> tf.Tensor:
    """The switches, uint8, of an argmax that is known to be inside of its windows."""
    (rows, columns), channels = windows.axes, _lengths(argmax)[-1]
    dtype = windows.dtype_to_divide_in((*size, channels))
    positions, row_length = tf.cast(argmax, dtype), tf.cast(size[1] * channels, dtype)
    row = _floor_divided(positions, row_length)
    column = _floor_divided(positions - row * row_length, tf.cast(channels, dtype))
    start = rows.starts(size[0])[:, None, None] * columns.pool + columns.starts(size[1])[:, None]
    return tf.cast(row * columns.pool + column - tf.cast(start, dtype), tf.uint8)


@dataclasses.dataclass(frozen=True)
class _Positions:
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
    windows: _Windows
    in_windows: tf.Tensor | bool
    composed: bool

    @property
    def image_shape(self) -> tuple[Length, ...]:
        batch, _, _, channels = _lengths(self.argmax)
        return (batch, *self.size, channels)

    @property
    def image_length(self) -> Length:
        return _product(self.image_shape[1:])

    def scatter_add(self, values: tf.Tensor) -> tf.Tensor:
        """Images that are zero but for the sums of the values that each position got."""

        @with_gradient
        def scatter_add(values):
            if not self.composed:
                images = self._scatter_add_kernel(values)
            elif self.windows.sharing > (_MAX_SHIFTS if has_gpu() else _MAX_SHIFTS_OF_VALUES_ON_CPU):
                images = self._scatter_add_segments(values)
            else:
                images = _cond(
                    self.in_windows,
                    lambda: self._scatter_add_dense(values),
                    lambda: self._scatter_add_segments(values),
                )
            return images, self.take

        return tf.ensure_shape(scatter_add(values), _static(self.image_shape))

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
        return _cond(
            self.in_windows,
            lambda: values if self.windows.sharing == 1 else masked(self._winners_in_windows()),
            lambda: masked(self._winners_anywhere()),
        )

    def _winners_in_windows(self) -> tf.Tensor:
        """Winners where only windows that overlap can have chosen the same position."""
        rows, columns = (axis.reach for axis in self.windows.axes)
        _, pooled_height, pooled_width, _ = _lengths(self.argmax)
        # On a CPU that takes half of the memory and of the time; on a GPU TensorFlow would compute int32 on the CPU.
        narrow = not has_gpu() and isinstance(self.image_length, int) and self.image_length <= tf.int32.max
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
        return _int64(_product(self.image_shape))

    def _positions_in_batch(self) -> tf.Tensor:
        """The positions numbered through the batch; -1 for those out of their image's range."""
        image_length = _int64(self.image_length)
        image_starts = tf.range(_int64(_lengths(self.argmax)[0])) * image_length
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
        _, pooled_height, pooled_width, _ = _lengths(self.argmax)
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
                pixel = (row[:, None, None, None] * _int64(width) + column[:, None]) * _int64(channels)
                chose = shifted(from_start, down, right, -1) == pixel
                images += tf.where(chose, shifted(values, down, right, zero), zero)
        images = tf.reshape(images, (batch, blocks_down * rows.stride, blocks_right * columns.stride, channels))
        # Blocks reach beyond the image where windows do, and end before it where the last window does.
        images = images[:, rows.pad_before(height) :, columns.pad_before(width) :][:, :height, :width]
        _, covered_height, covered_width, _ = _lengths(images)
        return tf.pad(images, ((0, 0), (0, height - covered_height), (0, width - covered_width), (0, 0)))


# ------------------------------------------------------------------------------------------------- Provenance

# An argmax that a pooling made is inside its own windows: there is nothing to check, and only windows that overlap
# can share a position. Looking would take longer than unpooling does, so the tensor object carries the fact, as
# Keras's tensors carry their mask. What is computed from the tensor is another object, without it. Switches know
# their argmax by a weak reference: kept, they must not keep a tensor of eight times their size.
_WINDOWS = "_deconv_ae_windows"
_ARGMAX = "_deconv_ae_argmax"


def _with_windows(argmax: tf.Tensor, windows: _Windows, size: Size) -> tf.Tensor:
    setattr(argmax, _WINDOWS, (windows, size))
    return argmax


def _known_in_windows(argmax: Any, windows: _Windows, size: Size) -> tf.Tensor | bool:
    """Whether argmax is known to be inside these windows without looking at it.

    A bool tensor where the sizes are only known at run time.
    """
    own_windows, own_size = getattr(argmax, _WINDOWS, (None, ()))
    if own_windows != windows:
        return False
    same = [own == n for own, n in zip(own_size, size)]
    return all(same) if all(isinstance(s, bool) for s in same) else tf.reduce_all(tf.stack(same))


# ------------------------------------------------------------------------------------------------- Pooling

# With fewer channels than this, TensorFlow's CPU kernel for pooling with argmax takes up to 9 times as long as max
# pooling and looking up where each maximum was. With more, its inner loop over channels is vectorized, provided
# that positions are as wide as float32 values: with int64 it takes 2 to 6 times as long.
_FEW_CHANNELS = 16


def _max_pool(images: tf.Tensor, windows: _Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """The maximum of every window and its position, without a gradient."""
    if must_compose():
        return _max_pool_composed(images, windows)
    # The kernels lose a NaN that is not first in its window, answer -1 on a GPU for a window with nothing above the
    # lowest finite number, and refuse an empty batch. One pass over the images tells all three.
    lowest = tf.constant(images.dtype.min, images.dtype)
    return tf.cond(
        (tf.size(images, tf.int64) > 0) & (tf.reduce_min(images) > lowest),
        lambda: _max_pool_kernel(images, windows),
        lambda: _max_pool_composed(images, windows),
    )


def _max_pool_kernel(images: tf.Tensor, windows: _Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """The same with TensorFlow's kernels; which, the device and the shape decide."""
    image_length = images.shape[1:].num_elements()
    argmax_dtype = tf.int64
    # On a GPU there is one kernel, for int64.
    if image_length is not None and not has_gpu():
        exact = {tf.float32: 2**24, tf.float64: 2**53}.get(images.dtype, 0)
        if images.shape[-1] < _FEW_CHANNELS and image_length <= exact:
            return _max_pool_and_look_up(images, windows)
        if image_length <= tf.int32.max:
            argmax_dtype = tf.int32
    pooled, argmax = tf.nn.max_pool_with_argmax(
        images, windows.pool_size, windows.strides, windows.padding.upper(), output_dtype=argmax_dtype
    )
    return pooled, _int64(argmax)


def _max_pool_and_look_up(images: tf.Tensor, windows: _Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """The same by max pooling, then looking up the first of every window that equals its maximum.

    That is what the second derivative of max pooling does: it reads a tensor at the positions of the maxima. Given
    the number of every position, as floating point numbers, it returns argmax.
    """
    padding = windows.padding.upper()
    pooled = tf.nn.max_pool2d(images, windows.pool_size, windows.strides, padding)
    positions = tf.range(images.shape[1:].num_elements(), dtype=images.dtype)
    argmax = tf.raw_ops.MaxPoolGradGrad(
        orig_input=images,
        orig_output=pooled,
        grad=tf.broadcast_to(tf.reshape(positions, images.shape[1:]), tf.shape(images)),
        ksize=(1, *windows.pool_size, 1),
        strides=(1, *windows.strides, 1),
        padding=padding,
    )
    return pooled, _int64(argmax)


def _max_pool_composed(images: tf.Tensor, windows: _Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """The same without the kernels: by an argmax where windows lie side by side, else by comparing slices, along the
    columns of every row, then the results along rows.

    The first maximum in row-major order is the first column's, of the first row that has it. NaN counts as more
    than any number, so that it comes out, at the position of the first.
    """
    _, height, width, channels = _lengths(images)
    rows, columns = windows.axes
    if windows.strides == windows.pool_size and windows.padding == "valid":
        pooled, row, column = _max_pool_blocks(images, windows)
    else:
        pooled, (column,) = _first_maxima(images, (), 2, columns, width)
        pooled, (row, column) = _first_maxima(pooled, (column,), 1, rows, height)
    channels = _int64(channels)
    return pooled, (_int64(row) * _int64(width) + _int64(column)) * channels + tf.range(channels)


def _max_pool_blocks(images: tf.Tensor, windows: _Windows) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The maxima of windows that lie side by side, and the int32 row and column of each.

    The values of a window come into one dimension, and the first maximum is looked for there.

    With slices, pooling and unpooling compiled together took two to nine times as long as the two apart, as if XLA
    compared again for every pixel that asks for a window's position; after an argmax it does not.
    """
    batch, height, width, channels = _lengths(images)
    (pool_height, pool_width), (pooled_height, pooled_width) = windows.pool_size, windows.pooled_size((height, width))
    blocks = tf.reshape(
        images[:, : pooled_height * pool_height, : pooled_width * pool_width],
        (batch, pooled_height, pool_height, pooled_width, pool_width, channels),
    )
    values = tf.reshape(
        tf.transpose(blocks, (0, 1, 3, 5, 2, 4)),
        (batch, pooled_height, pooled_width, channels, pool_height * pool_width),
    )
    switches = tf.argmax(values, axis=-1, output_type=tf.int32)
    # Where a NaN goes in an argmax, TensorFlow and XLA do not say.
    is_nan = tf.math.is_nan(values)
    first_nan = tf.argmax(is_nan, axis=-1, output_type=tf.int32)
    switches = tf.where(tf.reduce_any(is_nan, axis=-1), first_nan, switches)
    pooled = tf.gather(values, switches, batch_dims=4)
    row = tf.range(pooled_height)[:, None, None] * pool_height + switches // pool_width
    column = tf.range(pooled_width)[:, None] * pool_width + switches % pool_width
    return pooled, row, column


def _first_maxima(
    values: tf.Tensor, carried: Sequence[tf.Tensor], dimension: int, axis: _Axis, length: Length
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Pools along one dimension.

    Returns:
        The maxima, and a list of their int32 positions along the dimension, followed by what the tensors `carried`
        have there.
    """
    count, before = axis.pooled_length(length), axis.pad_before(length)
    after = _at_least_zero((count - 1) * axis.stride + axis.pool - before - length)
    paddings: list[Any] = [(0, 0)] * 4
    paddings[dimension] = (before, after)
    padded = [tf.pad(tensor, paddings) for tensor in (values, *carried)]
    shape: list[Length] = [1] * 4
    shape[dimension] = count
    start = tf.reshape(tf.range(count) * axis.stride - before, shape)

    best: list[tf.Tensor] = []
    for offset in range(axis.pool):
        slices = [slice(None)] * 4
        slices[dimension] = slice(offset, offset + _at_least_zero((count - 1) * axis.stride + 1), axis.stride)
        value, *others = (tensor[tuple(slices)] for tensor in padded)
        position = start + offset
        if not best:
            best = [value, tf.broadcast_to(position, tf.shape(value)), *others]
            continue
        better = (value > best[0]) | (tf.math.is_nan(value) & ~tf.math.is_nan(best[0]))
        if axis.padding == "same":
            # Padding neither wins nor defends, not even against -inf.
            better = (better | (best[1] < 0)) & (position < length)
        best = [tf.where(better, new, old) for new, old in zip([value, position, *others], best)]
    return best[0], best[1:]


# ------------------------------------------------------------------------------------------------- Layers


class _WindowsLayer(keras.layers.Layer):
    """What the layers have in common: arguments that describe pooling windows."""

    def __init__(self, pool_size, strides=None, padding="valid", **kwargs):
        super().__init__(**kwargs)
        if keras.config.image_data_format() == "channels_first":
            raise ValueError(
                f"{type(self).__name__} works on channels_last images, and keras.config.image_data_format() is "
                "'channels_first': call keras.config.set_image_data_format('channels_last') and transpose the images"
            )
        self._windows = _Windows.from_arguments(pool_size, strides, padding)
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


@keras.saving.register_keras_serializable(package="deconv_ae")
class MaxPoolingWithArgmax2D(_WindowsLayer):
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
        size = _lengths(images)[1:3]
        shape, _ = self.compute_output_shape(images.shape)

        @with_gradient
        def max_pool(images):
            pooled, argmax = _max_pool(images, self._windows)
            positions = _Positions(argmax, size, self._windows, in_windows=True, composed=must_compose())
            return (pooled, argmax), lambda upstream, _: positions.scatter_add(upstream)

        pooled, argmax = max_pool(images)
        argmax = tf.ensure_shape(argmax, shape)
        return tf.ensure_shape(pooled, shape), _with_windows(argmax, self._windows, size)

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


@keras.saving.register_keras_serializable(package="deconv_ae")
class MaxUnpooling2D(_WindowsLayer):
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
    >>> images = np.array([[0, 9, 2], [4, 3, 8]], "float32").reshape(1, 2, 3, 1)
    >>> pooled, argmax = MaxPoolingWithArgmax2D(pool_size=2)(images)
    >>> MaxUnpooling2D(pool_size=2)(pooled, argmax, like=images).numpy().squeeze()
    array([[0., 9., 0.],
           [0., 0., 0.]], dtype=float32)
    """

    def call(self, pooled, argmax, output_size=None, like=None):
        self._check_arguments(pooled, argmax, like)
        like_size = None if like is None else _lengths(like)[1:3]
        size = self._size_to_restore(_lengths(pooled)[1:3], output_size, like_size)
        pooled = tf.cast(pooled, self.compute_dtype)
        positions = self._positions(argmax, size)
        images = positions.scatter_add(positions.only_winners(pooled))
        batch, *_, channels = pooled.shape
        return tf.ensure_shape(images, (batch, *_static(size), channels))

    def _positions(self, argmax, size) -> _Positions:
        """The positions, behind the checks that the kernels need: those do not look where they write.

        `MaxPoolGradWithArgmax` on the CPU writes into the neighbouring image, or aborts the process.
        """
        in_windows = _known_in_windows(argmax, self._windows, size)
        argmax = tf.cast(argmax, tf.int64)
        if in_windows is not True:
            argmax = self._windows.checked_restorable(argmax, size)
            image_length = _int64(_product((*size, _lengths(argmax)[-1])))
            smallest, largest = tf.reduce_min(argmax), tf.reduce_max(argmax)
            message = "argmax is out of range: its smallest and largest position, and an image's number of them:"
            # The smallest number of an empty tensor is the largest int64, and the other way round.
            in_range = (smallest >= 0) & (largest < image_length)
            argmax = _checked(argmax, in_range, [message, smallest, largest, image_length])
            in_windows = _cond(
                in_windows,
                lambda: tf.constant(True),
                lambda: tf.reduce_all(_switches_of(argmax, size, self._windows)[1]),
            )
        return _Positions(argmax, size, self._windows, in_windows, composed=must_compose())

    def _check_arguments(self, pooled, argmax, like):
        _check_integers("argmax", argmax)
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
        size = _size_argument("output_size", output_size) if like_size is None else tuple(like_size)
        self._windows.check_restorable(size, pooled_size)
        return size

    def compute_output_shape(self, pooled_shape, argmax_shape=None, output_size=None, like_shape=None):
        like_size = None if like_shape is None else like_shape[1:3]
        size = self._size_to_restore(pooled_shape[1:3], output_size, like_size)
        return (pooled_shape[0], *_static(size), pooled_shape[-1])

    def compute_output_spec(self, pooled, argmax, output_size=None, like=None):
        self._check_arguments(pooled, argmax, like)
        like_shape = None if like is None else like.shape
        shape = self.compute_output_shape(pooled.shape, argmax.shape, output_size, like_shape)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)


def _check_integers(name: str, tensor: Any) -> None:
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if "int" not in dtype:
        raise ValueError(f"`{name}` must be integers; got {dtype}")


def _size_argument(name: str, size: Any) -> Size:
    """A (height, width) that a user gave: as integers where they are known."""
    if isinstance(size, keras.KerasTensor):
        return None, None
    if tf.is_tensor(size) or any(map(tf.is_tensor, size if isinstance(size, (tuple, list)) else ())):
        lengths = tf.stack(size)
        _check_integers(name, lengths)
        lengths = tf.cast(lengths, tf.int32)
        known = tf.get_static_value(lengths)
        if known is None:
            height, width = tf.unstack(lengths, num=2)
            return height, width
        size = known.tolist()
    return _pair(name, size)


# ------------------------------------------------------------------------------------------------- Switches


def argmax_to_switches(argmax, input_size, pool_size, strides=None, padding="valid"):
    """Positions in the image as positions in the pooling window.

    Args:
        argmax: integers of shape `(batch, pooled_height, pooled_width, channels)`, as `MaxPoolingWithArgmax2D`
            returns them.
        input_size: (height, width) of the images that were pooled: two ints, or an integer tensor of shape (2,).
        pool_size: the pooling's window, of at most 256 positions.
        strides: the pooling's strides. Defaults to `pool_size`.
        padding: the pooling's padding: `"valid"` or `"same"`.

    Returns:
        uint8 of the shape of `argmax`: `row_in_window * pool_width + column_in_window`.

    Raises:
        ValueError: For an argument that is not as above.
        tf.errors.InvalidArgumentError: When it runs, outside of XLA, if a position is not in the window that chose
            it.

    Example:

    >>> import numpy as np
    >>> images = np.array([[0, 9, 2, 4], [4, 3, 8, 1]], "float32").reshape(1, 2, 4, 1)
    >>> pooled, argmax = MaxPoolingWithArgmax2D(pool_size=2)(images)
    >>> argmax_to_switches(argmax, input_size=(2, 4), pool_size=2).numpy().squeeze()
    array([1, 2], dtype=uint8)
    """
    windows = _windows_with_switches(pool_size, strides, padding)
    size = _size_argument("input_size", input_size)
    argmax = tf.convert_to_tensor(argmax)
    _check_integers("argmax", argmax)
    argmax = tf.cast(argmax, tf.int64)
    if _known_in_windows(argmax, windows, size) is True:
        switches = _switches_in_windows(argmax, size, windows)
        setattr(switches, _ARGMAX, (windows, size, weakref.ref(argmax)))
        return switches
    switches, inside = _switches_of(windows.checked_restorable(argmax, size), size, windows)
    message = "argmax has positions outside of the windows that chose them"
    return tf.cast(_checked(switches, tf.reduce_all(inside), [message]), tf.uint8)


def switches_to_argmax(switches, input_size, pool_size, strides=None, padding="valid"):
    """Positions in the pooling window as positions in the image.

    Args:
        switches: integers of shape `(batch, pooled_height, pooled_width, channels)`, as `argmax_to_switches`
            returns them.
        input_size: (height, width) of the images that were pooled: two ints, or an integer tensor of shape (2,).
        pool_size: the pooling's window, of at most 256 positions.
        strides: the pooling's strides. Defaults to `pool_size`.
        padding: the pooling's padding: `"valid"` or `"same"`.

    Returns:
        int64 of the shape of `switches`: `(row * width + column) * channels + channel`.

    Raises:
        ValueError: For an argument that is not as above.
        tf.errors.InvalidArgumentError: When it runs, outside of XLA, if a switch is not in the window or is in a
            part of it that is outside of the image.

    Example:

    >>> import numpy as np
    >>> switches = np.array([1, 2], "uint8").reshape(1, 1, 2, 1)
    >>> switches_to_argmax(switches, input_size=(2, 4), pool_size=2).numpy().squeeze()
    array([1, 6])
    """
    windows = _windows_with_switches(pool_size, strides, padding)
    size = _size_argument("input_size", input_size)
    own_windows, own_size, own_argmax = getattr(switches, _ARGMAX, (None, None, lambda: None))
    argmax = own_argmax()
    if argmax is not None and (own_windows, own_size) == (windows, _static(size)):
        return argmax
    switches = tf.convert_to_tensor(switches)
    _check_integers("switches", switches)
    argmax, inside = _argmax_of(windows.checked_restorable(switches, size), size, windows)
    message = "switches has positions outside of the window, or of the image"
    argmax = _checked(argmax, inside, [message])
    # What XLA did not check is not known to be inside of its windows.
    return argmax if compiled_by_xla() else _with_windows(argmax, windows, size)


def _argmax_of(switches: tf.Tensor, size: Size, windows: _Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """The argmax of every switch, int64, and whether all switches are inside of their windows and of the image."""
    channels = _lengths(switches)[-1]
    (rows, columns), dtype = windows.axes, windows.dtype_to_divide_in((*size, channels))
    first = tf.cast(windows.first_positions(size, channels), dtype)
    switches = tf.cast(switches, dtype)
    row_in_window = _floor_divided(switches, columns.pool)
    column_in_window = switches - row_in_window * columns.pool
    argmax = first + (row_in_window * tf.cast(size[1], dtype) + column_in_window) * tf.cast(channels, dtype)
    if dtype == tf.float32:
        # The windows are inside of the image.
        inside = (tf.reduce_min(switches) >= 0) & (tf.reduce_max(switches) < rows.pool * columns.pool)
    else:
        row = rows.starts(size[0])[:, None, None] + row_in_window
        column = columns.starts(size[1])[:, None] + column_in_window
        in_image = (row >= 0) & (row < _int64(size[0])) & (column >= 0) & (column < _int64(size[1]))
        inside = tf.reduce_all(in_image & (switches >= 0) & (row_in_window < rows.pool))
    return _int64(argmax), inside


def _windows_with_switches(pool_size: Any, strides: Any, padding: Any) -> _Windows:
    windows = _Windows.from_arguments(pool_size, strides, padding)
    if windows.pool_size[0] * windows.pool_size[1] > LARGEST_WINDOW:
        raise ValueError(
            f"switches are uint8, for windows of at most {LARGEST_WINDOW} positions; got pool_size={windows.pool_size}"
        )
    return windows


class _SwitchesLayer(_WindowsLayer):
    """What the two conversions have in common as layers."""

    def __init__(self, pool_size, strides=None, padding="valid", input_size=None, **kwargs):
        super().__init__(pool_size, strides, padding, **kwargs)
        _windows_with_switches(pool_size, strides, padding)
        self.input_size = _pair("input_size", input_size)

    def compute_output_shape(self, input_shape):
        self._windows.check_restorable(self.input_size, input_shape[1:3])
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "input_size": self.input_size}


@keras.saving.register_keras_serializable(package="deconv_ae")
class ArgmaxToSwitches2D(_SwitchesLayer):
    """The function `argmax_to_switches` as a layer.

    Args:
        pool_size: int or pair of ints, the pooling's window, of at most 256 positions.
        strides: int or pair of ints, the pooling's strides. Defaults to `pool_size`.
        padding: the pooling's padding: `"valid"` or `"same"`.
        input_size: pair of ints, (height, width) of the images that were pooled. Required.
        **kwargs: `name` and `dtype`, as for any Keras layer.

    Input shape:
        `(batch, pooled_height, pooled_width, channels)`, integers.

    Output shape:
        The same, uint8.
    """

    def call(self, argmax):
        return argmax_to_switches(argmax, self.input_size, self.pool_size, self.strides, self.padding)

    def compute_output_spec(self, argmax):
        return keras.KerasTensor(self.compute_output_shape(argmax.shape), dtype="uint8")


@keras.saving.register_keras_serializable(package="deconv_ae")
class SwitchesToArgmax2D(_SwitchesLayer):
    """The function `switches_to_argmax` as a layer.

    Args:
        pool_size: int or pair of ints, the pooling's window, of at most 256 positions.
        strides: int or pair of ints, the pooling's strides. Defaults to `pool_size`.
        padding: the pooling's padding: `"valid"` or `"same"`.
        input_size: pair of ints, (height, width) of the images that were pooled. Required.
        **kwargs: `name` and `dtype`, as for any Keras layer.

    Input shape:
        `(batch, pooled_height, pooled_width, channels)`, integers.

    Output shape:
        The same, int64.
    """

    def call(self, switches):
        return switches_to_argmax(switches, self.input_size, self.pool_size, self.strides, self.padding)

    def compute_output_spec(self, switches):
        return keras.KerasTensor(self.compute_output_shape(switches.shape), dtype="int64")
