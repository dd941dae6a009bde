"""Max unpooling: puts values back to the positions of their maxima.

The implementation depends on what executes the operations. Milliseconds are as in pooling.py:

| executed by | implementation | why |
| --- | --- | --- |
| another runtime, inside of `portable()` | other_runtimes | it lacks TensorFlow's kernels |
| XLA (TensorFlow's, JAX); a deterministic GPU | xla | 24 to 26 ms; reference 37 to 38 |
| TensorFlow | tensorflow | it adds in parallel over the batch |
| PyTorch, its compiler, vmap, export | torch | `keras.ops.segment_max` of Keras 3.15 computes in float32 |

Each implementation does less work if every position is in the window that chose it, as after a pooling.

The gradient of a value is the image's gradient at the value's position, or zero if a later window won the position.
Only tensorflow.py defines this gradient, in `_scatter_add`; the other files select, scatter and add, which the backend
differentiates. A stage on blocks, in `model/fast/`, multiplies by a mask instead, which TensorFlow differentiates.
"""

from collections.abc import Callable
from typing import Any

import keras

from deconv_ae.ops import checks, environment, other_runtimes, xla
from deconv_ae.ops.origin import Origin, origin_of
from deconv_ae.ops.pooling import dimensions_of
from deconv_ae.ops.switches import are_in_windows, argmax_of
from deconv_ae.ops.windows import Size, Windows, size_argument, static

UNPOOLINGS: dict[str, Callable[..., Any]] = {
    environment.PORTABLE: other_runtimes.max_unpool,
    environment.XLA: xla.max_unpool,
}
if environment.BACKEND == "tensorflow":
    from deconv_ae.ops import tensorflow

    UNPOOLINGS[environment.TENSORFLOW] = tensorflow.max_unpool
if environment.BACKEND == "torch":
    from deconv_ae.ops import torch

    UNPOOLINGS[environment.TORCH] = UNPOOLINGS[environment.TRACED_TORCH] = torch.max_unpool


def max_unpool(
    values: Any,
    argmax: Any,
    pool_size: Any,
    strides: Any = None,
    padding: str = "valid",
    output_size: Any = None,
    like: Any = None,
    data_format: str | None = None,
) -> Any:
    """Returns images of zeros with each value at its position.

    This is `MaxUnpooling1D`, `2D` and `3D` as a function of tensors. Their docstrings are the specification.

    Args:
        values: `(batch, *pooled size, channels)` or, with `channels_first`, `(batch, channels, *pooled size)`.
        argmax: the values' positions, as `max_pool_with_argmax` returns them.
        pool_size: the pooling's window.
        strides: the pooling's strides; `pool_size` if None.
        padding: the pooling's padding, `"valid"` or `"same"`.
        output_size: the size to restore: one int for each dimension, or an integer tensor of them.
        like: a tensor of the size to restore.
        data_format: the pooling's data format; Keras's setting if None.

    Returns:
        The images, of the values' dtype.

    Raises:
        ValueError: If an argument is not as above; if the size does not pool to the values' size, or is known to differ
            from the size that was pooled; on JAX and PyTorch, unless they trace the call, also if positions are out of
            range, are in other channels or, without a given size, fit another size but not the default size.
        tf.errors.InvalidArgumentError: On TensorFlow outside of XLA, for wrong positions, and for shapes and sizes that
            turn out to be wrong only when the graph runs.

    >>> from deconv_ae.ops import max_pool_with_argmax
    >>> pooled, argmax = max_pool_with_argmax(keras.ops.array([[[3.0], [7.0], [5.0], [1.0]]]), pool_size=2)
    >>> keras.ops.convert_to_numpy(max_unpool(pooled, argmax, pool_size=2)).squeeze().tolist()
    [0.0, 7.0, 5.0, 0.0]
    """
    values = checks.as_tensor("values", values)
    windows = Windows.from_arguments(pool_size, strides, padding, data_format, dimensions_of("values", values))
    return unpool(values, argmax, windows, output_size, like)


def unpool(values: Any, argmax: Any, windows: Windows, output_size: Any = None, like: Any = None) -> Any:
    """Does what `max_unpool` does; `windows` holds the arguments of the pooling."""
    windows.check_rank("pooled", values.shape)
    origin = origin_of(argmax)
    argmax = checks.checked_shape(checks.as_integers("argmax", argmax), values, windows.channel_axis)
    size = size_to_restore(argmax, windows, origin, output_size, like)
    if origin is not None:
        argmax = checks.checked_same_size(argmax, origin.size, size, windows)
    argmax = checks.checked_restorable(argmax, size, windows)
    runtime = environment.runtime(values)
    if runtime == environment.XLA and None in (values.shape[0], argmax.shape[0]):
        # XLA checks no shape: if `values` had one image and `argmax` several, XLA would repeat the values for each
        # image of `argmax`. A reshape to another batch size fails.
        values = keras.ops.reshape(values, keras.ops.shape(argmax))
    implementation = UNPOOLINGS[runtime]

    def restore(argmax: Any, positions_are_in_windows: bool) -> Any:
        images = implementation(values, argmax, size, windows, positions_are_in_windows)
        shape = windows.shape_of(values.shape[0], static(size), values.shape[windows.channel_axis])
        return environment.with_static_shape(images, shape)

    if origin is not None and origin.windows == windows and origin.positions_are_in_windows:
        return restore(argmax, True)
    all_in_windows = are_in_windows(argmax, size, windows)
    if not environment.can_check(all_in_windows):
        return restore(argmax, False)
    is_default_size = output_size is None and like is None and origin is None

    def check_and_restore() -> Any:
        checked = _checked_default_size(argmax, windows) if is_default_size else argmax
        return restore(checks.checked_positions(checked, size, windows), False)

    return environment.cond(all_in_windows, lambda: restore(argmax, True), check_and_restore)


def unpool_switches(values: Any, switches: Any, size: Size, windows: Windows) -> Any:
    """Unpools values to the positions of their switches. Every switch must be in its window; this is not checked."""
    argmax, _ = argmax_of(switches, size, windows)
    return UNPOOLINGS[environment.runtime(values)](values, argmax, size, windows, True)


def _checked_default_size(argmax: Any, windows: Windows) -> Any:
    """Checks an argmax that does not fit the default size: raises an error if it fits another size, else returns it.

    An argmax fits a size if, in images of that size, every position is in the window that chose it. Users forget to
    give the size, as in TensorFlow's issues 2169 and 10216. Then the positions were numbered with another width than
    that of the default size. If argmax fits no size at all, no size was forgotten: the user moved the positions out of
    their windows.
    """
    sizes = windows.sizes_pooled_to(windows.size_of(keras.ops.shape(argmax)))
    if len(sizes) == 1:
        return argmax
    fits = keras.ops.stack([are_in_windows(argmax, size, windows) for size in sizes])
    size_table = keras.ops.stack([keras.ops.stack(list(size)) for size in sizes])
    return checks.checked(argmax, ~keras.ops.any(fits), checks.NOT_OF_DEFAULT_SIZE, size_table, fits)


def size_to_restore(
    argmax: Any, windows: Windows, origin: Origin | None, output_size: Any = None, like: Any = None
) -> Size:
    """The size that the caller gives, else the size that was pooled, else TensorFlow Addons' default.

    Raises ValueError for `output_size` together with `like`, for a size that is known not to pool to argmax's size, and
    for another data format than the pooling's.
    """
    if output_size is not None and like is not None:
        raise ValueError("give `output_size` or `like`, not both")
    symbolic = isinstance(argmax, keras.KerasTensor)
    pooled_size = windows.size_of(argmax.shape if symbolic else keras.ops.shape(argmax))
    if like is not None:
        like = like if hasattr(like, "shape") else checks.as_tensor("like", like)
        windows.check_rank("like", like.shape)
        size = windows.size_of(like.shape if isinstance(like, keras.KerasTensor) else keras.ops.shape(like))
    elif output_size is not None:
        size = size_argument("output_size", output_size, windows.dimensions)
    elif origin is not None:
        size = origin.size
    else:
        size = windows.default_size(pooled_size)
    if origin is not None:
        if origin.windows.data_format != windows.data_format:
            raise ValueError(
                f"`argmax` was made with data_format={origin.windows.data_format!r}, which decides how positions "
                f"are numbered, and this unpooling has data_format={windows.data_format!r}: use the same for both"
            )
        if symbolic:
            checks.check_known_size(origin.size, size, windows)
    windows.check_restorable(size, pooled_size)
    return tuple(size)
