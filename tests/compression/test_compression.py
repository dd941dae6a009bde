"""Compressing and decompressing, compared with the model's signatures, and refusals of damaged files."""

import itertools
import json
import shutil
import zlib
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from faults.programs import run_program
from PIL import Image

from deconv_ae.compression import Compressor, learn_probabilities, probability_file
from deconv_ae.compression.container import CompressedPicture, FileError, pack, unpack
from deconv_ae.compression.rate_distortion import rate_distortion, table
from deconv_ae.data import ImageDataset
from deconv_ae.errors import InputError
from deconv_ae.files import read_with_checksum, with_checksum
from deconv_ae.pictures.rate_distortion import rate_distortion_figure
from deconv_ae.saved_model.model_card import COMPRESSION_FILE
from deconv_ae.saved_model.serving import Encoded, ServedAutoencoder

REFERENCE = Path(__file__).parents[2] / "saved_models" / "reference"
MakeOnce = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="module")
def digit_model_dir(exported: Path, make_once: MakeOnce, digits: ImageDataset) -> Path:
    """The directory of a model of digits that can compress. The tests share it, and only read it."""

    def make(directory: Path) -> None:
        shutil.copytree(exported, directory)
        learn_probabilities(ServedAutoencoder(directory), digits.train)

    return make_once("digits_compressed", make)


@pytest.fixture(scope="module")
def colour_model_dir(exported_in_colour: Path, make_once: MakeOnce, colour_images: ImageDataset) -> Path:
    """The directory of a colour model that can compress: two stages, whose windows do not divide the images evenly."""

    def make(directory: Path) -> None:
        shutil.copytree(exported_in_colour, directory)
        learn_probabilities(ServedAutoencoder(directory), colour_images.train)

    return make_once("colour_compressed", make)


@pytest.fixture(scope="module")
def digit_compressor(digit_model_dir: Path) -> Compressor:
    return Compressor(ServedAutoencoder(digit_model_dir))


@pytest.fixture(scope="module")
def colour_compressor(colour_model_dir: Path) -> Compressor:
    return Compressor(ServedAutoencoder(colour_model_dir))


@pytest.mark.parametrize("quality", Compressor.qualities)
def test_file_holds_the_quantised_code_and_switches(
    colour_model_dir: Path, colour_compressor: Compressor, colour_images: ImageDataset, quality: int
) -> None:
    model = ServedAutoencoder(colour_model_dir)
    steps = np.array(json.loads((colour_model_dir / COMPRESSION_FILE).read_text())["steps"]["code"], np.float32)[
        quality - 1
    ]
    for image in colour_images.test:
        encoded = model.encode(image[np.newaxis])
        quantised = np.floor(encoded.code / steps + np.float32(0.5)) * steps
        # Where the quantised code is 0, the last stage's switches have no effect, and `tensors` returns 0 for them.
        last_switches = np.where(quantised != 0, encoded.switches[-1], 0)
        file = colour_compressor.compress(image, quality)
        found = colour_compressor.tensors(file)
        np.testing.assert_array_equal(found["code"], quantised)
        np.testing.assert_array_equal(found["switches_1"], encoded.switches[0])
        np.testing.assert_array_equal(found["switches_2"], last_switches)
        decoded = model.decode(Encoded(quantised, encoded.switches))
        pixels = np.clip(np.round(decoded * 256), 0, 255).astype(np.uint8)
        np.testing.assert_array_equal(colour_compressor.decompress(file), pixels[0])


def test_batch_makes_the_same_files_and_pictures_as_single_calls(
    digit_compressor: Compressor, digits: ImageDataset
) -> None:
    images = list(digits.test[:20])
    files = digit_compressor.compress_all(images, 2)
    assert files == [digit_compressor.compress(image, 2) for image in images]
    mixed = [*files, digit_compressor.compress(images[0], 5), files[3]]
    for file, picture in zip(mixed, digit_compressor.decompress_all(mixed), strict=True):
        np.testing.assert_array_equal(picture, digit_compressor.decompress(file))


def test_higher_quality_makes_larger_files_and_better_pictures(
    digit_compressor: Compressor, digits: ImageDataset
) -> None:
    sizes, errors = [], []
    for quality in digit_compressor.qualities:
        files = digit_compressor.compress_all(list(digits.test), quality)
        sizes.append(sum(map(len, files)))
        pictures = np.stack(digit_compressor.decompress_all(files))
        errors.append(float(((pictures - digits.test.astype(float)) ** 2).mean()))
    assert sizes == sorted(sizes)
    assert errors[0] > errors[2] > errors[4] * 0.999
    bits = digit_compressor.bits(list(digits.test), 5)
    # Files are as large as predicted, apart from headers and rounding to bytes.
    assert (
        sum(bits.values()) / 8 <= sizes[-1] - 12 * len(digits.test) <= sum(bits.values()) / 8 + 1.5 * len(digits.test)
    )


def test_switches_where_the_code_is_zero_take_no_bits(digit_compressor: Compressor) -> None:
    black = [np.zeros((28, 28, 1), np.uint8)]
    assert digit_compressor.bits(black, 1)["switches_1"] == 0
    assert len(digit_compressor.compress(black[0], 1)) < 12 + 4


@pytest.mark.parametrize("size", [(1, 1), (28, 27), (29, 28), (5, 90), (70, 57)])
def test_picture_of_any_size_is_cut_into_tiles(
    digit_compressor: Compressor, digits: ImageDataset, size: tuple[int, int]
) -> None:
    height, width = size
    wide = np.concatenate(list(digits.test[:4]), axis=1)
    picture = np.concatenate([wide, wide[::-1], wide])[:height, :width]
    file = digit_compressor.compress(picture, 4)
    assert unpack(file).size == size
    found = digit_compressor.decompress(file)
    assert found.shape == picture.shape
    padded = np.pad(picture, ((0, -height % 28), (0, -width % 28), (0, 0)), mode="edge")
    for top, left in itertools.product(range(0, height, 28), range(0, width, 28)):
        tile = padded[top : top + 28, left : left + 28]
        decompressed_tile = digit_compressor.decompress(digit_compressor.compress(tile, 4))
        part = found[top : top + 28, left : left + 28]
        np.testing.assert_array_equal(part, decompressed_tile[: part.shape[0], : part.shape[1]])


def test_pixels_are_the_same_in_one_batch_or_several(
    digit_compressor: Compressor, digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = np.concatenate(list(digits.test[:5]), axis=1)
    expected = digit_compressor.decompress(digit_compressor.compress(picture))
    monkeypatch.setattr(digit_compressor._model, "batch_size", 2)
    files = digit_compressor.compress_all([digits.test[7], picture, digits.test[8]])
    _, found, _ = digit_compressor.decompress_all(files)
    np.testing.assert_array_equal(found, expected)


def test_a_file_does_not_depend_on_the_pictures_beside_it(
    digit_compressor: Compressor, digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiles = iter(digits.test)
    pictures = [np.concatenate([next(tiles) for _ in range(count)], axis=1) for count in (1, 3, 2, 5, 1, 1, 4)]
    monkeypatch.setattr(digit_compressor._model, "batch_size", 4)
    files = digit_compressor.compress_all(pictures)
    assert files == [digit_compressor.compress(picture) for picture in pictures]
    together = digit_compressor.decompress_all(files)
    for group in (*zip(files), reversed(files), files[1:4]):
        group = list(group)
        for file, found in zip(group, digit_compressor.decompress_all(group), strict=True):
            np.testing.assert_array_equal(found, together[files.index(file)])


def test_file_of_an_unfamiliar_picture_holds_its_code_and_switches(
    digit_compressor: Compressor, digit_model_dir: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 2, (6, 28, 28, 1)).astype(np.uint8) * 255
    for image in (*noise, 255 - noise[0], np.full((28, 28, 1), 255, np.uint8)):
        found = digit_compressor.tensors(digit_compressor.compress(image, 5))
        steps = np.array(json.loads((digit_model_dir / COMPRESSION_FILE).read_text())["steps"]["code"], np.float32)[4]
        encoded = ServedAutoencoder(digit_model_dir).encode(image[np.newaxis])
        np.testing.assert_array_equal(found["code"], np.floor(encoded.code / steps + np.float32(0.5)) * steps)
        np.testing.assert_array_equal(found["switches_1"], np.where(found["code"], encoded.switches[0], 0))


def test_altered_shortened_or_lengthened_file_is_refused(digit_compressor: Compressor, digits: ImageDataset) -> None:
    for file in (digit_compressor.compress(digits.test[0]), digit_compressor.compress(digits.test[0][:20])):
        assert len(file) < 80
        for place, change in itertools.product(range(len(file)), (*(1 << bit for bit in range(8)), 0xFF)):
            altered = bytearray(file)
            altered[place] ^= change
            with pytest.raises(FileError):
                digit_compressor.decompress(bytes(altered))
        for length in range(len(file)):
            with pytest.raises(FileError):
                digit_compressor.decompress(file[:length])
        with pytest.raises(FileError):
            digit_compressor.decompress(file + b"\0")


# Each file is complete and its checksum valid, but its header is wrong.
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model": b"abcd"}, "by another model"),
        ({"quality": 0}, "quality 0"),
        ({"quality": 6}, "quality 6"),
        ({"size": (0, 28)}, "0x28 pixels"),
        ({"size": (65535, 65535)}, "65535x65535 pixels"),
    ],
)
def test_wrong_header_is_refused(digit_compressor: Compressor, change: dict, reason: str) -> None:
    found = vars(unpack(digit_compressor.compress(np.zeros((28, 28, 1), np.uint8))))
    with pytest.raises(FileError, match=reason):
        digit_compressor.decompress(pack(CompressedPicture(**{**found, **change})))


@pytest.mark.parametrize("payload", [b"", b"\xff" * 40, bytes(range(1, 200)), b"\0" * 7])
def test_any_payload_gives_a_picture_or_a_file_error(digit_compressor: Compressor, payload: bytes) -> None:
    header = unpack(digit_compressor.compress(np.zeros((28, 28, 1), np.uint8)))
    good = digit_compressor.compress(np.zeros((28, 28, 1), np.uint8))
    try:
        picture = digit_compressor.decompress_all(
            [good, pack(CompressedPicture(header.quality, header.model, None, payload))]
        )[1]
        assert picture.shape == (28, 28, 1)
    except FileError as error:
        assert error.number == 1


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((28, 28), np.uint8), "not a .height, width, channels. array"),
        (np.zeros((28, 28, 1), np.float32), "uint8"),
        (np.zeros((28, 28, 3), np.uint8), "3 channels"),
        (np.zeros((0, 28, 1), np.uint8), "0x28"),
        ("x", "uint8"),
    ],
)
def test_wrong_image_or_quality_is_refused(digit_compressor: Compressor, image: object, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        digit_compressor.compress(image)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=reason):
        digit_compressor.bits([image])  # type: ignore[list-item]
    with pytest.raises(InputError, match="quality"):
        digit_compressor.compress(np.zeros((28, 28, 1), np.uint8), quality=0)


def _damaged(text: str) -> str:
    return text.replace('"lowest": 0', '"lowest": 1', 1)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (None, "has no probabilities"),
        (lambda text: "", "holds no valid probabilities"),
        (_damaged, "its checksum differs"),
        (lambda text: text[: len(text) // 2], "holds no valid probabilities"),
        (lambda text: (REFERENCE / "two_layer" / COMPRESSION_FILE).read_text(), "does not belong to the model"),
    ],
)
def test_missing_or_wrong_probabilities_are_refused(
    exported: Path, digit_model_dir: Path, tmp_path: Path, make: Callable[[str], str] | None, reason: str
) -> None:
    shutil.copytree(exported, tmp_path / "model")
    if make is not None:
        (tmp_path / "model" / COMPRESSION_FILE).write_text(make((digit_model_dir / COMPRESSION_FILE).read_text()))
    with pytest.raises(InputError, match=reason):
        Compressor(ServedAutoencoder(tmp_path / "model"))


# The checksum of each file is valid, but one field is impossible.
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda fields: fields.update(format_version=2), "format_version is 2, not 1"),
        (lambda fields: fields.pop("pictures"), "pictures is missing"),
        (lambda fields: fields.update(weights="AAAA"), "weights cannot be decompressed"),
        (lambda fields: fields.update(weights=b64encode(zlib.compress(b"1234")).decode()), "weights are not"),
        (lambda fields: fields.update(weights=b64encode(zlib.compress(bytes(10**7))).decode()), "weights are not"),
        (lambda fields: fields["steps"]["code"].pop(), "steps.code are not"),
        (lambda fields: fields["steps"]["code"][0].__setitem__(0, 0), "steps.code are not all above 0"),
        (lambda fields: fields["steps"]["code"][0].__setitem__(0, True), "steps.code.0..0. is True"),
        (lambda fields: fields["planes"].pop("code"), "planes and steps do not match the tensors"),
        (lambda fields: fields["planes"]["code"].pop(), "planes.code are not"),
        (lambda fields: fields["planes"]["code"][0][0].update(symbols=10**6), "1000000 symbols"),
        (lambda fields: fields["tensors"][1].update(values_in="x"), "cannot have values_in x"),
        (lambda fields: fields["tensors"][0].update(shape=[7, 7]), "tensors.0..shape is"),
    ],
)
def test_impossible_fields_of_probabilities_are_refused(
    digit_model_dir: Path, tmp_path: Path, change: Callable[[dict], object], reason: str
) -> None:
    shutil.copytree(digit_model_dir, tmp_path / "model")
    file = tmp_path / "model" / COMPRESSION_FILE
    fields = read_with_checksum(file)
    change(fields)
    file.write_text(with_checksum(fields))
    with pytest.raises(InputError, match=reason):
        probability_file.read(tmp_path / "model")


@pytest.mark.parametrize(
    "name", ["cmap1_pool2", "cmap1_pool4", "cmap3_pool4", "photos_16_8", "photos_128", "two_layer"]
)
def test_reference_models_compress(name: str) -> None:
    model = ServedAutoencoder(REFERENCE / name)
    assert (REFERENCE / name / COMPRESSION_FILE).stat().st_size < 100_000
    compressor = Compressor(model)
    rows, columns = np.mgrid[: model.card.image_shape[0], : model.card.image_shape[1]]
    image = np.stack(
        [(rows * 7 + columns * 3 + 40 * channel) % 256 for channel in range(model.card.image_shape[2])], -1
    )
    image = image.astype(np.uint8)
    found = compressor.tensors(compressor.compress(image, 5))
    encoded = model.encode(image[np.newaxis]).named()
    assert found.keys() == encoded.keys()
    *other_switches, last_switches = (each for each in encoded if each != "code")
    for switches_name in other_switches:
        np.testing.assert_array_equal(found[switches_name], encoded[switches_name])
    # Where the code is 0, the last stage's switches have no effect, and `tensors` returns 0 for them.
    has_effect = found["code"][..., : encoded[last_switches].shape[-1]] != 0
    assert has_effect.any()
    np.testing.assert_array_equal(found[last_switches], np.where(has_effect, encoded[last_switches], 0))
    steps = json.loads((REFERENCE / name / COMPRESSION_FILE).read_text())["steps"]["code"][4]
    np.testing.assert_array_less(np.abs(found["code"] - encoded["code"]), np.broadcast_to(steps, encoded["code"].shape))


def test_rates_are_measured_beside_other_codecs(digit_compressor: Compressor, digits: ImageDataset) -> None:
    images = digits.test[:12]
    curves = rate_distortion([("ours", digit_compressor)], images)
    assert {name: len(measurements) for name, measurements in curves.items()} == {
        **{"ours": 5, "JPEG": 5, "WebP": 5, "thumbnail": 5},
        "PNG": 1,
    }
    assert curves["PNG"][0].psnr == np.inf and curves["PNG"][0].ssim == pytest.approx(1)
    for quality, measured in enumerate(curves["ours"], start=1):
        files = digit_compressor.compress_all(list(images), quality)
        pictures = np.stack(digit_compressor.decompress_all(files)).astype(float)
        squares = ((pictures - images) ** 2).mean(axis=(1, 2, 3))
        assert measured.bits_per_pixel == pytest.approx(8 * sum(map(len, files)) / images.size)
        assert measured.psnr == pytest.approx(np.mean(20 * np.log10(255 / np.sqrt(squares))))
        assert measured.switch_share is not None and 0 < measured.switch_share < 1
    for name in ("ours", "JPEG", "WebP", "thumbnail"):
        assert curves[name][0].bits_per_pixel < curves[name][-1].bits_per_pixel
        assert curves[name][0].psnr < curves[name][-1].psnr
    assert len(table(curves).splitlines()) == 1 + 21 + 1
    assert len(rate_distortion_figure(curves, "digits").axes) == 2


def test_programs_agree_with_the_compressor_whatever_the_number_of_threads(
    digit_model_dir: Path, digit_compressor: Compressor, digits: ImageDataset, tmp_path: Path
) -> None:
    for number, image in enumerate(digits.test[:3]):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{number}.png")
    names = [f"{number}.png" for number in range(3)]
    compressed = run_program(
        "compress.py", [f"--model={digit_model_dir}", "--output_dir=small", "--quality=4", *names], tmp_path
    )
    assert (compressed.status, compressed.stderr) == (0, "")
    files = [tmp_path / "small" / f"{number}.dcae" for number in range(3)]
    assert [file.read_bytes() for file in files] == digit_compressor.compress_all(list(digits.test[:3]), 4)
    arguments = [f"--model={digit_model_dir}", "--output_dir=back", *map(str, files)]
    one_thread = {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    decompressed = run_program("decompress.py", arguments, tmp_path, one_thread)
    assert (decompressed.status, decompressed.stderr) == (0, "")
    for number, file in enumerate(files):
        found = np.asarray(Image.open(tmp_path / "back" / f"{number}.png"))[..., np.newaxis]
        np.testing.assert_array_equal(found, digit_compressor.decompress(file.read_bytes()))
    # An existing output file is refused. One damaged file prevents all writes.
    assert run_program("decompress.py", arguments, tmp_path).status == 2
    files[2].write_bytes(files[2].read_bytes()[:-1] + b"x")
    refused = run_program("decompress.py", [*arguments, "--output_dir=never"], tmp_path)
    assert refused.status == 2
    assert refused.stderr == f"error: files: {files[2]} is damaged, its checksum differs; compress the picture again\n"
    assert not (tmp_path / "never").exists()
