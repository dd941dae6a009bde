"""Converts one image to a source's size and colours."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from deconv_ae.data.decoding import composite
from deconv_ae.data.source import COLOR_MODES, Source, parse_colour
from deconv_ae.numbers import Pair


def fit_image(image: Any, source: Source) -> tf.Tensor:
    """Converts one `(height, width, channels)` uint8 image to a source's size and colours, as uint8.

    Four channels are red, green, blue and alpha, and are composited over the background. Resizing averages the pixels
    that it merges.

    >>> fit_image(tf.zeros((28, 28, 1), tf.uint8), Source("mnist", image_size=(14, 14), color_mode="rgb")).shape
    TensorShape([14, 14, 3])
    """
    channels, background = COLOR_MODES[source.color_mode], parse_colour(source.background)
    image = tf.convert_to_tensor(image)
    if image.shape[-1] == 4:
        image = _composited(image, background)
    if channels == 1 and image.shape[-1] == 3:
        image = tf.image.rgb_to_grayscale(image)
    elif channels == 3 and image.shape[-1] == 1:
        image = tf.image.grayscale_to_rgb(image)
    if source.image_size is None:
        return image
    if source.fit == "crop":
        image = _cut_to_aspect(image, source.image_size)
    if source.fit == "pad":
        image = _resize(image, _size_within(image, source.image_size))
        return _padded(image, source.image_size, background)
    return _resize(image, source.image_size)


@functools.lru_cache(maxsize=8)
def resizer(source: Source, channels: int) -> Callable[[Any], tf.Tensor]:
    """Returns a TensorFlow graph of `fit_image`, for images of any size: three times as fast as `fit_image`."""
    pixels = tf.TensorSpec((None, None, channels), tf.uint8)
    return tf.function(lambda image: fit_image(image, source), input_signature=[pixels], autograph=False)


def _composited(image: tf.Tensor, background: tuple[int, int, int]) -> tf.Tensor:
    shown = tf.numpy_function(lambda pixels: composite(pixels, background), [image], tf.uint8, stateful=False)
    return tf.ensure_shape(shown, [*image.shape[:2], 3])


def _resize(image: tf.Tensor, size: Any) -> tf.Tensor:
    image = tf.image.resize(image, size, antialias=True)
    return tf.cast(tf.round(tf.clip_by_value(image, 0, 255)), tf.uint8)


def _size_within(image: tf.Tensor, size: Pair) -> tf.Tensor:
    """The largest (height, width) that fits into `size` and has the image's aspect ratio, in whole pixels."""
    height, width = tf.unstack(tf.shape(image, tf.int64)[:2])
    return tf.cast(tf.stack(_scaled_into(height, width, *size)), tf.int32)


def _cut_to_aspect(image: tf.Tensor, size: Pair) -> tf.Tensor:
    """Keeps the image's middle: the largest part with the aspect ratio of `size`, in whole pixels."""
    height, width = tf.unstack(tf.shape(image, tf.int64)[:2])
    cut_height, cut_width = _scaled_into(*size, height, width)
    top, left = (height - cut_height) // 2, (width - cut_width) // 2
    return image[top : top + cut_height, left : left + cut_width]


def _scaled_into(height: Any, width: Any, max_height: Any, max_width: Any) -> tuple[Any, Any]:
    """Scales height and width by one factor, so that they just fit the limits. Rounds halves up, and raises 0 to 1."""
    scaled_height = (2 * height * max_width + width) // (2 * width)
    scaled_width = (2 * width * max_height + height) // (2 * height)
    return tf.clip_by_value(scaled_height, 1, max_height), tf.clip_by_value(scaled_width, 1, max_width)


def _padded(image: tf.Tensor, size: Pair, background: tuple[int, int, int]) -> tf.Tensor:
    fill = tf.constant(background, tf.uint8)
    if image.shape[-1] == 1:
        fill = tf.image.rgb_to_grayscale(fill)
    missing = tf.constant(size) - tf.shape(image)[:2]
    paddings = tf.stack([missing // 2, missing - missing // 2], axis=1)
    # tf.pad fills all channels with one number. So the background is subtracted before the padding, and added
    # after it, in int32, because differences may be negative.
    fill = tf.cast(fill, tf.int32)
    padded = tf.pad(tf.cast(image, tf.int32) - fill, tf.concat([paddings, [[0, 0]]], axis=0)) + fill
    return tf.ensure_shape(tf.cast(padded, tf.uint8), [*size, image.shape[-1]])
