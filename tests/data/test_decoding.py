"""A picture file is decoded to the pixels that a viewer shows."""

import dataclasses
import gc
import io
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageCms

from deconv_ae.data import Source, decoding, load_dataset, load_split
from deconv_ae.data.decoding import PictureError, composite, decode
from deconv_ae.data.resizing import fit_image
from deconv_ae.errors import InputError

RED, WHITE, BLACK, ORANGE = (255, 0, 0), (255, 255, 255), (0, 0, 0), (255, 128, 0)


def encoded(picture: Image.Image, form: str, **options) -> io.BytesIO:
    file = io.BytesIO()
    picture.save(file, form, **options)
    file.seek(0)
    return file


def png(values: list[int], bits: int, channels: int = 1, transparent: list[int] | None = None) -> io.BytesIO:
    """A PNG of one row; Pillow cannot write some of these bit depths."""
    row = "".join(f"{value:0{bits}b}" for value in values)
    row += "0" * (-len(row) % 8)
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", len(values) // channels, 1, bits, 2 if channels == 3 else 0, 0, 0, 0),
        b"tRNS": b"" if transparent is None else struct.pack(f">{len(transparent)}H", *transparent),
        b"IDAT": zlib.compress(b"\0" + bytes(int(row[i : i + 8], 2) for i in range(0, len(row), 8))),
        b"IEND": b"",
    }
    chunks = [
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts.items()
        if content or kind != b"tRNS"
    ]
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def palette(transparency: int | bytes | None) -> Image.Image:
    """A palette picture of two pixels, red and blue."""
    picture = Image.new("P", (2, 1))
    picture.putpalette([*RED, 0, 0, 255])
    picture.putpixel((1, 0), 1)
    if transparency is not None:
        picture.info["transparency"] = transparency
    return picture


def one_row(mode: str, *values) -> Image.Image:
    """A picture of one row."""
    picture = Image.new(mode, (len(values), 1))
    for column, value in enumerate(values):
        picture.putpixel((column, 0), value)
    return picture


def tiff(values: np.ndarray, tags: dict[int, int] | None = None) -> io.BytesIO:
    return encoded(Image.fromarray(values), "TIFF", tiffinfo=tags or {})


@pytest.mark.parametrize(
    ("file", "background", "expected"),
    [
        # The colour of a fully transparent pixel is not shown.
        (encoded(one_row("RGBA", (9, 200, 30, 0), (9, 200, 30, 255)), "PNG"), WHITE, [WHITE, (9, 200, 30)]),
        (encoded(one_row("RGBA", (9, 200, 30, 0)), "PNG"), BLACK, [BLACK]),
        (encoded(one_row("RGBA", (0, 0, 0, 51)), "PNG"), ORANGE, [(204, 102, 0)]),
        (encoded(one_row("RGBA", (9, 200, 30, 0)), "WEBP", lossless=True), ORANGE, [ORANGE]),
        (encoded(one_row("RGBA", (9, 200, 30, 0)), "TIFF"), ORANGE, [ORANGE]),
        (encoded(one_row("LA", (0, 0), (7, 255)), "PNG"), WHITE, [255, 7]),
        (encoded(one_row("LA", (0, 0), (7, 255)), "PNG"), ORANGE, [ORANGE, (7, 7, 7)]),
        (encoded(palette(None), "PNG"), WHITE, [RED, (0, 0, 255)]),
        (encoded(palette(1), "PNG"), WHITE, [RED, WHITE]),
        (encoded(palette(b"\xff\x33"), "PNG"), BLACK, [RED, (0, 0, 51)]),
        (encoded(palette(1), "GIF", transparency=1), ORANGE, [RED, ORANGE]),
        (png([10, 20, 30, 5, 5, 5], 8, 3, [10, 20, 30]), WHITE, [WHITE, (5, 5, 5)]),
        (png([1000, 2000, 3000, 0, 65535, 32768], 16, 3, [1000, 2000, 3000]), WHITE, [WHITE, (0, 255, 128)]),
        (png([0, 1], 1, 1, [0]), WHITE, [255, 255]),
        (png([1, 2], 2, 1, [1]), BLACK, [0, 170]),
        (png([3, 15], 4, 1, [3]), BLACK, [0, 255]),
        (png([1000, 32768], 16, 1, [1000]), WHITE, [255, 128]),
    ],
)
def test_transparent_pixels_show_the_background(file: io.BytesIO, background: tuple, expected: list) -> None:
    assert decode(file, background=background)[0].tolist() == np.reshape(expected, (len(expected), -1)).tolist()


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (png([0, 128, 32768, 65535], 16), [0, 0, 128, 255]),
        (tiff(np.array([[0, 32768, 65535]], np.uint16)), [0, 128, 255]),
        # Tag 262, PhotometricInterpretation, is 0 if 0 stands for white.
        (tiff(np.array([[0, 32768, 65535]], np.uint16), tags={262: 0}), [255, 127, 0]),
        (tiff(np.array([[0, 32768, 65535]], np.int32)), [0, 128, 255]),
        (tiff(np.array([[0, 0.5, 1]], np.float32)), [0, 128, 255]),
        (io.BytesIO(b"P5 2 1 65535 " + struct.pack(">2H", 32768, 65535)), [128, 255]),
        (io.BytesIO(b"P5 2 1 1000 " + struct.pack(">2H", 500, 1000)), [128, 255]),
        (encoded(one_row("1", 0, 1), "PNG"), [0, 255]),
    ],
)
def test_other_bit_depths_are_scaled_to_eight(file: io.BytesIO, expected: list[int]) -> None:
    assert decode(file)[0, :, 0].tolist() == expected
    np.testing.assert_array_equal(decode(file, 3)[0], np.repeat(np.reshape(expected, (-1, 1)), 3, axis=1))


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0, 65536]], np.int32),
        np.array([[-1, 5]], np.int32),
        np.array([[0, 250]], np.float32),
        np.array([[0, np.nan]], np.float32),
    ],
)
def test_values_outside_of_the_range_of_shades_are_refused(values: np.ndarray) -> None:
    with pytest.raises(PictureError, match="not shades from 0 to"):
        decode(tiff(values))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "PPM", "ICO"])
def test_every_common_format_is_read(form: str) -> None:
    shown = decode(encoded(Image.new("RGB", (16, 16), (200, 100, 40)), form))
    assert shown.shape == (16, 16, 3)
    np.testing.assert_allclose(shown[8, 8], (200, 100, 40), atol=3)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_of_several_frames_is_read(form: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLACK)]
    file = encoded(
        frames[0], form, save_all=True, append_images=frames[1:], **({"lossless": True} if form == "WEBP" else {})
    )
    np.testing.assert_allclose(decode(file)[0, 0], RED, atol=2)


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk_inks_become_rgb_colours(form: str) -> None:
    # Cyan and yellow inks give green.
    green = decode(encoded(Image.new("CMYK", (8, 8), (255, 0, 255, 0)), form))[4, 4]
    assert green[1] > 200
    assert max(green[0], green[2]) < 50


def test_unusable_colour_profile_is_ignored() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (b"no profile", srgb):  # The second profile is for three colours, not for inks.
        file = encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "JPEG", icc_profile=profile)
        assert decode(file)[4, 4].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("mode", "channels", "expected"),
    [("RGBA", None, 3), ("LA", None, 1), ("I;16", None, 1), ("RGBA", 1, 1), ("L", 3, 3)],
)
def test_channels_are_the_pictures_own_by_default(mode: str, channels: int | None, expected: int) -> None:
    assert decode(encoded(Image.new(mode, (3, 2)), "PNG"), channels).shape == (2, 3, expected)


@pytest.fixture
def garbage_of_earlier_tests_collected() -> None:
    """Collects files that earlier tests left open. Otherwise Python would warn of them during this test."""
    gc.collect()


@pytest.mark.usefixtures("garbage_of_earlier_tests_collected")
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_truncated_file_is_refused_or_complete(form: str, capfd: pytest.CaptureFixture) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8))
    complete_file = encoded(noise, form).getvalue()
    expected = decode(io.BytesIO(complete_file))
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        for length in range(0, len(complete_file), 10):
            try:
                shown = decode(io.BytesIO(complete_file[:length]))
            except PictureError as error:
                assert str(error).startswith(("cannot be decoded (", "is not a picture in a known format"))
            else:
                np.testing.assert_array_equal(shown, expected)
    assert recorded == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("garbage_of_earlier_tests_collected")
def test_palette_and_damaged_metadata_give_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    file = encoded(palette(b"\xff\x00"), "PNG")
    exif = Image.Exif()
    exif[0x0112] = 3
    damaged = encoded(Image.new("RGB", (2, 2)), "JPEG", exif=exif.tobytes()[:-7])
    decode(file, 3)
    decode(damaged)
    assert list(recwarn) == []


def test_images_of_four_channels_show_the_background() -> None:
    image = np.array([[[9, 200, 30, 0], [0, 0, 0, 51]]], np.uint8)
    shown = fit_image(image, Source("made", background="#ff8000"))
    np.testing.assert_array_equal(shown, composite(image, ORANGE))
    assert shown[0, 0].numpy().tolist() == list(ORANGE)
    dataset = tf.data.Dataset.from_tensors(image).map(lambda image: fit_image(image, Source("made", image_size=(4, 4))))
    assert dataset.element_spec.shape == (4, 4, 3)


def test_folder_shows_the_given_background(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGBA", (4, 4), (1, 2, 3, 0)).save(tmp_path / name)
    for background, expected in (("white", WHITE), ("black", BLACK), ("#FF8000", ORANGE)):
        images = load_split(Source(f"folder:{tmp_path}", background=background), "train")
        assert images[0, 0, 0].tolist() == list(expected)


def test_load_truncated_shows_the_readable_part(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for number in range(5):
        Image.fromarray(noise).save(tmp_path / f"{number}.jpg")
    complete = decode(tmp_path / "0.jpg")
    for number in range(5):
        content = (tmp_path / f"{number}.jpg").read_bytes()
        (tmp_path / f"{number}.jpg").write_bytes(content[: len(content) // 2])
    source = Source(f"folder:{tmp_path}", cache_dir="")
    with pytest.raises(InputError, match=r"jpg cannot be decoded \(.* or pass --load_truncated_images or --skip_bad"):
        load_split(source, "train")
    shown = load_split(dataclasses.replace(source, load_truncated_images=True), "train")[0]
    np.testing.assert_array_equal(shown[:8], complete[:8])
    assert np.ptp(shown[-8:]) == 0


def test_max_pixels_limits_a_picture(tmp_path: Path) -> None:
    for number in range(4):
        Image.new("L", (30, 40), 99).save(tmp_path / f"{number}.png")
    Image.new("L", (12_000, 10_000), 99).save(tmp_path / "4.png")
    source = Source(f"folder:{tmp_path}", cache_dir="", image_size=(8, 8))
    with pytest.raises(InputError, match=r"4.png is too large \(12000x10000 pixels\); --max_pixels allows 89,478,485"):
        load_dataset(source)
    dataset = load_dataset(dataclasses.replace(source, max_pixels=120_000_000))
    assert len(dataset.train) + len(dataset.test) == 5
    with pytest.raises(InputError, match="too large"):
        load_dataset(dataclasses.replace(source, max_pixels=120_000_000 - 1))
    with pytest.raises(InputError, match=r"is too large \(Image size \(1200 pixels\)\); --max_pixels allows 500;"):
        load_dataset(dataclasses.replace(source, max_pixels=500))


@pytest.mark.parametrize("background", ["", "red", "#fff", "#gggggg", "ffffff", "#ffffff00", "#ffffff\n"])
def test_wrong_background_is_refused_with_the_choices(background: str) -> None:
    with pytest.raises(InputError, match=r"background: .* give white, black or #rrggbb"):
        Source("mnist_5k", background=background)


def test_decoding_loads_no_tensorflow() -> None:
    program = f"import runpy, sys; runpy.run_path({decoding.__file__!r}); assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
