"""Pictures to bytes and back, by an exported model and the probabilities beside it."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from deconv_ae.compression import entropy_coding, stored
from deconv_ae.compression.container import LONGEST_SIDE, RATES, Compressed, FileError, pack, unpack
from deconv_ae.compression.entropy_coding import EntropyCoder, UndecodableError
from deconv_ae.compression.model_tensors import ModelTensors, planes_last
from deconv_ae.compression.quantization import dequantize, whole_numbers
from deconv_ae.compression.tiles import cut, grid, join
from deconv_ae.data import to_pixels
from deconv_ae.errors import InputError
from deconv_ae.numbers import Pair, whole
from deconv_ae.saved_model.serving import ServedAutoencoder

DEFAULT_QUALITY = 3
MOST_PIXELS = 2**27
"""Of one picture: more than a file of Pillow's may have."""


@dataclass(frozen=True)
class _Share:
    """Tiles of one picture that are coded together with those of others."""

    picture: int
    first: int
    end: int

    def after(self, pictures: int) -> "_Share":
        """The same where so many pictures come before."""
        return replace(self, picture=self.picture + pictures)


class Compressor:
    """Compresses by one exported model.

    Args:
        model: with probabilities beside it, see `learn_probabilities`.

    Raises:
        InputError: if there are none, or not the model's, or the entropy coder is not installed.

    A model's `compress` and `decompress` are those of `Compressor(model)`, which is to be kept: it reads a file.
    """

    qualities = range(1, RATES + 1)

    def __init__(self, model: ServedAutoencoder) -> None:
        self._model = ModelTensors(model)
        self._probabilities = stored.read(model.path)
        if [replace(tensor, values_in=None) for tensor in self._probabilities.tensors] != list(self._model.tensors):
            raise InputError(f"model: {model.path}'s probabilities do not fit it; {stored.LEARN}")
        self._coders = {
            quality: EntropyCoder(
                self._probabilities.tensors, self._probabilities.at(quality - 1), halvings=quality - 1
            )
            for quality in self.qualities
        }

    def compress(self, image: np.ndarray, quality: int = DEFAULT_QUALITY) -> bytes:
        """A file of one picture.

        Args:
            image: `(height, width, channels)` uint8 of any size, in the model's channels.
            quality: 1, the smallest file, to 5.

        Raises:
            InputError: if the picture or the quality is not that.
        """
        return self.compress_all([image], quality)[0]

    def compress_all(self, images: Sequence[np.ndarray], quality: int = DEFAULT_QUALITY) -> list[bytes]:
        """A file of each picture: the same as one by one, in a tenth of the time."""
        quality = whole("quality", quality, least=1, most=RATES)
        for image in images:
            self._check(image)
        tile, coder = self._tile, self._coders[quality]
        encoders = [entropy_coding.encoder() for _ in images]
        for shares in self._together([self._tiles(image.shape[:2]) for image in images]):
            tiles = np.concatenate([cut(images[each.picture], tile)[each.first : each.end] for each in shares])
            coder.encode(
                self._whole_numbers(tiles, quality), [(encoders[each.picture], own) for each, own in _placed(shares)]
            )
        model = self._probabilities.checksum
        return [
            pack(Compressed(quality, model, _unless(image.shape[:2], tile), entropy_coding.written(encoder)))
            for image, encoder in zip(images, encoders)
        ]

    def decompress(self, file: bytes) -> np.ndarray:
        """The picture of a file, `(height, width, channels)` uint8.

        Code and switches are whole numbers, and the same on every machine. What the decoder makes of them are floats,
        whose last bits another processor or number of threads may round otherwise: where that is at the middle
        between two shades, the pixel is one shade brighter or darker.

        Raises:
            FileError: if it is damaged, or of another model or version.
        """
        return self.decompress_all([file])[0]

    def decompress_all(self, files: Sequence[bytes]) -> list[np.ndarray]:
        """The picture of each file: that of `decompress`, in a tenth of the time. Raises as that."""
        return list(self.pictures_of(files))

    def pictures_of(self, files: Sequence[bytes]) -> Iterator[np.ndarray]:
        """As `decompress_all`, one after the other. All headers and checksums are looked at before the first."""
        headers = [self.header(file, number) for number, file in enumerate(files)]
        tiles: list[np.ndarray] = []
        for shares, tensors in self._decoded(headers):
            pixels = to_pixels(self._model.decode(tensors))
            for each, own in _placed(shares):
                size = headers[each.picture].size or self._tile
                tiles.append(pixels[own])
                if each.end == self._tiles(size):
                    yield join(np.concatenate(tiles), size)
                    tiles = []

    def tensors(self, file: bytes) -> dict[str, np.ndarray]:
        """What the decoder is given, code and switches of each of the picture's tiles, by the signature's names."""
        parts = [tensors for _, tensors in self._decoded([self.header(file)])]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def bits(self, images: Sequence[np.ndarray], quality: int = DEFAULT_QUALITY) -> dict[str, float]:
        """What code and switches take in the files of all pictures, by the tensors' names."""
        totals: dict[str, float] = {}
        for shares in self._together([self._tiles(image.shape[:2]) for image in images]):
            tiles = np.concatenate([cut(images[each.picture], self._tile)[each.first : each.end] for each in shares])
            for name, bits in self._coders[quality].bits(self._whole_numbers(tiles, quality)).items():
                totals[name] = totals.get(name, 0.0) + bits
        return totals

    def header(self, file: bytes, number: int = 0) -> Compressed:
        """What a file says of itself, checked, without decoding it. Raises as `decompress`."""
        try:
            found = unpack(file)
            if found.model != self._probabilities.checksum:
                raise FileError("was compressed by another model, or other probabilities; give --model that")
            if found.rate not in self.qualities:
                raise FileError(f"has quality {found.rate}, and there are 1 to {RATES}; compress the picture anew")
            height, width = found.size or self._tile
            if not 0 < height * width <= MOST_PIXELS:
                raise FileError(f"is of {height}x{width} pixels, which no picture has; compress the picture anew")
        except FileError as error:
            raise FileError(error.reason, number) from None
        return found

    @property
    def _tile(self) -> Pair:
        return self._model.image_shape[0], self._model.image_shape[1]

    def _tiles(self, size: Sequence[int]) -> int:
        down, right = grid((size[0], size[1]), self._tile)
        return down * right

    def _together(self, counts: Sequence[int]) -> Iterator[list[_Share]]:
        """Tiles of pictures in order, as many at a time as fit into memory well."""
        shares: list[_Share] = []
        room = self._model.at_once
        for picture, count in enumerate(counts):
            first = 0
            while first < count:
                end = min(count, first + room)
                shares.append(_Share(picture, first, end))
                room -= end - first
                first = end
                if room == 0:
                    yield shares
                    shares, room = [], self._model.at_once
        if shares:
            yield shares

    def _whole_numbers(self, tiles: np.ndarray, quality: int) -> dict[str, np.ndarray]:
        by = self._probabilities
        return whole_numbers(by.tensors, self._model.encode(tiles), by.steps, quality - 1)

    def _decoded(self, headers: Sequence[Compressed]) -> Iterator[tuple[list[_Share], dict[str, np.ndarray]]]:
        """Code and switches of tiles, those of neighbouring files of one quality together."""
        first = 0
        for quality, group in itertools.groupby(headers, key=lambda header: header.rate):
            alike = list(group)
            decoders = [entropy_coding.decoder(header.payload) for header in alike]
            for shares in self._together([self._tiles(header.size or self._tile) for header in alike]):
                of_each = [(decoders[each.picture], own) for each, own in _placed(shares)]
                try:
                    numbers = self._coders[quality].decode(of_each)
                except UndecodableError as error:
                    number = first + shares[error.number].picture
                    raise FileError("holds what no program writes; compress the picture anew", number) from error
                yield [each.after(first) for each in shares], self._tensors_of(numbers, quality)
            first += len(alike)

    def _tensors_of(self, numbers: dict[str, np.ndarray], quality: int) -> dict[str, np.ndarray]:
        found = {}
        for tensor in self._probabilities.tensors:
            values = planes_last(numbers[tensor.name], tensor.shape)
            steps = self._probabilities.steps.get(tensor.name)
            found[tensor.name] = (
                dequantize(values, steps[quality - 1]) if steps is not None else values.astype(np.uint8)
            )
        return found

    def _check(self, image: np.ndarray) -> None:
        channels = self._model.image_shape[2]
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3:
            raise InputError("image: is no (height, width, channels) array of uint8 pixels; give one of 0 to 255")
        height, width, found = image.shape
        if found != channels:
            raise InputError(f"image: has {found} channels and the model takes {channels}; convert it")
        if not (0 < height <= LONGEST_SIDE and 0 < width <= LONGEST_SIDE and height * width <= MOST_PIXELS):
            raise InputError(f"image: is {height}x{width}; give one of 1 to {LONGEST_SIDE} pixels a side")


def _placed(shares: Sequence[_Share]) -> Iterator[tuple[_Share, slice]]:
    """Each share, and where its tiles lie among all."""
    first = 0
    for share in shares:
        yield share, slice(first, first + share.end - share.first)
        first += share.end - share.first


def _unless(size: Sequence[int], tile: Pair) -> Pair | None:
    return None if tuple(size) == tile else (size[0], size[1])
