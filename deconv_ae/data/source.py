"""A data set's name, and how its images are read.

A new option of reading is one field here, with its help, default and check. It becomes a flag of every program that
reads pictures, and an argument in Python.
"""

import re
from dataclasses import dataclass
from functools import partial
from typing import Any

from deconv_ae import numbers, options, paths
from deconv_ae.data.split import SPLIT_BY
from deconv_ae.errors import InputError
from deconv_ae.options import checked_boolean, checked_text, integer, listed, one_of, option, optional

SAMPLE_NAME = "mnist_5k"
SPLITS = ("train", "test")
DEFAULT_MAX_PIXELS = 89_478_485
"""The default limit of a picture's pixels: Pillow's own, a quarter of a GiB in colour.

A file of a few bytes can declare a picture of any size."""
LONGEST_SIDE = 9459
"""The limit of a resized image's sides: the side of the largest square of at most DEFAULT_MAX_PIXELS pixels."""
FITS = {
    "crop": "cuts off both sides equally",
    "pad": "adds the background on both sides",
    "stretch": "distorts the image",
}
COLOR_MODES = {"auto": None, "grayscale": 1, "rgb": 3}
"""Channels by colour mode."""
NAMED_COLOURS = {"white": (255, 255, 255), "black": (0, 0, 0)}


def _checked_path(name: str, value: Any) -> str:
    """Checks that a value is a path that can be used, and returns its text."""
    return str(paths.checked_path(name, checked_text(name, value)))


def _checked_path_or_empty(name: str, value: Any) -> str:
    """Checks a path as `_checked_path` does, but also accepts an empty text, which stands for no directory."""
    return "" if checked_text(name, value) == "" else _checked_path(name, value)


def _checked_colour(name: str, value: Any) -> str:
    """Checks that a value is the text of a colour, and returns this text."""
    colour = checked_text(name, value)
    try:
        parse_colour(colour)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from error
    return colour


@dataclass(frozen=True)
class Source:
    """A data set's name, and how its images are read. The help of each option says what it does.

    The card of a model records the options that decided the pixels of its training images, so that programs read other
    pictures in the same way. The card omits the options on damaged files: another folder has other damaged files.

    Attributes:
        name: `mnist_5k`, the name of a TensorFlow Datasets image data set, or `folder:PATH`.

    Raises:
        InputError: for a wrong value.
    """

    name: str
    data_dir: str | None = option(
        None,
        optional(_checked_path),
        "The directory of prepared TFDS data sets. Default: TFDS's own.",
        decides_result=False,
    )
    manual_dir: str | None = option(
        None,
        optional(_checked_path),
        "A folder with the TFDS data set's archives, for use without a network.",
        decides_result=False,
    )
    image_size: tuple[int, int] | None = option(
        None,
        optional(partial(numbers.pair, most=LONGEST_SIDE)),
        "Resize images to this height and width: 64, or 64x48. Without a size, they keep their own.",
    )
    color_mode: str = option(
        "auto",
        one_of(COLOR_MODES),
        f"Convert images: {', '.join(COLOR_MODES)}. auto keeps their colours, but if one picture in a folder is in "
        "colour, all are read in colour.",
    )
    background: str = option("white", _checked_colour, "The colour behind transparent pixels: white, black or #rrggbb.")
    skip_bad_images: bool = option(
        False,
        checked_boolean,
        "Leave out a folder's damaged images and files that are no images, and list them, instead of stopping.",
        decides_result=False,
    )
    cache_dir: str | None = option(
        None,
        optional(_checked_path_or_empty),
        "The directory for decoded images. A data set is decoded once, to height x width x channels bytes an image, "
        "and memory-mapped afterwards. You may delete the directory's files at any time. Default: the environment's "
        "DECONV_AE_CACHE_DIR, or deconv_ae in the user's cache directory (~/.cache, ~/Library/Caches, "
        "%LOCALAPPDATA%). Empty: decode into memory, every time.",
        decides_result=False,
    )
    fit: str = option(
        "crop",
        one_of(FITS),
        f"What to do with an image whose aspect ratio is not that of --image_size. {listed(FITS)}.",
    )
    load_truncated_images: bool = option(
        False,
        checked_boolean,
        "Take the readable part of truncated pictures in a folder, with the rest in grey or black, as viewers do.",
        decides_result=False,
    )
    max_pixels: int = option(
        DEFAULT_MAX_PIXELS,
        integer(least=1),
        "The most pixels that a picture in a folder may have. A tiny file can declare a huge picture.",
        decides_result=False,
    )
    split_by: str = option(
        "file",
        one_of(SPLIT_BY),
        "How to divide a folder without train and test in it: about a fifth of the pictures are for testing. "
        f"{listed(SPLIT_BY)}. If several pictures show one scene, or are crops of one photograph, choose the way that "
        "keeps them together. With file, one of every five pictures with consecutive numbers in their names is for "
        "testing. For a picture without a number in its name, a hash of the name decides: of 200 such pictures, 40 are "
        "for testing, give or take 6. With folder or name, groups of pictures that stay together are divided in the "
        "same way, by the groups' names.",
    )

    def __post_init__(self) -> None:
        options.check(self)


ONLY_FOR_TFDS = ("data_dir", "manual_dir")
"""Options that apply only to TFDS data sets."""


def parse_colour(text: str) -> tuple[int, int, int]:
    """Converts `"white"`, `"black"` or `"#rrggbb"` to (red, green, blue), and raises ValueError on other text.

    >>> parse_colour("#ff8000")
    (255, 128, 0)
    """
    if text in NAMED_COLOURS:
        return NAMED_COLOURS[text]
    if not re.fullmatch("#[0-9a-fA-F]{6}", text):
        raise ValueError(f"{text!r} is not a colour; give white, black or #rrggbb, as in #ff8000")
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue
