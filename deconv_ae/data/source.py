"""A data set's name, and how its images are read."""

import re
from dataclasses import dataclass

from deconv_ae import numbers, paths
from deconv_ae.data.split import SPLIT_BY
from deconv_ae.errors import InputError, choose

SAMPLE_NAME = "mnist_5k"
SPLITS = ("train", "test")
MOST_PIXELS = 89_478_485
"""The default limit of a picture's pixels: Pillow's own, a quarter of a GiB in colour.

A file of a few bytes can declare a picture of any size."""
LONGEST_SIDE = 9459
"""The limit of a resized image's sides: a square of this side has MOST_PIXELS pixels."""
FITS = ("crop", "pad", "stretch")
COLOR_MODES = {"auto": None, "grayscale": 1, "rgb": 3}
"""Channels by colour mode."""
NAMED_COLOURS = {"white": (255, 255, 255), "black": (0, 0, 0)}


@dataclass(frozen=True)
class Source:
    """A data set's name, and how its images are read.

    Attributes:
        name: `mnist_5k`, the name of a TensorFlow Datasets image data set, or `folder:PATH`.
        data_dir: the directory of data sets that TFDS has prepared; None for TFDS's own default.
        cache_dir: the directory for decoded images, which are mapped from there; None for the user's cache directory,
            "" to decode into memory every time.
        manual_dir: a folder with a TFDS data set's archives, used in place of a download.
        image_size: (height, width) to resize to; None leaves images as they are.
        fit: how an image of another aspect ratio gets image_size: "crop" cuts off both sides equally; "pad" adds
            background on both sides; "stretch" distorts the image.
        color_mode: "auto" keeps the channels, and turns grey pictures of a folder into colour if the folder has a
            picture in colour; "grayscale" or "rgb" converts.
        background: the colour behind transparent pixels: "white", "black" or "#rrggbb".
        skip_bad_images: leave out damaged images and other files of a folder, and list them, instead of refusing the
            folder.
        load_truncated: show the readable part of truncated pictures in a folder, as viewers do.
        max_pixels: the most pixels that a picture in a folder may have.
        split_by: how a folder without train/ and test/ is divided, a key of `split.SPLIT_BY`.

    Raises:
        InputError: on an unknown colour mode, fit or split, an impossible size, a background that is not a colour, or a
            path that cannot be used.
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
    load_truncated: bool = False
    max_pixels: int = MOST_PIXELS
    split_by: str = "file"

    def __post_init__(self) -> None:
        choose("color_mode", self.color_mode, COLOR_MODES)
        choose("fit", self.fit, dict.fromkeys(FITS))
        choose("split_by", self.split_by, SPLIT_BY)
        numbers.whole("max_pixels", self.max_pixels, least=1)
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
