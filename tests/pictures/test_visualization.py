"""Pictures and text drawn from exported models."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from deconv_ae import Architecture, Autoencoder
from deconv_ae.compression.rate_distortion import Measurement
from deconv_ae.data import ImageDataset, scale
from deconv_ae.errors import RunError
from deconv_ae.pictures.drawing import visualize
from deconv_ae.pictures.explanation import kernels_figure, switches_figure
from deconv_ae.pictures.pixels import code_picture, tile_columns, tile_corner
from deconv_ae.pictures.rate_distortion import rate_distortion_figure
from deconv_ae.pictures.training_curve import training_curve
from deconv_ae.pictures.visualization import (
    PIXELS_AN_INCH,
    View,
    comparison_figure,
    errors_figure,
    model_figure,
    save_figure,
    view,
)
from deconv_ae.saved_model.keras_file import load_keras_model
from deconv_ae.saved_model.serving import Encoded, ServedAutoencoder
from deconv_ae.training.history import Epoch

REFERENCE = Path(__file__).parents[2] / "saved_models" / "reference"
FIGURES = {"autoencoder.png", "errors.png", "switches.png", "kernels.png"}


@pytest.fixture(scope="session")
def drawn_dir(exported: Path, digits: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all drawings of five digits. Tests only read it."""
    directory = tmp_path_factory.mktemp("pictures")
    written = visualize([ServedAutoencoder(exported)], digits.test[:5], directory)
    assert len(written) == len(set(written))
    assert set(written) == set(directory.iterdir())
    return directory


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["$\\frac$", "$x$", "a_{b}^c $\\", "100 $ or $ 200", "\u732b", "%s {0}"])
def test_any_name_is_drawn_literally(exported: Path, digits: ImageDataset, tmp_path: Path, name: str) -> None:
    model = ServedAutoencoder(exported)
    model.name = name
    figures = [model_figure(view(model, digits.test[:2])), comparison_figure([view(model, digits.test[:2])] * 2)]
    for figure in figures:
        save_figure(figure, tmp_path / "figure.png")
        texts = [text for text in figure.findobj(Text) if name in text.get_text().replace("\n", " ")]
        assert texts
        assert not any(text.get_parse_math() for text in texts)


def test_powers_at_an_axis_stay_powers(tmp_path: Path) -> None:
    figure = Figure()
    figure.subplots().set(xscale="log", xlim=(1, 1000), title="$x")
    save_figure(figure, tmp_path / "figure.png")
    labels = figure.axes[0].get_xticklabels()
    assert any("10^{2}" in label.get_text() and label.get_parse_math() for label in labels)


def read_picture(file: Path) -> np.ndarray:
    with Image.open(file) as opened:
        return np.asarray(opened)


def test_pictures_text_and_figures_are_written_and_nothing_else(drawn_dir: Path) -> None:
    names = {f"imageAutoEncoder_{i}__{kind}.png" for i in range(5) for kind in ("input", "encoding", "output")}
    texts = {"encoder_output.txt", "decoder_output.txt", "switches_1.txt"}
    assert {file.name for file in drawn_dir.iterdir()} == names | texts | FIGURES


@pytest.mark.parametrize("kind", ["input", "encoding", "output"])
def test_pictures_have_224x224_pixels_and_a_maximum_of_255(drawn_dir: Path, kind: str) -> None:
    for index in range(5):
        pixels = read_picture(drawn_dir / f"imageAutoEncoder_{index}__{kind}.png")
        assert pixels.shape == (224, 224)
        assert pixels.max() == 255


def test_enlarging_uses_nearest_neighbour(drawn_dir: Path, digits: ImageDataset, exported: Path) -> None:
    image = digits.test[0, :, :, 0]
    expected = np.round(image / image.max() * 255).astype(np.uint8)
    np.testing.assert_array_equal(read_picture(drawn_dir / "imageAutoEncoder_0__input.png")[4::8, 4::8], expected)
    code = ServedAutoencoder(exported).encode(digits.test[:1]).code[0, :, :, 0]
    encoding = read_picture(drawn_dir / "imageAutoEncoder_0__encoding.png")
    np.testing.assert_array_equal(encoding[16::32, 16::32], np.round(code / code.max() * 255).astype(np.uint8))


def test_text_has_a_line_per_image_and_six_decimals(drawn_dir: Path, digits: ImageDataset, exported: Path) -> None:
    served = ServedAutoencoder(exported)
    encoded = served.encode(digits.test[:5])
    for name, expected in (
        ("encoder_output.txt", encoded.code),
        ("decoder_output.txt", served.decode(encoded)),
        ("switches_1.txt", encoded.switches[0]),
    ):
        lines = (drawn_dir / name).read_text().splitlines()
        assert len(lines) == 5
        np.testing.assert_allclose(np.loadtxt(drawn_dir / name), expected.reshape(5, -1), atol=5.1e-7)
    assert all(len(value.split(".")[1]) == 6 for value in (drawn_dir / "encoder_output.txt").read_text().split())


def test_rmses_belong_to_their_images(exported: Path, digits: ImageDataset) -> None:
    shown = view(ServedAutoencoder(exported), digits.test[:5])
    difference = (digits.test[:5] / 256 - shown.reconstruction).reshape(5, -1)
    np.testing.assert_allclose(shown.rmses, np.sqrt((difference**2).mean(axis=1)), rtol=1e-5)


def test_several_models_get_a_folder_each_and_a_comparison(
    exported: Path, digits: ImageDataset, tmp_path: Path
) -> None:
    models = [ServedAutoencoder(exported), ServedAutoencoder(exported)]
    figures = visualize(models, digits.test[:2], tmp_path, ["autoencoder", "comparison"])
    assert [str(figure.relative_to(tmp_path)) for figure in figures] == [
        f"{exported.name}_0/autoencoder.png",
        f"{exported.name}_1/autoencoder.png",
        "comparison.png",
    ]
    assert set(tmp_path.rglob("*.png")) == set(figures)


def test_colour_images_and_codes_of_several_channels_are_drawn(
    exported_in_colour: Path, colour_images: ImageDataset, tmp_path: Path
) -> None:
    visualize([ServedAutoencoder(exported_in_colour)], colour_images.test[:2], tmp_path / "drawn")
    assert {file.name for file in (tmp_path / "drawn").iterdir()} >= FIGURES
    # 17x13 pixels: the longer side becomes 224.
    assert read_picture(tmp_path / "drawn" / "imageAutoEncoder_0__input.png").shape == (224, 171, 3)
    assert read_picture(tmp_path / "drawn" / "imageAutoEncoder_0__encoding.png").ndim == 2


def test_channels_of_a_code_are_tiles_a_pixel_apart() -> None:
    code = np.stack([np.full((2, 3), value, np.float32) for value in (1, 2, 3)], axis=-1)
    tiles = code_picture(code)[..., 0]
    assert tiles.shape == (5, 7)
    assert (tiles[:2, :3] == 1).all()
    assert (tiles[:2, 4:] == 2).all()
    assert (tiles[3:, :3] == 3).all()
    assert (tiles[2] == 1.5).all()


def test_an_error_names_a_folder_that_cannot_be_written(exported: Path, digits: ImageDataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"output_dir: .* cannot be written"):
        visualize([ServedAutoencoder(exported)], digits.test[:1], tmp_path / "file" / "pictures")


def test_long_titles_do_not_overlap(exported: Path, digits: ImageDataset) -> None:
    shown = view(ServedAutoencoder(exported), digits.test[:2])
    views = [replace(shown, title=f"filters {n}, 16, 8; pools 4x2, 2x2, 2x2") for n in (64, 32, 16)]
    figure = comparison_figure(views)
    figure.draw_without_rendering()
    boxes = [axis.title.get_window_extent() for axis in figure.axes[: len(views) + 1]]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    single = model_figure(views[0])
    single.draw_without_rendering()
    assert single.get_suptitle()
    title = single._suptitle.get_window_extent()
    assert title.x0 >= 0 and title.x1 <= single.bbox.x1


@pytest.mark.parametrize(("channels", "least_pixels"), [(1, 150), (4, 65), (16, 65), (64, 65)])
def test_channels_of_a_code_are_large_and_bright_unless_silent(channels: int, least_pixels: int) -> None:
    images, code = np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 4, 4, channels), np.float32)
    code[0, 1, 1] = 2.0 ** -np.arange(channels)
    code[..., -1] *= channels == 1  # The last of several channels is silent.
    figure = model_figure(View("many", images, Encoded(code, ()), images / 256, 0.1))
    axis = figure.axes[2]
    (picture,) = axis.images
    for channel in range(channels):
        top, left = tile_corner(channel, code.shape[1:])
        tile = picture.get_array()[top : top + 4, left : left + 4]
        assert tile.max() == (0 if channels > 1 and channel == channels - 1 else 1)
    figure.draw_without_rendering()
    pixels = axis.get_window_extent().width * 150 / figure.dpi
    assert pixels / tile_columns(channels) > least_pixels
    assert axis.get_ylabel() == ("code" if channels == 1 else f"code, {channels} channels")


def test_all_errors_have_one_scale() -> None:
    images = np.zeros((2, 4, 4, 1), np.uint8)
    reconstruction = np.zeros(images.shape, np.float32)
    reconstruction[0, 1, 2], reconstruction[1, 3, 0] = 0.5, -0.25
    shown = View("small", images, Encoded(np.zeros((2, 2, 2, 1), np.float32), ()), reconstruction, 0.1)
    first, second = (axis.images[0] for axis in errors_figure(shown).axes[4:6])
    assert first.get_array()[1, 2] == 0.5
    assert second.get_array()[3, 0] == -0.25
    assert first.get_clim() == second.get_clim() == (-0.5, 0.5)
    colour = replace(shown, images=images.repeat(3, -1), reconstruction=reconstruction.repeat(3, -1))
    assert errors_figure(colour).axes[5].images[0].get_array()[3, 0] == 0.25


@pytest.mark.parametrize("count", [1, 2, 7])
def test_no_text_overlaps_or_leaves_the_figure(
    exported_in_colour: Path, colour_images: ImageDataset, count: int
) -> None:
    served = ServedAutoencoder(exported_in_colour)
    shown = replace(view(served, colour_images.test[:count]), title="filters 64, 16, 8; pools 4x2, 2x2, 2x2")
    figures = [
        *(model_figure(shown), errors_figure(shown), comparison_figure([shown, shown])),
        switches_figure(load_keras_model(served), shown),
        kernels_figure({shown.title: load_keras_model(served)}),
    ]
    for figure in figures:
        figure.draw_without_rendering()
        texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
        boxes = [text.get_window_extent() for text in texts]
        for text, box in zip(texts, boxes):
            assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, text
            assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, text
        pictures = [axis.get_window_extent() for axis in figure.axes]
        assert not any(box.overlaps(other) for box, other in itertools.combinations(boxes + pictures, 2))


def test_points_lie_at_the_maxima(colour_images: ImageDataset) -> None:
    model = Autoencoder(Architecture((3, 1), (2, (4, 3))), (17, 13, 3))
    images = scale(colour_images.test[:2])
    code, *switches = (np.asarray(each) for each in model.encoder(images))
    figure = switches_figure(model, View("small", colour_images.test[:2], Encoded(code, tuple(switches)), images, 0.1))
    original, stage, *others = [axis.get_ylabel() for axis in figure.axes[::2]]
    assert original == "original"
    assert stage.startswith("stage 1: switches\nfilter ")
    centred = "all switches\nup or left of the middle"
    assert others == ["code and switches", "reconstruction", "switches shuffled", centred]
    for index, axis in enumerate(figure.axes[4:6]):
        rows, columns = np.nonzero(code[index, :, :, 0] > 0)
        position = switches[1][index, rows, columns, 0]
        expected = set(zip((columns * 3 + position % 3).tolist(), (rows * 4 + position // 3).tolist()))
        assert set(map(tuple, axis.collections[0].get_offsets().tolist())) == expected != set()


@pytest.mark.parametrize(("size", "count", "columns"), [(28, 5, 5), (28, 12, 7), (128, 5, 2), (512, 3, 1)])
def test_the_switches_figure_is_1600_pixels_wide_at_most(size: int, count: int, columns: int) -> None:
    model = Autoencoder(Architecture((12,), (4,)), (size, size, 1))
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 1), np.uint8)
    code, *switches = (np.asarray(each) for each in model.encoder(scale(images)))
    shown = View("many", images, Encoded(code, tuple(switches)), scale(images), 0.1)
    figure = switches_figure(model, shown)
    assert figure.get_figwidth() * PIXELS_AN_INCH <= 1600
    assert len(figure.axes) == 5 * columns
    title = " ".join(figure.get_suptitle().split())
    assert (f"of {count})" in title or "the first image" in title) == (columns < count)
    assert "filter" in figure.axes[columns].get_ylabel() and "of 12" in figure.axes[columns].get_ylabel()


def random_view(model: ServedAutoencoder, count: int) -> View:
    return view(model, np.random.default_rng(0).integers(0, 256, (count, *model.card.image_shape), np.uint8))


@pytest.mark.parametrize("name", sorted(path.parent.name for path in REFERENCE.glob("*/model_card.json")))
def test_no_figure_of_ten_images_is_wider_than_a_screen(name: str) -> None:
    model = ServedAutoencoder(REFERENCE / name)
    shown, keras_model = random_view(model, 10), load_keras_model(model)
    measured = Measurement(bytes=10.0, bits_per_pixel=1.0, psnr=20.0, ssim=0.5)
    figures = {
        "autoencoder": model_figure(shown),
        "errors": errors_figure(shown),
        "switches": switches_figure(keras_model, shown),
        "kernels": kernels_figure({shown.title: keras_model}),
        "comparison": comparison_figure([shown] * 9),
        "training_curve": training_curve([Epoch(0, 0.5), Epoch(1, 0.2)], 0.3),
        "rate_distortion": rate_distortion_figure({f"{name}_{n}": [measured] for n in range(9)}, "digits"),
    }
    for kind, figure in figures.items():
        assert figure.get_figwidth() * PIXELS_AN_INCH <= 1600, kind
        box = figure.get_tightbbox()
        assert box.x0 >= 0 and box.x1 <= figure.get_figwidth(), f"{kind}: text is cut off"
        assert min(text.get_fontsize() for text in figure.findobj(Text)) >= 8, kind


def test_columns_that_do_not_fit_continue_below(exported: Path) -> None:
    shown = random_view(ServedAutoencoder(exported), 10)
    figure = model_figure(shown)
    axes = np.array(figure.axes).reshape(3, 10)
    for row, label in zip(axes, ("original", "code", "reconstruction"), strict=True):
        assert [axis.get_ylabel() for axis in row] == [label, "", "", "", ""] * 2
    above, below = ([axis.get_position() for axis in part.flat] for part in (axes[:, :5], axes[:, 5:]))
    assert min(box.y0 for box in above) > max(box.y1 for box in below)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(above + below, 2))
    assert [axis.get_xlabel() for axis in axes[-1]] == [f"RMSE {rmse:.3f}" for rmse in shown.rmses]


MOST_COLUMNS = {3: 32, (1, 9): 30, 11: 31}
"""The most columns of kernels in a figure, by the size of the kernels."""


@pytest.mark.parametrize(
    ("filters", "channels", "rows_and_columns"),
    [
        # A layer that reads or draws a grey image has all its kernels in one row.
        ((5,), 1, [(1, 5), (1, 5)]),
        # A layer that reads or draws a colour image has a row for each colour, even if it has only one filter.
        ((1,), 3, [(3, 1), (3, 1)]),
        ((5,), 3, [(3, 5), (3, 5)]),
        ((4, 2), 3, [(3, 4), (4, 2), (4, 2), (3, 4)]),
        ((40, 33), 1, [(1, 40), (32, 33), (32, 33), (1, 40)]),
    ],
)
@pytest.mark.parametrize("kernel_size", [3, (1, 9), 11])
def test_kernels_are_arranged_sized_coloured_and_captioned(filters, channels, rows_and_columns, kernel_size) -> None:
    model = Autoencoder(Architecture(filters, (2,) * len(filters), kernel_size), (16, 16, channels))
    figure = kernels_figure({"tiny": model})
    assert figure.get_figwidth() * PIXELS_AN_INCH <= 1600
    figure.draw_without_rendering()
    *axes, bar = figure.axes
    kernels = np.asarray(model.get_layer("conv1").kernel)
    for axis, (rows, columns) in zip(axes, rows_and_columns, strict=True):
        columns = min(columns, MOST_COLUMNS[kernel_size])
        height, width = axis.images[0].get_array().shape[:2]
        shown = axis.get_window_extent()
        # One pixel of the picture is one pixel of the file.
        assert shown.width * PIXELS_AN_INCH / figure.dpi == pytest.approx(width, abs=0.01)
        assert shown.height * PIXELS_AN_INCH / figure.dpi == pytest.approx(height, abs=0.01)
        assert max(width / columns, height / rows) - 4 >= 40
    assert [label.get_text() for label in bar.get_xticklabels()] == ["negative", "0", "positive"]
    captions = {text.get_text().split(":")[0]: text.get_text() for text in figure.texts}
    largest = np.abs(kernels[..., : MOST_COLUMNS[kernel_size]]).max()
    assert captions["tiny, conv1"].startswith(f"tiny, conv1: largest weight {largest:.2f}")
    if filters == (40, 33):
        assert captions["tiny, conv1"].endswith(f"; {MOST_COLUMNS[kernel_size]} of 40 columns")
        assert captions["tiny, conv2"].endswith(f"; {MOST_COLUMNS[kernel_size]} of 33 columns; 32 of 40 rows")
    else:
        assert not any(" of " in caption for caption in captions.values())
    columns = min(rows_and_columns[0][1], MOST_COLUMNS[kernel_size])
    weight_pixels = (axes[0].images[0].get_array().shape[1] // columns - 4) // kernels.shape[1]
    first_kernel = axes[0].images[0].get_array()[2::weight_pixels, 2::weight_pixels]
    red, _, blue = np.moveaxis(first_kernel[: kernels.shape[0], : kernels.shape[1]], -1, 0)
    assert ((red > blue) == (kernels[..., 0, 0] > 0)).mean() > 0.9  # A weight near 0 is white: as much red as blue.


def test_errors_are_drawn_for_the_first_ten_images(exported: Path, digits: ImageDataset, tmp_path: Path) -> None:
    (file,) = visualize([ServedAutoencoder(exported)], digits.test[:12], tmp_path, ["errors"])
    ten = errors_figure(view(ServedAutoencoder(exported), digits.test[:10]))
    np.testing.assert_array_equal(read_picture(file), read_picture(save_figure(ten, tmp_path / "ten.png")))
