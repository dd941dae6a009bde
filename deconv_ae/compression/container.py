"""A compressed picture's file: a header of 12 or 16 bytes, then what the entropy coder wrote.

| bytes | what |
| --- | --- |
| 2 | `DE C0` |
| 1 | the format's version; its highest bit says that a size follows |
| 1 | the rate |
| 4 | the model's checksum: the first bytes of the SHA-256 of its probabilities, which name the model's files |
| 4 | CRC-32 of everything else in the file |
| 0 or 4 | height and width; left out where the picture has the model's own size |
"""

import struct
import zlib
from dataclasses import dataclass

from deconv_ae.errors import InputError
from deconv_ae.numbers import Pair

MAGIC = b"\xde\xc0"
VERSION = 1
HAS_SIZE = 0x80
LONGEST_SIDE = 2**16 - 1
MODEL_BYTES = 4
RATES = 5
"""Each has steps half as large as the one before."""

_START, _CHECKSUM, _SIZE = struct.Struct(f"<2sBB{MODEL_BYTES}s"), struct.Struct("<I"), struct.Struct("<HH")


class FileError(InputError):
    """Bytes are no compressed picture that can be read here.

    Attributes:
        reason: what is wrong and what to do, to be read after the file's name.
        number: of the file among those that were to be read.
    """

    def __init__(self, reason: str, number: int = 0) -> None:
        super().__init__(f"file: number {number} {reason}" if number else f"file: {reason}")
        self.reason, self.number = reason, number


@dataclass(frozen=True)
class Compressed:
    """What a file says: how it was made, and the entropy coder's bytes.

    Attributes:
        rate: 1 is the smallest.
        model: the model's checksum.
        size: (height, width); None is the model's own.
        payload: of the entropy coder.
    """

    rate: int
    model: bytes
    size: Pair | None
    payload: bytes


def pack(picture: Compressed) -> bytes:
    """The file.

    >>> file = pack(Compressed(3, b"abcd", None, b"..."))
    >>> len(file), unpack(file) == Compressed(3, b"abcd", None, b"...")
    (15, True)
    """
    version = VERSION | (HAS_SIZE if picture.size else 0)
    start = _START.pack(MAGIC, version, picture.rate, picture.model)
    rest = (_SIZE.pack(*picture.size) if picture.size else b"") + picture.payload
    return start + _CHECKSUM.pack(zlib.crc32(start + rest)) + rest


def unpack(file: bytes) -> Compressed:
    """What `pack` was given.

    Raises:
        FileError: if the file is cut, altered, of another version or no compressed picture.

    >>> unpack(b"no picture")
    Traceback (most recent call last):
    deconv_ae.compression.container.FileError: file: is no compressed picture; give a file that compress.py wrote
    """
    if file[: len(MAGIC)] != MAGIC:
        raise FileError("is no compressed picture; give a file that compress.py wrote")
    header = _START.size + _CHECKSUM.size
    if len(file) < header:
        raise FileError("is cut short; compress the picture anew")
    start, rest = file[: _START.size], file[header:]
    if zlib.crc32(start + rest) != _CHECKSUM.unpack_from(file, _START.size)[0]:
        raise FileError("is damaged, its checksum differs; compress the picture anew")
    _, version, rate, model = _START.unpack(start)
    if version & ~HAS_SIZE != VERSION:
        raise FileError(f"has format version {version & ~HAS_SIZE}, this program reads {VERSION}; use that version's")
    if not version & HAS_SIZE:
        return Compressed(rate, model, None, rest)
    if len(rest) < _SIZE.size:
        raise FileError("is cut short; compress the picture anew")
    return Compressed(rate, model, _SIZE.unpack_from(rest), rest[_SIZE.size :])
