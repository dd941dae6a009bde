"""The file of a compressed picture: a header of 12 or 16 bytes, then the entropy coder's bytes.

| bytes | content |
| --- | --- |
| 2 | `DE C0` |
| 1 | the format's version; its highest bit says that a size follows |
| 1 | the quality, 1 to 5 |
| 4 | the model's checksum: the first bytes of the SHA-256 of its probabilities, which include a checksum of its files |
| 4 | CRC-32 of all other bytes |
| 0 or 4 | height and width; left out if the picture has the model's own size |
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
RATE_COUNT = 5
"""The number of rates. At each rate, a step is half as large as at the rate before."""

_START, _CHECKSUM, _SIZE = struct.Struct(f"<2sBB{MODEL_BYTES}s"), struct.Struct("<I"), struct.Struct("<HH")


class FileError(InputError):
    """A file is not a compressed picture, or not one that this model and this version can decompress.

    Attributes:
        reason: what is wrong and what to do, as a phrase that follows the file's name.
        number: the file's index among the files to read, from 0.

    Args:
        reason: as the attribute.
        number: as the attribute.
    """

    def __init__(self, reason: str, number: int = 0) -> None:
        super().__init__(f"file: number {number} {reason}" if number else f"file: {reason}")
        self.reason, self.number = reason, number


@dataclass(frozen=True)
class CompressedPicture:
    """The content of a compressed picture's file.

    Attributes:
        quality: 1 to RATE_COUNT; 1 makes the smallest files.
        model: the `checksum` of the model's `Probabilities`.
        size: (height, width); None for the model's own size.
        payload: the entropy coder's bytes.
    """

    quality: int
    model: bytes
    size: Pair | None
    payload: bytes


def pack(picture: CompressedPicture) -> bytes:
    """Makes the file's bytes.

    >>> file = pack(CompressedPicture(3, b"abcd", None, b"..."))
    >>> len(file), unpack(file) == CompressedPicture(3, b"abcd", None, b"...")
    (15, True)
    """
    version = VERSION | (HAS_SIZE if picture.size else 0)
    start = _START.pack(MAGIC, version, picture.quality, picture.model)
    rest = (_SIZE.pack(*picture.size) if picture.size else b"") + picture.payload
    return start + _CHECKSUM.pack(zlib.crc32(start + rest)) + rest


def unpack(file: bytes) -> CompressedPicture:
    """Inverts `pack`.

    Args:
        file: the file's bytes.

    Returns:
        The file's content.

    Raises:
        FileError: if the file is truncated, altered, of another version or not a compressed picture.

    >>> unpack(b"no picture")
    Traceback (most recent call last):
    deconv_ae.compression.container.FileError: file: is not a compressed picture; give a file that compress made
    """
    if file[: len(MAGIC)] != MAGIC:
        raise FileError("is not a compressed picture; give a file that compress made")
    header_bytes = _START.size + _CHECKSUM.size
    if len(file) < header_bytes:
        raise FileError("is truncated; compress the picture again")
    start, rest = file[: _START.size], file[header_bytes:]
    if zlib.crc32(start + rest) != _CHECKSUM.unpack_from(file, _START.size)[0]:
        raise FileError("is damaged, its checksum differs; compress the picture again")
    _, version, quality, model = _START.unpack(start)
    if version & ~HAS_SIZE != VERSION:
        raise FileError(
            f"has format version {version & ~HAS_SIZE}, this program reads {VERSION}; use the version that wrote it"
        )
    if not version & HAS_SIZE:
        return CompressedPicture(quality, model, None, rest)
    if len(rest) < _SIZE.size:
        raise FileError("is truncated; compress the picture again")
    return CompressedPicture(quality, model, _SIZE.unpack_from(rest), rest[_SIZE.size :])
