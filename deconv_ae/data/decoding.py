"""Decodes one picture file to the pixels that a viewer shows.

This file imports Pillow and NumPy but no module of this package: decoding processes load it without TensorFlow.
"""

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI", "ICO")
"""The accepted formats: each begins with a signature, and Pillow decodes it itself.

EPS is missing because Pillow starts Ghostscript for it. TGA is missing because it has no signature, so any file may
pass for TGA. Rare formats are missing because their decoders are little tested."""
DEFAULT_MAX_PIXELS = Image.MAX_IMAGE_PIXELS or sys.maxsize
WHITE = (255, 255, 255)
GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "F")
TRANSPARENT_SHADE_SCALES = {"L;2": 255 / 3, "L;4": 255 / 15, "RGB;16B": 1 / 256}
TIFF_BITS, TIFF_PHOTOMETRIC, TIFF_BANDS, WHITE_IS_ZERO = 258, 262, 277, 0

# Pillow also logs the errors that it raises, and without a logging configuration they appear on stderr.
logging.getLogger("PIL").setLevel(logging.CRITICAL)


class PictureError(ValueError):
    """A file cannot be shown as a picture. The message continues a sentence that begins with the file's name."""


def decode(
    file: Path,
    channels: int | None = None,
    background: tuple[int, int, int] = WHITE,
    load_truncated: bool = False,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> np.ndarray:
    """Decodes one picture, and turns it upright by its EXIF orientation.

    A file of several frames or pages gives its first picture. Transparent pixels show the background.
    Shades of 16 bits, and floats from 0 to 1, are scaled to 8 bits.

    Args:
        file: a picture in one of FORMATS.
        channels: 1 for grey, 3 for colour, None for the picture's own channels (a grey picture with an alpha
            channel or a transparent shade, over a background in colour, has 3).
        background: red, green and blue, 0 to 255.
        load_truncated: show the readable part of a truncated file, as viewers do, with the rest in grey or black.
        max_pixels: the most pixels that a picture may have.

    Returns:
        `(height, width, 1 or 3)` uint8.

    Raises:
        PictureError: if the file is damaged, not a regular file or not in one of FORMATS, has more pixels than
            max_pixels, or has values outside of the range of shades.

    >>> import io
    >>> picture, file = Image.new("LA", (3, 2), (0, 0)), io.BytesIO()
    >>> picture.save(file, "PNG")
    >>> decode(file, background=(10, 10, 10))[0, 0]
    array([10], dtype=uint8)
    """
    with _opened(file, max_pixels) as picture:
        _scale_transparent_shade(picture)
        previous, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, load_truncated
        try:
            picture.load()
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = previous
        return _shown_pixels(picture, channels, background)


def count_own_channels(
    file: Path, background: tuple[int, int, int] = WHITE, max_pixels: int = DEFAULT_MAX_PIXELS
) -> int:
    """Finds from a file's first bytes how many channels `decode` gives by default: 1 for grey, 3 for colour.

    Args:
        file: a picture in one of FORMATS.
        background: red, green and blue, 0 to 255.
        max_pixels: the most pixels that a picture may have.

    Returns:
        1 or 3.

    Raises:
        PictureError: as `decode`, for errors in the first bytes.
    """
    with _opened(file, max_pixels) as picture:
        return 1 if _is_grey(picture, background) else 3


@contextlib.contextmanager
def _opened(file: Path, max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    """Yields a picture whose first bytes have been read. Every error within the block becomes a PictureError."""
    if isinstance(file, (str, Path)) and not Path(file).is_file():  # Pillow would wait for ever for a pipe.
        raise PictureError("is not a file: a broken link, a pipe or a device")
    previous_limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Most warnings concern metadata, which no user can mend.
            with Image.open(file, formats=_available_formats()) as picture:
                # The header has the size, so this check decodes nothing.
                if picture.width * picture.height > max_pixels:
                    raise Image.DecompressionBombError(f"{picture.width}x{picture.height} pixels")
                yield picture
    except PictureError:
        raise
    except Image.DecompressionBombError as error:
        # Cuts Pillow's own limit, which is twice as high, from the message.
        size = str(error).split(" exceeds")[0]
        raise PictureError(f"is too large ({size}); --max_pixels allows {max_pixels:,}") from error
    except UnidentifiedImageError as error:
        raise PictureError(_why_unidentified(file)) from error
    except Exception as error:  # Pillow's decoders raise many types: struct.error, IndexError, ...
        raise PictureError(f"cannot be decoded ({error or type(error).__name__})") from error
    finally:
        Image.MAX_IMAGE_PIXELS = previous_limit


def _why_unidentified(file: Any) -> str:
    """Says why Pillow cannot identify a file. Pillow hides the reason even if the file has a format's signature."""
    with (
        warnings.catch_warnings(action="ignore"),
        contextlib.nullcontext(file) if hasattr(file, "read") else Path(file).open("rb") as opened,
    ):
        for name in _available_formats():
            factory, accept = Image.OPEN[name]
            opened.seek(0)
            if accept is None or accept(opened.read(16)) is not True:
                continue
            opened.seek(0)
            try:
                factory(opened, "")
            except Exception as error:
                bands = _tiff_bands(opened) if name == "TIFF" else 1
                remedy = f" of {bands} bands; save one, or three as red, green and blue" if bands > 1 else ""
                return f"cannot be decoded ({error or type(error).__name__}{remedy})"
    return f"is not a picture in a known format ({', '.join(FORMATS)})"


def _tiff_bands(opened: Any) -> int:
    """The number of bands of a TIFF. Pillow refuses most TIFFs whose bands are not colours."""
    with contextlib.suppress(Exception):
        opened.seek(0)
        tags = TiffImagePlugin.ImageFileDirectory_v2(opened.read(8))
        opened.seek(tags.next)
        tags.load(opened)
        return int(tags.get(TIFF_BANDS, 1))
    return 1


def composite(pixels: np.ndarray, background: tuple[int, int, int]) -> np.ndarray:
    """Composites red, green, blue and alpha over a background: `(..., 4)` uint8 to `(..., 3)` uint8.

    >>> composite(np.array([[0, 0, 0, 255], [0, 0, 0, 51]], np.uint8), WHITE).tolist()
    [[0, 0, 0], [204, 204, 204]]
    """
    alpha = pixels[..., 3:].astype(np.uint16)
    # At most 255 * 255 + 127: within 16 bits.
    mixed = pixels[..., :3] * alpha + np.array(background, np.uint16) * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def _is_grey(picture: Image.Image, background: tuple[int, int, int]) -> bool:
    """Whether the picture is grey, and stays grey when its transparent pixels show the background."""
    return picture.mode in GREY_MODES and (len(set(background)) == 1 or not picture.has_transparency_data)


def _shown_pixels(picture: Image.Image, channels: int | None, background: tuple[int, int, int]) -> np.ndarray:
    channels = channels or (1 if _is_grey(picture, background) else 3)
    if picture.mode.startswith(("I", "F")):
        picture = _scaled_to_eight_bits(picture)
    with contextlib.suppress(Exception):  # A picture with damaged EXIF data stays as it is.
        ImageOps.exif_transpose(picture, in_place=True)
    if picture.has_transparency_data:
        picture = Image.fromarray(composite(np.asarray(picture.convert("RGBA")), background))
    if picture.mode == "CMYK":
        picture = _cmyk_to_rgb(picture)
    pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], channels)


def _scaled_to_eight_bits(picture: Image.Image) -> Image.Image:
    """Scales shades of more than 8 bits to 8 bits, because Pillow would clip them.

    The result has the mode "L", or "LA" if the picture declares one shade transparent.
    """
    values = np.asarray(picture)
    # Only TIFF has tags. Pillow neither scales shades of 12 bits, nor inverts shades of more than 8 bits if 0
    # stands for white.
    tags = getattr(picture, "tag_v2", {})
    white = 1.0 if picture.mode == "F" else 2.0 ** (tags.get(TIFF_BITS, (16,))[0] if picture.mode != "I" else 16) - 1
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= white):  # A NaN fails both comparisons.
        raise PictureError(f"has values from {low:g} to {high:g}, not shades from 0 to {white:g}")
    shades = np.floor(values * (255 / white) + 0.5).astype(np.uint8)
    if tags.get(TIFF_PHOTOMETRIC) == WHITE_IS_ZERO:
        shades = 255 - shades
    scaled = Image.fromarray(shades)
    transparent = picture.info.get("transparency")
    if transparent is not None:
        scaled = Image.merge("LA", (scaled, Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8))))
    scaled.info = {key: value for key, value in picture.info.items() if key != "transparency"}
    return scaled


def _scale_transparent_shade(picture: ImageFile.ImageFile) -> None:
    """Scales a PNG's transparent shade as Pillow scales the pixels.

    When Pillow loads grey pixels of 2 or 4 bits, or colours of 3 x 16 bits, it scales the pixels to 8 bits, but not the
    shade that is declared transparent.
    """
    transparent = picture.info.get("transparency")
    scale = TRANSPARENT_SHADE_SCALES.get(str(picture.tile[0][3])) if picture.tile else None
    if scale is not None and isinstance(transparent, int):
        picture.info["transparency"] = int(transparent * scale)
    elif scale is not None and isinstance(transparent, tuple):
        picture.info["transparency"] = tuple(int(value * scale) for value in transparent)


def _cmyk_to_rgb(picture: Image.Image) -> Image.Image:
    """Converts a CMYK picture to RGB by its colour profile, or returns it unchanged if it has no usable profile."""
    profile = picture.info.get("icc_profile")
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            cmyk_profile = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            rgb_picture = ImageCms.profileToProfile(
                picture, cmyk_profile, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            if rgb_picture is not None:
                return rgb_picture
    return picture


def _available_formats() -> list[str]:
    """The FORMATS that this Pillow was built with. For any other format, Pillow raises a KeyError."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]
