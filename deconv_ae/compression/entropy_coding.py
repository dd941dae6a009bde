"""Whole numbers to bytes and back, by constriction's range coder.

The coder's probabilities are whole numbers of 24 bits. It makes them from `Plane.frequencies`, which float32 holds
exactly, by one division and one multiplication, whose rounding IEEE 754 fixes: they are the same on every machine.
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
"""By a tensor's name, `(channels, pictures, places)` int32."""

WORD = 4
UNREADABLE = (AssertionError, ValueError)
"""What constriction raises of bytes that it cannot have written: it asserts that they can."""


class UndecodableError(ValueError):
    """Bytes that no encoder writes; `number`: of the share that they are in."""

    def __init__(self, number: int) -> None:
        super().__init__(f"share {number}")
        self.number = number


@dataclass(frozen=True, eq=False)
class _Coded:
    """What there is to code at a visit.

    Attributes:
        visit, plane: where.
        symbols: `(pictures, n)`.
        frequencies: `(values, symbols)` of the values that are present, picture by picture; of a plane without a
            context `(symbols,)`, of all values.
        escaped: `(pictures, n)`, which values are said after all symbols; None for none of them.
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
        """`(pictures, n)`, whose symbols are coded."""
        present = self.visit.present if self.has_context else None
        return np.ones(self.symbols.shape, bool) if present is None else present


def _frequencies(visit: Visit, plane: Plane) -> np.ndarray:
    if visit.present is None:
        return plane.frequencies([feature.ravel() for feature in visit.context])
    return plane.frequencies([feature[visit.present] for feature in visit.context])


class EntropyCoder:
    """Codes what one model makes of pictures at one rate.

    Args:
        tensors: the encoder's outputs.
        planes: of each of them, its channels' probabilities.
        halvings: as for `traverse`.
    """

    def __init__(self, tensors: Sequence[Tensor], planes: Mapping[str, Sequence[Plane]], halvings: int) -> None:
        self._tensors, self._planes, self._halvings = tensors, planes, halvings
        stream = constriction.stream
        self._categorical, self._half_word = stream.model.Categorical(perfect=False), stream.model.Uniform(2**16)

    def encode(self, values: Values, shares: Sequence[tuple[Any, slice]]) -> None:
        """Appends pictures to what is being written.

        Args:
            values: of all pictures.
            shares: an `encoder`, and which of the pictures go into it.
        """
        coded = self._coded(values)
        of_picture = np.concatenate([np.full(own.stop - own.start, number) for number, (_, own) in enumerate(shares)])
        for (has_context, _), alike in itertools.groupby(coded, lambda each: (each.has_context, each.plane.symbols)):
            if has_context:
                self._encode(list(alike), of_picture, [encoder for encoder, _ in shares])
                continue
            for each in alike:
                one = self._one(each.plane)
                for encoder, own in shares:
                    encoder.encode(each.symbols[own].ravel(), one)
        for each in coded:
            for encoder, own in shares:
                if each.escaped is not None and each.escaped[own].any():
                    of_pass = values[each.visit.tensor.name][each.visit.channel][own, each.visit.part.places]
                    encoder.encode(_halves(of_pass[each.escaped[own]]), self._half_word)

    def bits(self, values: Values) -> dict[str, float]:
        """What each tensor takes in a file, by its probabilities, summed over the pictures."""
        totals = dict.fromkeys(values, 0.0)
        for each in self._coded(values):
            symbols = each.symbols[each.present]
            frequencies = np.broadcast_to(each.frequencies, (len(symbols), each.plane.symbols))
            of_symbol = np.take_along_axis(frequencies, symbols[:, np.newaxis], axis=1)[:, 0]
            bits = np.log2(frequencies.sum(axis=1) / of_symbol).sum(dtype=np.float64)
            totals[each.visit.tensor.name] += float(bits) + 32 * (
                0 if each.escaped is None else int(each.escaped.sum())
            )
        return totals

    def decode(self, shares: Sequence[tuple[Any, slice]]) -> Values:
        """What `encode` was given, in the order in which it was; a `decoder` each, and which of the pictures are in it.

        Bytes that `encode` did not write are mostly pictures as well, of whatever they say.

        Raises:
            UndecodableError: if they are none.
        """
        coded: list[_Coded] = []
        pictures = shares[-1][1].stop

        def read(visit: Visit, plane: Plane) -> np.ndarray:
            symbols = np.zeros((pictures, len(visit.part.places)), np.int32)
            coded.append(_Coded(visit, plane, symbols, _frequencies(visit, plane)))
            self._read(coded[-1], shares)
            return symbols

        found = traverse(self._tensors, self._planes, pictures, self._halvings, read)
        for name, symbols in found.items():
            symbols += np.array([plane.lowest for plane in self._planes[name]], np.int32)[:, np.newaxis, np.newaxis]
        for each in coded:
            escaped = (each.symbols == each.plane.escape) & (True if each.visit.present is None else each.visit.present)
            if escaped.any():
                self._read_escaped(each, escaped, shares, found[each.visit.tensor.name][each.visit.channel])
        return found

    def _coded(self, values: Values) -> list[_Coded]:
        """The way through all pictures, as the decoder will go it."""
        coded: list[_Coded] = []

        def record(visit: Visit, plane: Plane) -> np.ndarray:
            symbols = values[visit.tensor.name][visit.channel][:, visit.part.places] - np.int32(plane.lowest)
            outside = (symbols < 0) | (symbols >= plane.escape)
            symbols = np.where(outside, np.int32(plane.escape), symbols)
            if visit.present is not None:
                outside &= visit.present
                symbols = np.where(visit.present, symbols, np.int32(0))
            escaped = outside if outside.any() else None
            coded.append(_Coded(visit, plane, symbols, _frequencies(visit, plane), escaped))
            return symbols

        pictures = next(iter(values.values())).shape[1]
        traverse(self._tensors, self._planes, pictures, self._halvings, record)
        return coded

    def _encode(self, coded: Sequence[_Coded], of_picture: np.ndarray, encoders: Sequence[Any]) -> None:
        """Visits after one another, of as many symbols each: a call for each share, as one takes microseconds.

        Args:
            of_picture: the number of the share that each picture goes into.
        """
        owner = np.concatenate([np.repeat(of_picture, each.present.sum(axis=1)) for each in coded])
        order = np.argsort(owner, kind="stable")
        symbols = np.concatenate([each.symbols[each.present] for each in coded])[order]
        frequencies = np.concatenate([each.frequencies for each in coded])[order]
        ends = np.cumsum(np.bincount(owner, minlength=len(encoders))).tolist()
        for encoder, first, end in zip(encoders, [0, *ends], ends):
            if first < end:
                encoder.encode(symbols[first:end], self._categorical, frequencies[first:end])

    def _read(self, each: _Coded, shares: Sequence[tuple[Any, slice]]) -> None:
        """Sets the symbols of a visit."""
        present = each.present
        counts = np.cumsum([0, *present.sum(axis=1)]).tolist()
        symbols = np.zeros(counts[-1], np.int32)
        one = None if each.has_context else self._one(each.plane)
        for number, (coder, own) in enumerate(shares):
            first, end = counts[own.start], counts[own.stop]
            if first < end:
                try:
                    symbols[first:end] = (
                        coder.decode(self._categorical, each.frequencies[first:end])
                        if one is None
                        else coder.decode(one, end - first)
                    )
                except UNREADABLE as error:
                    raise UndecodableError(number) from error
        each.symbols[present] = symbols

    def _read_escaped(
        self, each: _Coded, escaped: np.ndarray, shares: Sequence[tuple[Any, slice]], of_channel: np.ndarray
    ) -> None:
        """Sets values, `(pictures, places)`, that are no symbols."""
        for number, (coder, own) in enumerate(shares):
            count = int(escaped[own].sum())
            if count:
                of_pass = of_channel[own, each.visit.part.places]
                try:
                    of_pass[escaped[own]] = _from_halves(coder.decode(self._half_word, 2 * count))
                except UNREADABLE as error:
                    raise UndecodableError(number) from error
                of_channel[own, each.visit.part.places] = of_pass

    def _one(self, plane: Plane) -> Any:
        """The model of a plane without context."""
        return constriction.stream.model.Categorical(plane.frequencies([]), perfect=False)


def encoder() -> Any:
    """One that has written nothing yet."""
    return constriction.stream.queue.RangeEncoder()


def written(encoder: Any) -> bytes:
    """The fewest bytes of which the decoder, who reads zeros after them, reads what was coded.

    A range coder's file is a binary fraction in an interval. constriction writes whole words of 32 bits; any fraction
    in the interval will do, and of those the shortest is taken.
    """
    words, (lower, length) = encoder.pos()
    sealed = encoder.get_compressed().astype(">u4").tobytes()
    tail = int.from_bytes(sealed[WORD * words :].ljust(2 * WORD, b"\0"), "big")
    limit = 1 << (16 * WORD)
    # Where the interval goes past the words' end, what was sealed has carried one over into those before, or has not.
    first, end = (lower, min(lower + length, limit)) if tail >= lower else (0, lower + length - limit)
    for bits in range(0, 16 * WORD + 1, 8):
        unit = limit >> bits
        shortest = -(-first // unit) * unit
        if shortest < end:
            break
    return (sealed[: WORD * words] + shortest.to_bytes(2 * WORD, "big")).rstrip(b"\0")


def decoder(payload: bytes) -> Any:
    """One that reads what `written` gave."""
    padded = payload + bytes(-len(payload) % WORD + 2 * WORD)
    return constriction.stream.queue.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32))


def _halves(values: np.ndarray) -> np.ndarray:
    """Both halves of 32 bits each, one after the other."""
    bits = values.astype(np.int32).view(np.uint32)
    return np.stack([bits >> 16, bits & 0xFFFF], axis=-1).ravel().astype(np.int32)


def _from_halves(halves: np.ndarray) -> np.ndarray:
    pairs = halves.reshape(-1, 2).astype(np.uint32)
    return (pairs[:, 0] << 16 | pairs[:, 1]).view(np.int32)
