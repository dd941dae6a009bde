"""What a data set's name and the flags beside it ask for, and how one image is brought to that form."""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from deconv_ae import numbers, paths
from deconv_ae.data.decoding import composite, parse_colour
from deconv_ae.errors import InputError, choose
from deconv_ae.numbers import Pair

SAMPLE_NAME = "mnist_5k"
FOLDER_PREFIX = "folder:"
SPLITS = ("train", "test")
LONGEST_SIDE = 9459
"""Of a resized image: a square of it has the 89 million pixels that Pillow's guard lets a picture have."""
FITS = ("crop", "pad", "stretch")
COLOR_MODES = {"auto": None, "grayscale": 1, "rgb": 3}


@dataclass(frozen=True)
class Source:
    """Where images come from and what is done to them while they are read.

    Attributes:
        name: `mnist_5k`, the name of a TensorFlow Datasets image data set, or `folder:PATH`.
        data_dir: where TFDS keeps prepared data sets; its own default if None.
        cache_dir: where images are decoded to once and mapped from ever after; the user's cache directory if None, and
            "" for none, which decodes them into memory every time.
        manual_dir: a folder with a TFDS data set's archives, used in place of a download.
        image_size: (height, width) to resize to; None leaves images as they are.
        fit: how an image of another aspect ratio comes to image_size: "crop" cuts off what is over at its sides, as
            much at one as at the other; "pad" fills what is missing there with the background; "stretch" takes it all
            and distorts it.
        color_mode: "auto" leaves channels as they are (among pictures in colour grey ones
            become colour; the other way round is refused); "grayscale" or "rgb" converts.
        background: what shows through transparent pixels: "white", "black" or "#rrggbb".
        skip_bad_images: leave out a folder's files that are no whole picture, and list them,
            instead of refusing the folder.

    Raises:
        InputError: on an unknown colour mode or fit, a size that no image can have, no colour as background, or a path
            that cannot be used.
    """

    name: str
    data_dir: str | None = None
    manual_dir: str | None = None
    image_size: tuple[int, int] | None = None
    color_mode: str = "auto"
    background: str = "white"
    skip_bad_images: bool = False
    cache_dir: str | None = None
    fit: str = "crop"

    def __post_init__(self) -> None:
        choose("color_mode", self.color_mode, COLOR_MODES)
        choose("fit", self.fit, dict.fromkeys(FITS))
        if not self.name:
            raise InputError(
                f"dataset: is empty; give {SAMPLE_NAME}, a TFDS name such as mnist, or {FOLDER_PREFIX}PATH"
            )
        if self.folder is not None:
            paths.given("dataset", self.folder)
        for argument in ("data_dir", "manual_dir", "cache_dir"):
            if getattr(self, argument) is not None and (argument, getattr(self, argument)) != ("cache_dir", ""):
                # A frozen dataclass assigns its fields this way.
                object.__setattr__(self, argument, str(paths.given(argument, getattr(self, argument))))
        if self.image_size is not None:
            numbers.pair("image_size", self.image_size, most=LONGEST_SIDE)
        try:
            parse_colour(self.background)
        except ValueError as error:
            raise InputError(f"background: {error}") from error

    @property
    def folder(self) -> str | None:
        """PATH of a `folder:PATH`, None for other data sets."""
        return self.name.removeprefix(FOLDER_PREFIX) if self.name.startswith(FOLDER_PREFIX) else None

    def convert(self, image: tf.Tensor) -> tf.Tensor:
        """One `(height, width, channels)` uint8 image in this source's size and colours, still uint8.

        Four channels are red, green, blue and alpha, shown over the background; resizing averages
        over the pixels that it merges.

        >>> Source("mnist", image_size=(14, 14), color_mode="rgb").convert(tf.zeros((28, 28, 1), tf.uint8)).shape
        TensorShape([14, 14, 3])
        """
        channels = COLOR_MODES[self.color_mode]
        image = tf.convert_to_tensor(image)
        if image.shape[-1] == 4:
            image = self._over_background(image)
        if channels == 1 and image.shape[-1] == 3:
            image = tf.image.rgb_to_grayscale(image)
        elif channels == 3 and image.shape[-1] == 1:
            image = tf.image.grayscale_to_rgb(image)
        if self.image_size is None:
            return image
        if self.fit == "crop":
            image = _cut_to_aspect(image, self.image_size)
        if self.fit == "pad":
            image = _resize(image, _size_within(image, self.image_size))
            return _padded(image, self.image_size, parse_colour(self.background))
        return _resize(image, self.image_size)

    def _over_background(self, image: tf.Tensor) -> tf.Tensor:
        colour = parse_colour(self.background)
        shown = tf.numpy_function(lambda pixels: composite(pixels, colour), [image], tf.uint8, stateful=False)
        return tf.ensure_shape(shown, [*image.shape[:2], 3])


def _resize(image: tf.Tensor, size: Any) -> tf.Tensor:
    image = tf.image.resize(image, size, antialias=True)
    return tf.cast(tf.round(tf.clip_by_value(image, 0, 255)), tf.uint8)


def _size_within(image: tf.Tensor, size: Pair) -> tf.Tensor:
    """The largest (height, width) of the image's aspect ratio, in whole pixels, that lies within a size."""
    height, width = tf.unstack(tf.shape(image, tf.int64)[:2])
    return tf.cast(tf.stack(_within(height, width, *size)), tf.int32)


def _cut_to_aspect(image: tf.Tensor, size: Pair) -> tf.Tensor:
    """The largest part of a size's aspect ratio, in whole pixels, from the image's middle."""
    height, width = tf.unstack(tf.shape(image, tf.int64)[:2])
    cut_height, cut_width = _within(*size, height, width)
    top, left = (height - cut_height) // 2, (width - cut_width) // 2
    return image[top : top + cut_height, left : left + cut_width]


def _within(height: Any, width: Any, most_height: Any, most_width: Any) -> tuple[Any, Any]:
    """The lengths of something of this aspect ratio that is as large as it may be; 1 or more, halves rounded up."""
    scaled_height = (2 * height * most_width + width) // (2 * width)
    scaled_width = (2 * width * most_height + height) // (2 * height)
    return tf.clip_by_value(scaled_height, 1, most_height), tf.clip_by_value(scaled_width, 1, most_width)


def _padded(image: tf.Tensor, size: Pair, colour: tuple[int, int, int]) -> tf.Tensor:
    fill = tf.constant(colour, tf.uint8)
    if image.shape[-1] == 1:
        fill = tf.image.rgb_to_grayscale(fill)
    missing = tf.constant(size) - tf.shape(image)[:2]
    paddings = tf.stack([missing // 2, missing - missing // 2], axis=1)
    # In 32 bits, where a difference may be below zero.
    fill = tf.cast(fill, tf.int32)
    padded = tf.pad(tf.cast(image, tf.int32) - fill, tf.concat([paddings, [[0, 0]]], axis=0)) + fill
    return tf.ensure_shape(tf.cast(padded, tf.uint8), [*size, image.shape[-1]])
