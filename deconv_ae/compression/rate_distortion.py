"""Compares models with JPEG, WebP, PNG and thumbnails: the sizes of files and the quality of their pictures."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from deconv_ae.compression.compressor import Compressor
from deconv_ae.data.dataset import check_images
from deconv_ae.errors import InputError
from deconv_ae.saved_model.image_codecs import codecs
from deconv_ae.saved_model.signatures import CODE
from deconv_ae.saved_model.similarity import WINDOW, ssim

MOST_PICTURES, MOST_PIXELS = 1000, 200 * 64 * 64


@dataclass(frozen=True)
class Measurement:
    """The files of one codec at one rate.

    Attributes:
        bytes: the average size of a file.
        bits_per_pixel: the average size in bits, headers included, divided by the number of pixels; a colour pixel
            counts once.
        psnr: the average peak signal-to-noise ratio, in dB, of the pictures that do not decode exactly; infinite if all
            decode exactly.
        ssim: the pictures' average structural similarity, at most 1.
        switch_share: the switches' share of a model's files, 0 to 1; None for other codecs.
    """

    bytes: float
    bits_per_pixel: float
    psnr: float
    ssim: float
    switch_share: float | None = None


Curves = dict[str, list[Measurement]]


def rate_distortion(models: Sequence[tuple[str, Compressor]], images: np.ndarray) -> Curves:
    """Compresses the first pictures with every model at five rates, and with other codecs.

    Args:
        models: compressors with their models' names.
        images: `(N, height, width, 1 or 3)` uint8, of which the first are used: at most 1,000, and at most as many
            pixels as 200 pictures of 64x64 have.

    Returns:
        The measurements of each model and codec, by its name, smallest files first.

    Raises:
        InputError: if images have neither 1 nor 3 channels, or sides below 11 pixels.
    """
    check_images("images", images)
    _, height, width, channels = images.shape
    if channels not in (1, 3) or min(height, width) < WINDOW:
        raise InputError(
            f"dataset: images are {height}x{width}x{channels}; the comparison needs 1 or 3 channels and sides of at "
            f"least {WINDOW} pixels; give other images"
        )
    images = np.array(images[: max(1, min(MOST_PICTURES, MOST_PIXELS // (height * width)))])
    curves: Curves = {}
    for name, compressor in models:
        curves[name] = []
        for quality in compressor.qualities:
            files = compressor.compress_all(list(images), quality)
            bits = compressor.bits(list(images), quality)
            switch_bits = sum(each for tensor, each in bits.items() if not tensor.startswith(CODE))
            switch_share = switch_bits / (8 * sum(map(len, files)))
            curves[name].append(_measure(images, files, compressor.decompress_all(files), switch_share))
    for name, functions in codecs().items():
        curves[name] = []
        for compress in functions:
            compressed, decoded = zip(*(compress(image) for image in images))
            curves[name].append(_measure(images, compressed, decoded))
    return curves


def table(curves: Curves) -> str:
    """A table as text: a heading, a line for each codec and rate, and a note."""
    lines = [f"{'file':<32}{'bytes':>10}{'bits a pixel':>14}{'PSNR':>8}{'SSIM':>8}{'switches':>10}"]
    for name, measurements in curves.items():
        for each in measurements:
            share = "-" if each.switch_share is None else f"{each.switch_share:.0%}"
            lines.append(
                f"{name:<32}{each.bytes:>10,.1f}{each.bits_per_pixel:>14.3f}{each.psnr:>8.2f}{each.ssim:>8.4f}{share:>10}"
            )
    lines.append("switches: the share of the files that holds switches; thumbnail: a small PNG, enlarged again")
    return "\n".join(lines)


def _measure(
    images: np.ndarray, files: Sequence[bytes], decoded: Iterable[np.ndarray], switch_share: float | None = None
) -> Measurement:
    pictures = np.stack(list(decoded))
    size = sum(map(len, files)) / len(files)
    errors = ((images.astype(np.float32) - pictures) ** 2).mean(axis=(1, 2, 3), dtype=np.float64)
    errors = errors[errors > 0]
    psnr = float(np.mean(10 * np.log10(255**2 / errors))) if errors.size else math.inf
    similarity = float(np.mean(ssim(images, pictures, brightest=255)))
    return Measurement(size, 8 * size / (images.shape[1] * images.shape[2]), psnr, similarity, switch_share)
