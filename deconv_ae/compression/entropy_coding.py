"""Encodes whole numbers as bytes, and decodes them, with constriction's range coder.

The coder's probabilities are whole numbers of 24 bits. The coder computes them from `Plane.frequencies`, which are
exact in float32, by one division and one multiplication. IEEE 754 defines the rounding of both, so all machines agree.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import constriction
import numpy as np

from deconv_ae.compression.probabilities import Plane
from deconv_ae.compression.traversal import Tensor, Visit, traverse

Values = dict[str, np.ndarray]
"""Each tensor's values by its name, `(channels, pictures, places)` int32."""

WORD_BYTES = 4
DECODING_ERRORS = (AssertionError, ValueError)
"""The exceptions that constriction's assertions raise for bytes that no encoder writes."""


class UndecodableError(ValueError):
    """A file has bytes that no encoder writes; `number` is the file's index among the files to decode."""

    def __init__(self, number: int) -> None:
        super().__init__(f"file {number}")
        self.number = number


@dataclass(frozen=True, eq=False)
class _CodedVisit:
    """The symbols and frequencies of a visit.

    Attributes:
        visit, plane: the visit and its plane.
        symbols: `(pictures, n)` for the n values of the visit's pass.
        frequencies: a row for each present value, picture by picture, with the frequencies of the plane's symbols; for
            a plane without a context, a single one-dimensional row for all values.
        escaped: `(pictures, n)`, true for values whose symbol is the escape. The coder writes these values after all
            symbols. None if there are no such values, and always None in decoding.
    """

    visit: Visit
    plane: Plane
    symbols: np.ndarray
    frequencies: np.ndarray
    escaped: np.ndarray | None = None

    @property
    def has_context(self) -> bool:
        return self.frequencies.ndim > 1

    @property
    def present(self) -> np.ndarray:
        """Whether each symbol is coded, `(pictures, n)`.

        In a plane without a context, all symbols are coded, and those of absent values are 0.
        """
        present = self.visit.present if self.has_context else None
        return np.ones(self.symbols.shape, bool) if present is None else present


def _frequencies(visit: Visit, plane: Plane) -> np.ndarray:
    if visit.present is None:
        return plane.frequencies([feature.ravel() for feature in visit.context])
    return plane.frequencies([feature[visit.present] for feature in visit.context])


class EntropyCoder:
    """Codes the code and switches of one model at one rate.

    Its methods encode pictures into several files at once, and decode pictures from several files. The pictures of each
    file are a slice of all pictures; the slices follow one another.

    Args:
        tensors: the outputs of the model's encoder.
        planes: the planes of each tensor's channels.
        halvings: this rate's quantisation steps are the coarsest rate's steps divided by 2^halvings.
    """

    def __init__(self, tensors: Sequence[Tensor], planes: Mapping[str, Sequence[Plane]], halvings: int) -> None:
        self._tensors, self._planes, self._halvings = tensors, planes, halvings
        stream = constriction.stream
        self._categorical, self._half_word = stream.model.Categorical(perfect=False), stream.model.Uniform(2**16)

    def encode(self, values: Values, files: Sequence[tuple[Any, slice]]) -> None:
        """Appends pictures to the encoders of files.

        Args:
            values: the values of all pictures.
            files: for each file, its range encoder from `new_encoder`, and the slice of the pictures that it gets.
        """
        coded = self._coded_visits(values)
        file_of_picture = np.concatenate(
            [
                np.full(picture_slice.stop - picture_slice.start, number)
                for number, (_, picture_slice) in enumerate(files)
            ]
        )
        for (has_context, _), group in itertools.groupby(
            coded, lambda each: (each.has_context, each.plane.symbol_count)
        ):
            if has_context:
                self._encode_with_context(list(group), file_of_picture, [encoder for encoder, _ in files])
                continue
            for each in group:
                model = _model_without_context(each.plane)
                for encoder, picture_slice in files:
                    encoder.encode(each.symbols[picture_slice].ravel(), model)
        for each in coded:
            for encoder, picture_slice in files:
                if each.escaped is not None and each.escaped[picture_slice].any():
                    channel_values = values[each.visit.tensor.name][each.visit.channel]
                    pass_values = channel_values[picture_slice, each.visit.plane_pass.places]
                    encoder.encode(_split_words(pass_values[each.escaped[picture_slice]]), self._half_word)

    def bits(self, values: Values) -> dict[str, float]:
        """The number of bits that the probabilities predict for each tensor, summed over the pictures."""
        totals = dict.fromkeys(values, 0.0)
        for each in self._coded_visits(values):
            symbols = each.symbols[each.present]
            frequencies = np.broadcast_to(each.frequencies, (len(symbols), each.plane.symbol_count))
            coded_frequencies = np.take_along_axis(frequencies, symbols[:, np.newaxis], axis=1)[:, 0]
            bits = np.log2(frequencies.sum(axis=1) / coded_frequencies).sum(dtype=np.float64)
            totals[each.visit.tensor.name] += float(bits) + 32 * (
                0 if each.escaped is None else int(each.escaped.sum())
            )
        return totals

    def decode(self, files: Sequence[tuple[Any, slice]]) -> Values:
        """Decodes pictures, in the order in which they were encoded.

        Bytes that no encoder wrote seldom raise an error. Usually they decode to meaningless values.

        Args:
            files: for each file, its range decoder from `new_decoder`, and the slice of all pictures that it holds.

        Returns:
            The values of all pictures.

        Raises:
            UndecodableError: if a file's bytes do not decode.
        """
        coded: list[_CodedVisit] = []
        picture_count = files[-1][1].stop

        def read(visit: Visit, plane: Plane) -> np.ndarray:
            symbols = np.zeros((picture_count, len(visit.plane_pass.places)), np.int32)
            coded.append(_CodedVisit(visit, plane, symbols, _frequencies(visit, plane)))
            self._read_symbols(coded[-1], files)
            return symbols

        values = traverse(self._tensors, self._planes, picture_count, self._halvings, read)
        # `traverse` returned symbols. A value is its symbol plus the plane's lowest value.
        for name, tensor_values in values.items():
            lowest = np.array([plane.lowest for plane in self._planes[name]], np.int32)
            tensor_values += lowest[:, np.newaxis, np.newaxis]
        for each in coded:
            escaped = (each.symbols == each.plane.escape) & (True if each.visit.present is None else each.visit.present)
            if escaped.any():
                self._read_escaped(each, escaped, files, values[each.visit.tensor.name][each.visit.channel])
        return values

    def _coded_visits(self, values: Values) -> list[_CodedVisit]:
        """Makes all visits, in the order in which the decoder will make them."""
        coded: list[_CodedVisit] = []

        def record(visit: Visit, plane: Plane) -> np.ndarray:
            symbols = values[visit.tensor.name][visit.channel][:, visit.plane_pass.places] - np.int32(plane.lowest)
            outside = (symbols < 0) | (symbols >= plane.escape)
            symbols = np.where(outside, np.int32(plane.escape), symbols)
            if visit.present is not None:
                outside &= visit.present
                symbols = np.where(visit.present, symbols, np.int32(0))
            escaped = outside if outside.any() else None
            coded.append(_CodedVisit(visit, plane, symbols, _frequencies(visit, plane), escaped))
            return symbols

        picture_count = next(iter(values.values())).shape[1]
        traverse(self._tensors, self._planes, picture_count, self._halvings, record)
        return coded

    def _encode_with_context(
        self, coded: Sequence[_CodedVisit], file_of_picture: np.ndarray, encoders: Sequence[Any]
    ) -> None:
        """Encodes consecutive visits that have a context, and whose planes have equally many symbols.

        Calls each file's encoder once for all visits, because every call takes microseconds.

        Args:
            coded: the visits.
            file_of_picture: the index of each picture's file.
            encoders: the files' encoders.
        """
        file_of_symbol = np.concatenate([np.repeat(file_of_picture, each.present.sum(axis=1)) for each in coded])
        order = np.argsort(file_of_symbol, kind="stable")
        symbols = np.concatenate([each.symbols[each.present] for each in coded])[order]
        frequencies = np.concatenate([each.frequencies for each in coded])[order]
        ends = np.cumsum(np.bincount(file_of_symbol, minlength=len(encoders))).tolist()
        for encoder, first, end in zip(encoders, [0, *ends], ends):
            if first < end:
                encoder.encode(symbols[first:end], self._categorical, frequencies[first:end])

    def _read_symbols(self, coded: _CodedVisit, files: Sequence[tuple[Any, slice]]) -> None:
        """Decodes the symbols of a visit into `coded.symbols`."""
        present = coded.present
        starts = np.cumsum([0, *present.sum(axis=1)]).tolist()
        symbols = np.zeros(starts[-1], np.int32)
        model = None if coded.has_context else _model_without_context(coded.plane)
        for number, (decoder, picture_slice) in enumerate(files):
            first, end = starts[picture_slice.start], starts[picture_slice.stop]
            if first < end:
                try:
                    symbols[first:end] = (
                        decoder.decode(self._categorical, coded.frequencies[first:end])
                        if model is None
                        else decoder.decode(model, end - first)
                    )
                except DECODING_ERRORS as error:
                    raise UndecodableError(number) from error
        coded.symbols[present] = symbols

    def _read_escaped(
        self, coded: _CodedVisit, escaped: np.ndarray, files: Sequence[tuple[Any, slice]], channel_values: np.ndarray
    ) -> None:
        """Decodes the escaped values of a visit into `channel_values`, `(pictures, places)`."""
        places = coded.visit.plane_pass.places
        for number, (decoder, picture_slice) in enumerate(files):
            count = int(escaped[picture_slice].sum())
            if count:
                pass_values = channel_values[picture_slice, places]
                try:
                    pass_values[escaped[picture_slice]] = _join_words(decoder.decode(self._half_word, 2 * count))
                except DECODING_ERRORS as error:
                    raise UndecodableError(number) from error
                channel_values[picture_slice, places] = pass_values


def _model_without_context(plane: Plane) -> Any:
    """Makes constriction's probability model of a plane that is coded without a context."""
    return constriction.stream.model.Categorical(plane.frequencies([]), perfect=False)


def new_encoder() -> Any:
    """An empty range encoder."""
    return constriction.stream.queue.RangeEncoder()


def encoded_bytes(encoder: Any) -> bytes:
    """The fewest bytes that decode to the encoded values. The decoder reads zeros after these bytes.

    A range coder's file is a binary fraction. All fractions in one interval decode to the same symbols. constriction
    writes whole words of 32 bits; this function writes the shortest fraction in the interval.
    """
    word_count, (lower, length) = encoder.pos()
    sealed_bytes = encoder.get_compressed().astype(">u4").tobytes()
    tail = int.from_bytes(sealed_bytes[WORD_BYTES * word_count :].ljust(2 * WORD_BYTES, b"\0"), "big")
    limit = 1 << (16 * WORD_BYTES)
    # If the interval extends past 2^64, `get_compressed` may have carried 1 into the words before `tail`. Then `tail`
    # is less than `lower`.
    first, end = (lower, min(lower + length, limit)) if tail >= lower else (0, lower + length - limit)
    for bits in range(0, 16 * WORD_BYTES + 1, 8):
        unit = limit >> bits
        shortest = -(-first // unit) * unit
        if shortest < end:
            break
    return (sealed_bytes[: WORD_BYTES * word_count] + shortest.to_bytes(2 * WORD_BYTES, "big")).rstrip(b"\0")


def new_decoder(payload: bytes) -> Any:
    """A range decoder for the result of `encoded_bytes`."""
    padded = payload + bytes(-len(payload) % WORD_BYTES + 2 * WORD_BYTES)
    return constriction.stream.queue.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32))


def _split_words(values: np.ndarray) -> np.ndarray:
    """Splits each 32-bit value into its upper and lower 16 bits."""
    bits = values.astype(np.int32).view(np.uint32)
    return np.stack([bits >> 16, bits & 0xFFFF], axis=-1).ravel().astype(np.int32)


def _join_words(halves: np.ndarray) -> np.ndarray:
    """Inverts `_split_words`."""
    pairs = halves.reshape(-1, 2).astype(np.uint32)
    return (pairs[:, 0] << 16 | pairs[:, 1]).view(np.int32)
