"""What a data set's name and the flags beside it ask for."""

import re
from dataclasses import dataclass
from pathlib import Path

from deconv_ae import numbers, paths
from deconv_ae.data.split import SPLIT_BY
from deconv_ae.errors import InputError, choose

SAMPLE_NAME = "mnist_5k"
FOLDER_PREFIX = "folder:"
SPLITS = ("train", "test")
MOST_PIXELS = 89_478_485
"""That a picture in a folder may have where nothing else is said: Pillow's own limit, a quarter of a GiB in colour. A
few bytes can declare a picture of any size."""
LONGEST_SIDE = 9459
"""Of a resized image: a square of it has so many pixels."""
FITS = ("crop", "pad", "stretch")
COLOR_MODES = {"auto": None, "grayscale": 1, "rgb": 3}
NAMED_COLOURS = {"white": (255, 255, 255), "black": (0, 0, 0)}


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
        load_truncated: show what there is of a folder's pictures that were cut short, as viewers do.
        max_pixels: that a picture in a folder may have.
        split_by: what of a folder without train/ and test/ is divided, a key of `split.SPLIT_BY`.

    Raises:
        InputError: on an unknown colour mode, fit or split, a size that no image can have, no colour as background, or
            a path that cannot be used.
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


def short_name(name: str) -> str:
    """A data set's name, and of a folder its last part.

    >>> short_name("mnist_5k"), short_name("folder:pictures/photos")
    ('mnist_5k', 'photos')
    """
    return Path(name.removeprefix(FOLDER_PREFIX)).name


def parse_colour(text: str) -> tuple[int, int, int]:
    """`"white"`, `"black"` or `"#rrggbb"` as (red, green, blue).

    Raises:
        ValueError: on anything else.

    >>> parse_colour("#ff8000")
    (255, 128, 0)
    """
    if text in NAMED_COLOURS:
        return NAMED_COLOURS[text]
    if not re.fullmatch("#[0-9a-fA-F]{6}", text):
        raise ValueError(f"{text!r} is no colour; give white, black or #rrggbb, as in #ff8000")
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue
