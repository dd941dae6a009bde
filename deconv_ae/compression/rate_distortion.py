"""How large files are, and how good the pictures in them: models beside JPEG, WebP, PNG and thumbnails."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from deconv_ae.compression.compressor import Compressor
from deconv_ae.data.dataset import check_images
from deconv_ae.errors import InputError
from deconv_ae.saved_model.image_codecs import codecs
from deconv_ae.saved_model.signatures import CODE

MOST_PICTURES, MOST_PIXELS = 1000, 200 * 64 * 64
SMALLEST_SIDE = 11
"""What the window of the structural similarity spans."""


@dataclass(frozen=True)
class Measured:
    """Files of one kind at one rate.

    Attributes:
        bytes: a file's, on average.
        bits_per_pixel: of whole files, headers included; a pixel in colour is one pixel.
        psnr: peak signal-to-noise ratio in dB, of each picture, averaged; infinite where nothing is lost.
        ssim: structural similarity, 1 at most, averaged.
        switches: how much of a model's files is switches, 0 to 1; None of others.
    """

    bytes: float
    bits_per_pixel: float
    psnr: float
    ssim: float
    switches: float | None = None


Curves = dict[str, list[Measured]]


def rate_distortion(models: Sequence[tuple[str, Compressor]], images: np.ndarray) -> Curves:
    """Every model's files at its five rates, and others' at five of theirs, of the first pictures.

    Args:
        models: by their names.
        images: `(N, height, width, 1 or 3)` uint8; a thousand digits or 200 pictures of 64x64 are looked at.

    Raises:
        InputError: if images are no pictures that there is a file format for, or smaller than 11x11.
    """
    check_images("images", images)
    _, height, width, channels = images.shape
    if channels not in (1, 3) or min(height, width) < SMALLEST_SIDE:
        raise InputError(
            f"dataset: images are {height}x{width}x{channels}; rates are of pictures in grey or in colour, of "
            f"{SMALLEST_SIDE}x{SMALLEST_SIDE} and more"
        )
    images = np.array(images[: max(1, min(MOST_PICTURES, MOST_PIXELS // (height * width)))])
    curves: Curves = {}
    for name, compressor in models:
        curves[name] = []
        for quality in compressor.qualities:
            files = compressor.compress_all(list(images), quality)
            bits = compressor.bits(list(images), quality)
            of_switches = sum(each for tensor, each in bits.items() if not tensor.startswith(CODE))
            share = of_switches / (8 * sum(map(len, files)))
            curves[name].append(_measured(images, files, compressor.decompress_all(files), share))
    for name, rates in codecs().items():
        curves[name] = []
        for compress in rates:
            made, seen = zip(*(compress(image) for image in images))
            curves[name].append(_measured(images, made, seen))
    return curves


def table(curves: Curves) -> str:
    """A line for each kind and rate."""
    lines = [f"{'file':<32}{'bytes':>10}{'bits a pixel':>14}{'PSNR':>8}{'SSIM':>8}{'switches':>10}"]
    for name, rates in curves.items():
        for each in rates:
            share = "-" if each.switches is None else f"{each.switches:.0%}"
            lines.append(
                f"{name:<32}{each.bytes:>10,.1f}{each.bits_per_pixel:>14.3f}{each.psnr:>8.2f}{each.ssim:>8.4f}{share:>10}"
            )
    lines.append("switches: how much of the files they are; a thumbnail is a PNG, enlarged")
    return "\n".join(lines)


def _measured(
    images: np.ndarray, files: Sequence[bytes], seen: Iterable[np.ndarray], switches: float | None = None
) -> Measured:
    shown = np.stack(list(seen))
    size = sum(map(len, files)) / len(files)
    errors = ((images.astype(np.float32) - shown) ** 2).mean(axis=(1, 2, 3), dtype=np.float64)
    with np.errstate(divide="ignore"):
        psnr = float(np.mean(10 * np.log10(255**2 / errors)))
    ssim = float(np.mean(tf.image.ssim(tf.constant(images), tf.constant(shown), max_val=255)))
    return Measured(size, 8 * size / (images.shape[1] * images.shape[2]), psnr, ssim, switches)
