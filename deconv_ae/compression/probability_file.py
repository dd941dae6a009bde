"""`compression.json` in an exported model's directory: quantisation steps, and probabilities as whole numbers."""

import base64
import functools
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from deconv_ae import records
from deconv_ae.compression.container import MODEL_BYTES, RATE_COUNT
from deconv_ae.compression.contexts import CodeContext, SwitchContext
from deconv_ae.compression.probabilities import MOST_SYMBOLS, Plane
from deconv_ae.compression.traversal import Tensor
from deconv_ae.errors import InputError, RunError, first_line
from deconv_ae.files import read_bytes, sha256, write_atomically
from deconv_ae.records import Count, Measure, Name
from deconv_ae.saved_model.export_directory import MODEL_FILE, VARIABLES
from deconv_ae.saved_model.model_card import COMPRESSION_FILE

FORMAT_VERSION = 1
LEARN = "learn them with compress.py --learn, or with learn_probabilities in Python"


@dataclass(frozen=True)
class _PlaneRecord:
    """A `Plane` without its weights; `context` is true if the plane is coded with a context."""

    lowest: int
    symbols: Count
    context: bool

    def __post_init__(self) -> None:
        if not (2 <= self.symbols <= MOST_SYMBOLS and self.lowest <= 0 <= self.highest):
            raise ValueError(f"{self.symbols} symbols from {self.lowest} on are impossible")

    @property
    def highest(self) -> int:
        """The value of the last symbol before the escape."""
        return self.lowest + self.symbols - 2


@dataclass(frozen=True)
class _Record:
    """The file's fields; `weights` holds the int16 weights of all planes, compressed by zlib and in base64."""

    format_version: Count
    model: Name
    pictures: Count
    tensors: tuple[Tensor, ...]
    steps: dict[str, tuple[tuple[Measure, ...], ...]]
    planes: dict[str, tuple[tuple[_PlaneRecord, ...], ...]]
    weights: str

    def __post_init__(self) -> None:
        if self.format_version != FORMAT_VERSION:
            raise ValueError(f"format_version is {self.format_version}, not {FORMAT_VERSION}")
        names = {tensor.name for tensor in self.tensors}
        code_names = {tensor.name for tensor in self.tensors if tensor.is_code}
        if len(names) < len(self.tensors) or names != self.planes.keys() or code_names != self.steps.keys():
            raise ValueError("planes and steps do not match the tensors")
        for tensor in self.tensors:
            self._check_tensor(tensor, code_names)

    def _check_tensor(self, tensor: Tensor, code_names: set[str]) -> None:
        rate_count = RATE_COUNT if tensor.is_code else 1
        if [len(planes) for planes in self.planes[tensor.name]] != [tensor.shape[2]] * rate_count:
            raise ValueError(f"planes.{tensor.name} are not {rate_count} lists of {tensor.shape[2]}")
        if tensor.is_code:
            steps_by_rate = self.steps[tensor.name]
            if [len(steps) for steps in steps_by_rate] != [tensor.shape[2]] * rate_count:
                raise ValueError(f"steps.{tensor.name} are not {rate_count} lists of {tensor.shape[2]}")
            if not all(np.float32(step) > 0 for steps in steps_by_rate for step in steps):
                raise ValueError(f"steps.{tensor.name} are not all above 0")
        if tensor.values_in is not None and (tensor.is_code or tensor.values_in not in code_names):
            raise ValueError(f"tensors: {tensor.name} cannot have values_in {tensor.values_in}")


@dataclass(frozen=True, eq=False)
class Probabilities:
    """The steps and probabilities of one model.

    Attributes:
        model: the checksum of the model's files.
        tensors: the outputs of the model's encoder.
        steps: `(RATE_COUNT, channels)` float32 for each tensor of the code, by its name.
        planes: for each tensor, the planes of its channels. A code has a set for each rate; switches have one for all.
        pictures: the number of training pictures that the steps and probabilities were learnt from.
    """

    model: str
    tensors: tuple[Tensor, ...]
    steps: Mapping[str, np.ndarray]
    planes: Mapping[str, tuple[tuple[Plane, ...], ...]]
    pictures: int

    def planes_at(self, rate: int) -> dict[str, tuple[Plane, ...]]:
        """The planes of each tensor at a rate, 0 to RATE_COUNT - 1."""
        return {name: by_rate[min(rate, len(by_rate) - 1)] for name, by_rate in self.planes.items()}

    @functools.cached_property
    def checksum(self) -> bytes:
        """A checksum of all fields, including `model`, for the header of a compressed picture."""
        # Hashes the uncompressed weights, because another version of zlib may compress the same weights differently.
        fields = asdict(self._as_record()) | {"weights": sha256(self._weight_bytes())}
        return bytes.fromhex(sha256(json.dumps(fields, sort_keys=True).encode()))[:MODEL_BYTES]

    def write(self, model_dir: Path) -> Path:
        """Writes the steps and probabilities to a file in the model's directory.

        Args:
            model_dir: the model's directory.

        Returns:
            The file's path.

        Raises:
            RunError: if the file cannot be written.
        """
        file = model_dir / COMPRESSION_FILE
        try:
            write_atomically(file, records.as_text(self._as_record()))
        except OSError as error:
            raise RunError(f"model: {file} cannot be written: {first_line(error)}") from error
        return file

    def _as_record(self) -> _Record:
        plane_records = {
            name: tuple(
                tuple(_PlaneRecord(plane.lowest, plane.symbol_count, bool(plane.feature_sizes)) for plane in planes)
                for planes in by_rate
            )
            for name, by_rate in self.planes.items()
        }
        steps = {
            name: tuple(tuple(float(step) for step in channel_steps) for channel_steps in by_rate)
            for name, by_rate in self.steps.items()
        }
        weights = base64.b64encode(zlib.compress(self._weight_bytes(), 9)).decode("ascii")
        return _Record(FORMAT_VERSION, self.model, self.pictures, self.tensors, steps, plane_records, weights)

    def _weight_bytes(self) -> bytes:
        """Joins the weights of all planes, in the order of `planes`."""
        weights = [plane.weights.ravel() for by_rate in self.planes.values() for planes in by_rate for plane in planes]
        return np.concatenate(weights).astype("<i2").tobytes()


def read(model_dir: Path) -> Probabilities:
    """Reads the steps and probabilities from the file in an exported model's directory.

    Args:
        model_dir: the model's directory.

    Returns:
        The model's steps and probabilities.

    Raises:
        InputError: if the file is missing, damaged or another model's.
    """
    file = model_dir / COMPRESSION_FILE
    try:
        if not file.exists():
            raise InputError(f"model: {model_dir} has no probabilities for compression; {LEARN}")
        found = _from_record(records.read_file(_Record, file))
        checksum = model_checksum(model_dir)
    except OSError as error:
        raise InputError(f"model: {error.filename or file} cannot be read: {first_line(error)}; {LEARN}") from error
    except ValueError as error:
        raise InputError(f"model: {file} holds no valid probabilities ({error}); {LEARN}") from error
    if found.model != checksum:
        raise InputError(f"model: {file} does not belong to the model beside it; {LEARN}")
    return found


def model_checksum(model_dir: Path) -> str:
    """The checksum of the files that determine a model's results."""
    files = [model_dir / MODEL_FILE, *sorted((model_dir / VARIABLES).iterdir())]
    return sha256("".join(f"{file.name} {sha256(read_bytes(file))}\n" for file in files).encode())


def feature_sizes_of(tensor: Tensor, value_count: int) -> tuple[int, ...]:
    """The `Plane.feature_sizes` of a tensor's planes; only switches need `value_count`, the number of their values."""
    return CodeContext.feature_sizes if tensor.is_code else SwitchContext.feature_sizes(value_count)


def _from_record(record: _Record) -> Probabilities:
    """Restores the steps and planes; raises ValueError if the record has more or fewer weights than the planes need."""
    feature_sizes = {
        tensor.name: [feature_sizes_of(tensor, max(plane.highest for plane in planes) + 1) for planes in by_rate]
        for tensor, by_rate in ((tensor, record.planes[tensor.name]) for tensor in record.tensors)
    }
    planes_with_sizes = {
        name: [
            [(plane, sizes if plane.context else ()) for plane in planes]
            for planes, sizes in zip(record.planes[name], sizes_by_rate)
        ]
        for name, sizes_by_rate in feature_sizes.items()
    }
    weight_counts = [
        (1 + sum(sizes)) * plane.symbols
        for by_rate in planes_with_sizes.values()
        for pairs in by_rate
        for plane, sizes in pairs
    ]
    weights = iter(np.split(_weights(record.weights, sum(weight_counts)), np.cumsum(weight_counts)[:-1]))
    planes = {
        name: tuple(
            tuple(Plane(plane.lowest, sizes, next(weights).reshape(-1, plane.symbols)) for plane, sizes in pairs)
            for pairs in by_rate
        )
        for name, by_rate in planes_with_sizes.items()
    }
    steps = {name: np.array(by_rate, np.float32) for name, by_rate in record.steps.items()}
    return Probabilities(record.model, record.tensors, steps, planes, record.pictures)


def _weights(packed: str, count: int) -> np.ndarray:
    """Decompresses `count` int16 numbers, but no more; raises ValueError if there are more or fewer."""
    try:
        unpacked = zlib.decompressobj().decompress(base64.b64decode(packed, validate=True), 2 * count + 1)
    except zlib.error as error:
        raise ValueError(f"weights cannot be decompressed: {error}") from error
    if len(unpacked) != 2 * count:
        raise ValueError(f"weights are not {count:,} numbers")
    return np.frombuffer(unpacked, "<i2").astype(np.int16)
