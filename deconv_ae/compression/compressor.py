"""Compresses pictures to bytes, and decompresses them, with an exported model and its probabilities."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from deconv_ae.compression import entropy_coding, probability_file
from deconv_ae.compression.container import LONGEST_SIDE, RATE_COUNT, CompressedPicture, FileError, pack, unpack
from deconv_ae.compression.entropy_coding import EntropyCoder, UndecodableError
from deconv_ae.compression.model_tensors import ModelTensors, planes_last
from deconv_ae.compression.quantization import dequantize, quantized_values
from deconv_ae.compression.tiles import cut, grid, join
from deconv_ae.data import to_pixels
from deconv_ae.errors import InputError
from deconv_ae.numbers import Pair, checked_integer
from deconv_ae.saved_model.serving import ServedAutoencoder

DEFAULT_QUALITY = 3
MOST_PIXELS = 2**27
"""The most pixels of a picture; the default of --max_pixels, from Pillow, is lower."""


@dataclass(frozen=True)
class _TileRange:
    """The tiles `first` to `end - 1` of the picture with the index `picture`. A batch may hold several ranges."""

    picture: int
    first: int
    end: int


class Compressor:
    """Compresses pictures with one exported model.

    Making a compressor reads the probabilities from the disk, so use one compressor for several pictures.

    Args:
        model: an exported model, for which `learn_probabilities` was called.

    Raises:
        InputError: if the probabilities are missing or damaged, or belong to another model.
    """

    qualities = range(1, RATE_COUNT + 1)

    def __init__(self, model: ServedAutoencoder) -> None:
        self._model = ModelTensors(model)
        self._probabilities = probability_file.read(model.path)
        if [replace(tensor, values_in=None) for tensor in self._probabilities.tensors] != list(self._model.tensors):
            raise InputError(f"model: the probabilities in {model.path} do not fit the model; {probability_file.LEARN}")
        self._coders = {
            quality: EntropyCoder(
                self._probabilities.tensors, self._probabilities.planes_at(quality - 1), halvings=quality - 1
            )
            for quality in self.qualities
        }

    def compress(self, image: np.ndarray, quality: int = DEFAULT_QUALITY) -> bytes:
        """Compresses one picture.

        Args:
            image: `(height, width, channels)` uint8 with the model's channels, at most 65,535 pixels a side and 2^27 in
                all.
            quality: 1 to 5; 1 makes the smallest file.

        Returns:
            The file's bytes.

        Raises:
            InputError: if the image or the quality is not as described.
        """
        return self.compress_all([image], quality)[0]

    def compress_all(self, images: Sequence[np.ndarray], quality: int = DEFAULT_QUALITY) -> list[bytes]:
        """Compresses several pictures to the same files as `compress`.

        Many small pictures take a tenth of the time of separate calls.
        """
        quality = checked_integer("quality", quality, least=1, most=RATE_COUNT)
        tile_size, coder = self._tile_size, self._coders[quality]
        encoders = [entropy_coding.new_encoder() for _ in images]
        for batch, values in self._quantized_batches(images, quality):
            coder.encode(values, [(encoders[each.picture], tile_slice) for each, tile_slice in _with_slices(batch)])
        model = self._probabilities.checksum
        return [
            pack(
                CompressedPicture(
                    quality, model, _stored_size(image.shape[:2], tile_size), entropy_coding.encoded_bytes(encoder)
                )
            )
            for image, encoder in zip(images, encoders)
        ]

    def decompress(self, file: bytes) -> np.ndarray:
        """Decompresses one file.

        The decoder's inputs are the same on every machine. Its outputs are floats, whose last bits may differ with the
        processor and the number of threads. So a pixel about halfway between two shades may become either of them.

        Args:
            file: the file's bytes.

        Returns:
            `(height, width, channels)` uint8.

        Raises:
            FileError: if the file is not a compressed picture, is damaged, or is of another model or format version.
        """
        return self.decompress_all([file])[0]

    def decompress_all(self, files: Sequence[bytes]) -> list[np.ndarray]:
        """Decompresses several files as `decompress` does.

        Many small pictures take a tenth of the time of separate calls.
        """
        return list(self.pictures_of(files))

    def pictures_of(self, files: Sequence[bytes]) -> Iterator[np.ndarray]:
        """Yields the pictures of `decompress_all` one by one, after checking all headers and checksums.

        Raises FileError as `decompress` does.
        """
        headers = [self.header(file, number) for number, file in enumerate(files)]
        tiles: list[np.ndarray] = []
        for batch, tensors in self._decode_batches(headers):
            pixels = to_pixels(self._model.decode(tensors))
            for each, tile_slice in _with_slices(batch):
                size = headers[each.picture].size or self._tile_size
                tiles.append(pixels[tile_slice])
                if each.end == self._tile_count(size):
                    yield join(np.concatenate(tiles), size)
                    tiles = []

    def tensors(self, file: bytes) -> dict[str, np.ndarray]:
        """Decodes a file to the code and switches of each tile, by their names in the signature `decode`."""
        parts = [tensors for _, tensors in self._decode_batches([self.header(file)])]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def bits(self, images: Sequence[np.ndarray], quality: int = DEFAULT_QUALITY) -> dict[str, float]:
        """The bits that the probabilities predict for each tensor, by its name, summed over the pictures."""
        quality = checked_integer("quality", quality, least=1, most=RATE_COUNT)
        totals: dict[str, float] = {}
        for _, values in self._quantized_batches(images, quality):
            for name, bits in self._coders[quality].bits(values).items():
                totals[name] = totals.get(name, 0.0) + bits
        return totals

    def header(self, file: bytes, number: int = 0) -> CompressedPicture:
        """Reads and checks a file's header without decoding the picture.

        Raises FileError as `decompress` does; `number` becomes `FileError.number`.
        """
        try:
            header = unpack(file)
            if header.model != self._probabilities.checksum:
                raise FileError("was compressed by another model or with other probabilities; give that model")
            if header.quality not in self.qualities:
                raise FileError(
                    f"has quality {header.quality}, which is not 1 to {RATE_COUNT}; compress the picture again"
                )
            height, width = header.size or self._tile_size
            if not 0 < height * width <= MOST_PIXELS:
                raise FileError(f"has {height}x{width} pixels, which is out of range; compress the picture again")
        except FileError as error:
            raise FileError(error.reason, number) from None
        return header

    @property
    def _tile_size(self) -> Pair:
        return self._model.image_shape[0], self._model.image_shape[1]

    def _tile_count(self, size: Sequence[int]) -> int:
        rows, columns = grid((size[0], size[1]), self._tile_size)
        return rows * columns

    def _batches(self, tile_counts: Sequence[int]) -> Iterator[list[_TileRange]]:
        """Divides the tiles of all pictures, in order, into batches.

        A file codes its picture's tiles in ranges, but does not say where each range ends. The decoder must find the
        same ranges, even if it decodes other pictures at the same time. Therefore a picture's ranges depend only on the
        number of its tiles: all ranges but the last fill a whole batch. A range that does not fit into the rest of a
        batch starts the next batch.

        Args:
            tile_counts: the number of tiles of each picture.
        """
        batch: list[_TileRange] = []
        room = batch_size = self._model.batch_size
        for picture, count in enumerate(tile_counts):
            for first in range(0, count, batch_size):
                end = min(count, first + batch_size)
                if end - first > room:
                    yield batch
                    batch, room = [], batch_size
                batch.append(_TileRange(picture, first, end))
                room -= end - first
        if batch:
            yield batch

    def _quantized_batches(
        self, images: Sequence[np.ndarray], quality: int
    ) -> Iterator[tuple[list[_TileRange], dict[str, np.ndarray]]]:
        """Checks all pictures, and yields batches of their tiles, each with its quantised code and its switches."""
        for image in images:
            self._check_image(image)
        tensors, steps = self._probabilities.tensors, self._probabilities.steps
        for batch in self._batches([self._tile_count(image.shape[:2]) for image in images]):
            tiles = np.concatenate(
                [cut(images[each.picture], self._tile_size)[each.first : each.end] for each in batch]
            )
            yield batch, quantized_values(tensors, self._model.encode(tiles), steps, quality - 1)

    def _decode_batches(
        self, headers: Sequence[CompressedPicture]
    ) -> Iterator[tuple[list[_TileRange], dict[str, np.ndarray]]]:
        """Decodes files to batches of tiles, and yields each batch with its code and switches.

        Consecutive files of one quality may be in one batch.
        """
        first_file = 0
        for quality, headers_of_quality in itertools.groupby(headers, key=lambda header: header.quality):
            group = list(headers_of_quality)
            decoders = [entropy_coding.new_decoder(header.payload) for header in group]
            for batch in self._batches([self._tile_count(header.size or self._tile_size) for header in group]):
                files = [(decoders[each.picture], tile_slice) for each, tile_slice in _with_slices(batch)]
                try:
                    values = self._coders[quality].decode(files)
                except UndecodableError as error:
                    number = first_file + batch[error.number].picture
                    raise FileError("cannot be decoded; compress the picture again", number) from error
                ranges = [replace(each, picture=first_file + each.picture) for each in batch]
                yield ranges, self._decoder_inputs(values, quality)
            first_file += len(group)

    def _decoder_inputs(self, values: dict[str, np.ndarray], quality: int) -> dict[str, np.ndarray]:
        found = {}
        for tensor in self._probabilities.tensors:
            tensor_values = planes_last(values[tensor.name], tensor.shape)
            steps = self._probabilities.steps.get(tensor.name)
            found[tensor.name] = (
                dequantize(tensor_values, steps[quality - 1]) if steps is not None else tensor_values.astype(np.uint8)
            )
        return found

    def _check_image(self, image: np.ndarray) -> None:
        model_channels = self._model.image_shape[2]
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3:
            raise InputError("image: is not a (height, width, channels) array of uint8; give such an array")
        height, width, channels = image.shape
        if channels != model_channels:
            raise InputError(f"image: has {channels} channels and the model takes {model_channels}; convert it")
        if not (0 < height <= LONGEST_SIDE and 0 < width <= LONGEST_SIDE and height * width <= MOST_PIXELS):
            raise InputError(
                f"image: is {height}x{width}; give one of 1 to {LONGEST_SIDE} pixels a side and at most "
                f"{MOST_PIXELS:,} pixels"
            )


def _with_slices(batch: Sequence[_TileRange]) -> Iterator[tuple[_TileRange, slice]]:
    """Yields each range of a batch with the slice of its tiles in the batch."""
    first = 0
    for each in batch:
        yield each, slice(first, first + each.end - each.first)
        first += each.end - each.first


def _stored_size(size: Sequence[int], tile_size: Pair) -> Pair | None:
    """A picture's size for the header; None if it is the size of the model's images."""
    return None if tuple(size) == tile_size else (size[0], size[1])
