"""Random damage to files and to TF_CONFIG.

Damaged models and records are reported or change no result. Damaged pictures and TF_CONFIG give no traceback.
"""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deconv_ae import conversion
from deconv_ae.data import ImageDataset, Source, load_dataset
from deconv_ae.errors import InputError, RunError
from deconv_ae.files import read_with_checksum, with_checksum
from deconv_ae.saved_model.model_card import FILE_NAME, KERAS_FILE
from deconv_ae.saved_model.serving import ServedAutoencoder
from deconv_ae.training.cluster import other_addresses

COUNT, LONG_COUNT = 7, 72
"""How often a test damages each file below. All files together are damaged more than 50 times, or more than 500 in the
long tests."""


def damaged(content: bytes, generator: random.Random) -> bytes:
    """Returns the content with random damage.

    The damage is a flipped bit, a missing end, zeros or garbage in the middle, a repeated part, or 100 random bytes in
    place of the content. If it would change nothing, a brace is added at the end instead.
    """
    start = generator.randrange(len(content))
    end = min(len(content), start + generator.randrange(1, 64))
    result = generator.choice(
        [
            content[:start] + bytes([content[start] ^ 1 << generator.randrange(8)]) + content[start + 1 :],
            content[:start],
            content[:start] + bytes(end - start) + content[end:],
            content[:start] + generator.randbytes(end - start) + content[end:],
            content[:end] + content[start:],
            generator.randbytes(100),
        ]
    )
    return result if result != content else content + b"{"


def reconstruction_and_card(model_dir: Path, images: np.ndarray) -> Any:
    model = ServedAutoencoder(model_dir)
    return model.decode(model.encode(images)).tobytes(), model.card


def keras_weights(model_dir: Path, images: np.ndarray) -> Any:
    return [weights.tobytes() for weights in conversion.load_keras_model(ServedAutoencoder(model_dir)).get_weights()]


READERS: dict[str, Callable[[Path, np.ndarray], Any]] = {
    FILE_NAME: reconstruction_and_card,
    "saved_model.pb": reconstruction_and_card,
    "fingerprint.pb": reconstruction_and_card,
    "variables/variables.index": reconstruction_and_card,
    "variables/variables.data-00000-of-00001": reconstruction_and_card,
    KERAS_FILE: keras_weights,
}


@pytest.mark.parametrize("count", [COUNT, pytest.param(LONG_COUNT, marks=pytest.mark.long)])
@pytest.mark.parametrize("file_name", READERS)
def test_damaged_model_is_reported_or_changes_no_result(
    exported: Path, digits: ImageDataset, tmp_path: Path, file_name: str, count: int
) -> None:
    model_dir, generator = tmp_path / "model", random.Random(file_name)
    shutil.copytree(exported, model_dir)
    content = (exported / file_name).read_bytes()
    expected = READERS[file_name](exported, digits.test[:2])
    for _ in range(count):
        (model_dir / file_name).write_bytes(damaged(content, generator))
        try:
            assert READERS[file_name](model_dir, digits.test[:2]) == expected
        except InputError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("count", [COUNT, pytest.param(LONG_COUNT, marks=pytest.mark.long)])
def test_damaged_record_is_reported_or_changes_no_result(tmp_path: Path, count: int) -> None:
    file, generator = tmp_path / "run.json", random.Random(0)
    record = {"seed": 1, "files": [{"rmse": 0.25, "name": "a"}]}
    content = with_checksum(record).encode()
    for _ in range(count):
        file.write_bytes(damaged(content, generator))
        try:
            assert read_with_checksum(file) == record
        except (ValueError, OSError):
            continue


@pytest.mark.parametrize("count", [COUNT, pytest.param(LONG_COUNT, marks=pytest.mark.long)])
def test_damaged_pictures_and_tf_config_give_no_traceback(pictures_folder: Path, count: int) -> None:
    picture, generator = pictures_folder / "0.png", random.Random(1)
    cluster = json.dumps({"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 0}}).encode()
    content = picture.read_bytes()
    for _ in range(count):
        picture.write_bytes(damaged(content, generator))
        for read in (
            lambda: load_dataset(Source(f"folder:{pictures_folder}", cache_dir="")),
            lambda: other_addresses(damaged(cluster, generator).decode(errors="replace")),
        ):
            try:
                read()
            except (InputError, RunError) as error:
                assert "\n" not in str(error)


@pytest.fixture
def pictures_folder(tmp_path: Path, digits: ImageDataset) -> Path:
    from PIL import Image

    for number, image in enumerate(digits.test[:5]):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{number}.png")
    return tmp_path
