"""The page's changes to codes and switches, its links, HTML and uploads, and its program, all without a browser."""

import base64
import io
import math
import socket
from pathlib import Path
from urllib.parse import parse_qsl
from xml.etree import ElementTree

import numpy as np
import pytest
from faults.programs import SCRIPTS, run_program
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deconv_ae.data import Source, load_split
from deconv_ae.data.decoding import PictureError
from deconv_ae.errors import InputError
from deconv_ae.playground import drawings, link
from deconv_ae.playground.journey import LastPoolingInput, follow_value, journey_html, unpooling
from deconv_ae.playground.link import State
from deconv_ae.playground.model_run import most_telling_place, run_model
from deconv_ae.playground.tampering import PRESETS, SWITCHES, Tampering
from deconv_ae.playground.upload import FITS, receive
from deconv_ae.playground.view import Shown, View
from deconv_ae.saved_model.serving import Encoded, ServedAutoencoder
from deconv_ae.training.evaluation import thumbnail_rmse

REFERENCE = SCRIPTS.parent / "saved_models" / "reference"
MODEL = REFERENCE / "cmap1_pool4"
CODE = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 6.0]], np.float32).reshape(1, 2, 3, 1)
PLACES = np.array([[0, 1, 2], [3, 1, 2]], np.uint8).reshape(1, 2, 3, 1)
TEST_IMAGES = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 1), np.uint8)


@pytest.mark.parametrize(
    ("tampering", "code"),
    [
        (Tampering(), [0, 1, 2, 3, 4, 6]),
        (Tampering(scale=0.5), [0, 0.5, 1, 1.5, 2, 3]),
        (Tampering(scale=0), [0, 0, 0, 0, 0, 0]),
        (Tampering(bits=1), [0, 0, 0, 0, 6, 6]),
        (Tampering(bits=2), [0, 0, 2, 4, 4, 6]),
        (Tampering(scale=0, bits=3), [0, 0, 0, 0, 0, 0]),
        (Tampering(dropped=1), [0, 0, 0, 0, 0, 0]),
        (Tampering(erased=frozenset({(0, 1, 2, 0), (1, 0, 0, 0), (0, 9, 9, 9)})), [0, 1, 2, 3, 4, 0]),
    ],
    ids=str,
)
def test_a_code_is_scaled_quantized_and_erased(tampering: Tampering, code: list[float]) -> None:
    received = tampering.apply(Encoded(CODE, (PLACES,)), 0, [(2, 2)])
    np.testing.assert_allclose(received.code.ravel(), code, atol=1e-6)
    assert received.code.dtype == np.float32
    np.testing.assert_array_equal(received.switches[0], PLACES)


@pytest.mark.parametrize(("kind", "places"), [("kept", [0, 1, 2, 3, 1, 2]), ("centred", [4] * 6)])
def test_switches_are_kept_or_centred(kind: str, places: list[int]) -> None:
    received = Tampering(switches=kind).apply(Encoded(CODE, (PLACES,)), 0, [(3, 3)])
    assert received.switches[0].ravel().tolist() == places
    assert received.switches[0].dtype == np.uint8


def test_shuffling_follows_the_seed() -> None:
    encoded = Encoded(CODE, (np.arange(6, dtype=np.uint8).reshape(PLACES.shape),))
    first, same_seed, other_seed = (
        Tampering(switches="shuffled", seed=seed).apply(encoded, 0, [(3, 3)]).switches[0] for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, same_seed)
    assert sorted(first.ravel()) == sorted(other_seed.ravel()) == [0, 1, 2, 3, 4, 5]
    assert not np.array_equal(first, other_seed)
    assert not np.array_equal(first, encoded.switches[0])


def test_noise_scales_with_largest_value_and_keeps_maxima_nonnegative() -> None:
    code = np.full((1, 50, 50, 1), 4, np.float32)
    received = Tampering(noise=0.1).apply(Encoded(code, ()), 0, []).code
    assert np.std(received) == pytest.approx(0.4, rel=0.05)
    assert Tampering(noise=1).apply(Encoded(code, ()), 0, []).code.min() == 0


def test_dropping_half_of_the_values_follows_the_seed() -> None:
    code = np.arange(1, 61, dtype=np.float32).reshape(1, 5, 4, 3)
    first, same_seed, other_seed = (
        Tampering(dropped=0.5, seed=seed).apply(Encoded(code, ()), 0, []).code for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, same_seed)
    assert not np.array_equal(first, other_seed)
    assert np.count_nonzero(first) == 30
    np.testing.assert_array_equal(first[first > 0], code[first > 0])


@pytest.mark.parametrize(
    ("tampering", "text"),
    [
        (Tampering(seed=3), "nothing"),
        (Tampering(scale=0.5, noise=0.02), "code times 0.5; noise of 0.02 times the code's largest value"),
        (Tampering(bits=1, dropped=0.25), "code rounded to 1 bit; 25% of the code's values set to 0"),
        (
            Tampering(erased=frozenset({(0, 0, 0, 0), (1, 0, 0, 0)}), switches="centred"),
            "2 values erased, in every picture until put back; "
            "all switches centred (in a 2x2 window, at the upper left)",
        ),
        (PRESETS["Drop half of the values"], "50% of the code's values set to 0"),
    ],
    ids=str,
)
def test_changes_are_named(tampering: Tampering, text: str) -> None:
    assert str(tampering) == text


def test_changes_leave_the_encoders_arrays_unchanged() -> None:
    encoded = Encoded(CODE.copy(), (PLACES.copy(),))
    Tampering(erased=frozenset({(0, 1, 2, 0)}), switches="centred").apply(encoded, 0, [(3, 3)])
    np.testing.assert_array_equal(encoded.code, CODE)
    np.testing.assert_array_equal(encoded.switches[0], PLACES)


tamperings = st.builds(
    Tampering,
    scale=st.floats(0, 3),
    noise=st.floats(0, 1),
    bits=st.integers(0, 8),
    dropped=st.floats(0, 1),
    erased=st.frozensets(st.tuples(*[st.integers(0, 20)] * 4), max_size=5),
    switches=st.sampled_from(SWITCHES),
    moved=st.frozensets(st.tuples(*[st.integers(0, 20)] * 5), max_size=5),
    seed=st.integers(0, 999),
)


@given(
    tampering=tamperings,
    image=st.one_of(st.none(), st.integers(0, 19)),
    window=st.one_of(st.none(), st.tuples(*[st.integers(0, 20)] * 3, st.one_of(st.none(), st.integers(0, 20)))),
)
def test_a_link_restores_its_state(tampering: Tampering, image: int | None, window: link.Place | None) -> None:
    picture = np.full_like(TEST_IMAGES[0], 7) if image is None else TEST_IMAGES[image]
    query = State(picture, image, tampering, window).query()
    restored, refused = link.read(dict(parse_qsl(query)), TEST_IMAGES)
    assert (restored.image, restored.tampering, restored.window, refused) == (image, tampering, window, {})
    np.testing.assert_array_equal(restored.picture, picture)


# The drawing holds a bit for each pixel: 12.5 MB of zeros, which zlib packs into 12 kB.
BOMB = State(np.zeros((10_000, 10_000, 1), np.uint8), None, Tampering()).query().removeprefix("picture=")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("scale", "nan"),
        ("scale", "4"),
        ("scale", "much"),
        ("noise", "-0.1"),
        ("bits", "9"),
        ("bits", "1.5"),
        ("image", "20"),
        ("image", "-1"),
        ("switches", "stolen"),
        ("seed", "1000"),
        ("erased", "1-2-3"),
        ("erased", "<script>"),
        ("window", "1-2"),
        ("moved", "1-2-3-4"),
        ("moved", "1-2-3-4-x"),
        ("dropped", "1.01"),
        ("picture", "!!!"),
        ("picture", "eJwDAAAAAAE"),
        ("picture", BOMB),
    ],
    ids=lambda value: value[:12],
)
def test_unusable_value_in_a_link_is_left_out_and_named(name: str, text: str) -> None:
    restored, refused = link.read({name: text, "bits" if name != "bits" else "seed": "2"}, TEST_IMAGES)
    assert list(refused) == [name]
    assert refused[name].startswith(f"{name}: ")
    assert restored.image == 0
    assert (restored.tampering.bits, restored.tampering.seed) == ((0, 2) if name == "bits" else (2, 0))


# ------------------------------------------------------------------------------- HTML, pictures in links, uploads


@pytest.fixture(scope="module")
def grey() -> tuple[View, np.ndarray]:
    """Two models of digits, of one stage and of two stages, and a digit."""
    digits = load_split(Source("mnist_5k"), "test")
    return View([ServedAutoencoder(REFERENCE / name) for name in ("cmap1_pool4", "two_layer")], digits), digits[3]


@pytest.fixture(scope="module")
def colour() -> tuple[View, np.ndarray]:
    """A model of colour pictures with stages of 16 and 8 filters, and a picture."""
    rows, columns = np.mgrid[0:64, 0:64]
    picture = np.stack([rows * 4, columns * 4, 255 - rows * 2 - columns * 2], axis=-1).astype(np.uint8)
    return View([ServedAutoencoder(REFERENCE / "photos_16_8")], picture[None]), picture


@pytest.fixture(scope="module")
def averages() -> tuple[View, np.ndarray]:
    """A model with 12 channels of maxima and 20 of averages, and a picture."""
    rows, columns = np.mgrid[0:128, 0:128]
    picture = np.stack([rows * 2, columns * 2, 255 - rows - columns], axis=-1).astype(np.uint8)
    return View([ServedAutoencoder(REFERENCE / "photos_128")], picture[None]), picture


def parsed(shown: Shown) -> ElementTree.Element:
    """Parses the page's HTML as XML, which fails if an element is open or an attribute is not quoted."""
    return ElementTree.fromstring(f"<html>{shown.models}{shown.journey}</html>")


def frames(drawing: ElementTree.Element) -> list[tuple[float, ...]]:
    """x, y, width and height of the frames around followed windows in a drawing."""
    return [
        tuple(float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
        for rect in drawing.iter("rect")
        if rect.attrib["class"] == "followed"
    ]


@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_each_model_has_named_drawings(kind: str, request) -> None:
    view, picture = request.getfixturevalue(kind)
    page = parsed(view.show(State(picture, None, Tampering())))
    for model, card in zip(view.models, page.iter("section")):
        drawings = [figure.find("svg") for figure in card.iter("figure")]
        stages = len(model.card.architecture.pool_sizes)
        assert len(drawings) == stages + 3
        rmse = card.find(".//b").text
        for drawing in drawings:
            assert drawing.attrib["aria-label"].startswith(f"{model.name}: ")
        for drawing in drawings[:-1]:  # The last is the thumbnail, which has an RMSE of its own.
            assert drawing.attrib["aria-label"].endswith(f", RMSE {rmse}")
    assert all("aria-label" in drawing.attrib for drawing in page.iter("svg"))


def test_an_average_is_followed_without_a_switch(averages) -> None:
    view, picture = averages
    page = parsed(view.show(State(picture, None, Tampering(), (0, 2, 3, 12))))
    assert "channel 13" in page.find(".//p[@role='status']").text
    assert page.find(".//input[@data-move]") is None
    assert page.find(".//button[@data-erase]").attrib["data-erase"] == "0-2-3-12"
    # If the state names no window, the page follows a maximum, which has a switch.
    assert parsed(view.show(State(picture, None, Tampering()))).find(".//input[@data-move]") is not None


def test_average_can_be_erased_and_has_no_switch(averages) -> None:
    view, picture = averages
    state = State(picture, None, Tampering(erased=frozenset({(0, 2, 3, 31)}), moved=frozenset({(0, 2, 3, 12, 0)})))
    state, refused = view.without_unknown_places(state)
    assert list(refused) == ["moved"]
    # A card shows the untouched RMSE only if the changes to code and switches changed the RMSE.
    assert "untouched" in view.show(state).models


def test_noise_does_not_clip_negative_averages() -> None:
    code = np.float32([[[[2.0, -4.0]]]])
    received = Tampering(noise=1e-3).apply(Encoded(code, (np.zeros((1, 1, 1, 1), np.uint8),)), 0, [(2, 2)])
    assert received.code[..., 1] == pytest.approx(-4, abs=0.1)
    assert received.code[..., 0] >= 0


def test_the_followed_window_is_framed(grey) -> None:
    view, picture = grey
    page = parsed(view.show(State(picture, None, Tampering(), window=(1, 2, 3, 0))))
    other_card, card, _ = page.iter("section")
    assert frames(other_card) == []
    switches_1, switches_2, code, reconstruction, _ = (figure.find("svg") for figure in card.iter("figure"))
    assert frames(switches_1) == []
    assert frames(switches_2) == [(6, 4, 2, 2)]
    assert frames(code) == [(3, 2, 1, 1)]
    assert frames(reconstruction) == [(12, 8, 4, 4)]


def test_channels_are_tiles_in_code_and_switches(colour) -> None:
    view, picture = colour
    page = parsed(view.show(State(picture, None, Tampering(), window=(0, 1, 2, 4))))
    switches_1, switches_2, code, reconstruction, _ = (
        figure.find("svg") for figure in next(page.iter("section")).iter("figure")
    )
    assert switches_1.attrib["viewBox"] == "0 0 131 131"  # 4 x 4 tiles of 32, a pixel apart.
    assert code.attrib["viewBox"] == switches_2.attrib["viewBox"] == "0 0 50 50"
    assert frames(code) == frames(switches_2) == [(17 + 2, 17 + 1, 1, 1)]
    assert frames(reconstruction) == [(8, 4, 4, 4)]


@pytest.mark.parametrize("pool_size", [(2, 2), (4, 4), (1, 1), (3, 1), (2, 3), (16, 16)], ids=str)
def test_most_places_of_a_window_have_their_own_colour(pool_size: tuple[int, int]) -> None:
    colours = drawings.place_colours(pool_size)
    assert colours.dtype == np.uint8
    assert len(colours) == math.prod(pool_size)
    assert len(np.unique(colours, axis=0)) >= 0.85 * len(colours)


def test_a_black_picture_has_no_rmse(grey) -> None:
    view, picture = grey
    black = view.show(State(np.zeros_like(picture), None, Tampering()))
    assert "0.000" not in black.models
    assert "7x7: <span class='unit'>RMSE</span> <b>-</b>" in black.models
    assert [card.find(".//b").text for card in parsed(black).iter("section")][:2] == ["-", "-"]
    assert "RMSE -" not in view.show(State(picture, None, Tampering())).models


@pytest.mark.parametrize("kind", ["grey", "colour", "averages"])
def test_the_thumbnail_has_nearly_as_many_numbers_as_the_code(kind: str, request) -> None:
    view, picture = request.getfixturevalue(kind)
    for number, model in enumerate(view.models):
        thumbnail = run_model(model, number, picture, Tampering()).thumbnail
        values = model.card.size_per_image.code_values
        assert 0.8 * values < math.prod(thumbnail.size) * picture.shape[-1] <= values
        assert thumbnail.enlarged.shape == picture.shape
        # evaluate.py takes the RMSE of thumbnails from `thumbnail_rmse`.
        assert thumbnail.rmse == pytest.approx(thumbnail_rmse(picture[None], values), rel=1e-5)
        (caption,) = [
            "".join(figure.find("figcaption").itertext()).replace("\u00ad", "")
            for figure in parsed(view.show(State(picture, None, Tampering()))).iter("figure")
            if figure.attrib.get("class") == "thumbnail"
            and f"{model.name}: " in figure.find("svg").attrib["aria-label"]
        ]
        height, width = thumbnail.size
        assert caption == f"thumbnail {height}x{width}: RMSE {thumbnail.rmse:.3f}"


def test_unpooling_has_every_window_of_one_channel(grey, averages) -> None:
    view, picture = grey
    model = view.models[1]
    run = run_model(model, 1, picture, Tampering(scale=0.5))
    data = unpooling(model, run, 0)
    assert (data["title"], data["windows"], list(data["pool"])) == ("two_layer", [7, 7], [2, 2])
    np.testing.assert_allclose(data["values"], run.received.code[0, ..., 0].ravel(), atol=0.005)
    assert data["places"] == run.received.switches[-1][0, ..., 0].ravel().tolist()
    view, picture = averages
    assert view.show(State(picture, None, Tampering(), (0, 2, 3, 11))).unpooling["title"] == "photos_128, channel 12"
    assert view.show(State(picture, None, Tampering(), (0, 2, 3, 12))).unpooling is None


def test_a_moved_switch_belongs_to_the_last_pooling(grey) -> None:
    view, picture = grey
    tampering = Tampering(moved=frozenset({(1, 2, 3, 0, 2)}))
    for number, model in enumerate(view.models):
        run = run_model(model, number, picture, tampering)
        changed = [sent != received for sent, received in zip(run.sent.switches, run.received.switches)]
        assert all(not pooling.any() for pooling in changed[:-1])
        changed_elsewhere = changed[-1].copy()
        changed_elsewhere[0, 2, 3, 0] = False
        assert not changed_elsewhere.any()
        if number == 1:
            assert changed[-1][0, 2, 3, 0]
            assert run.received.switches[-1][0, 2, 3, 0] == 2
    _, refused = view.without_unknown_places(State(picture, None, Tampering(moved=frozenset({(1, 2, 3, 0, 4)}))))
    assert list(refused) == ["moved"]


def test_the_link_of_a_drawing_on_a_photograph_is_short(colour) -> None:
    _, picture = colour
    photographs = np.stack([np.random.default_rng(0).integers(0, 256, picture.shape, np.uint8), picture])
    drawn = photographs[0].copy()
    drawn[8:56, 30:36] = (255, 200, 0)  # The XOR of `drawn` and its background would take 1,150 characters.
    state = State(drawn, 0, Tampering(), background=photographs[0])
    query = state.query()
    assert len(query) < 500
    restored, refused = link.read(dict(parse_qsl(query)), photographs)
    assert (restored.image, refused) == (0, {})
    np.testing.assert_array_equal(restored.picture, drawn)
    assert restored.query() == query


def test_the_link_of_an_uploaded_photograph_is_short(colour) -> None:
    _, picture = colour
    noisy = np.clip(picture + np.random.default_rng(0).normal(0, 12, picture.shape), 0, 255).astype(np.uint8)
    uploaded = link.upload_values(noisy)
    assert list(uploaded) == ["upload"]
    assert len(uploaded["upload"]) < 4000
    state, refused = link.read(uploaded, picture[None])
    assert refused == {}
    assert np.abs(state.picture.astype(int) - noisy).mean() < 16
    drawn = state.picture.copy()
    drawn[3:9, 3:9] = 255
    pixels = base64.b64encode(drawn.tobytes()).decode()
    drawn_state, _ = link.read({**uploaded, "pixels": pixels}, picture[None])
    restored, _ = link.read(dict(parse_qsl(drawn_state.query())), picture[None])
    np.testing.assert_array_equal(restored.picture, drawn)
    assert len(drawn_state.query()) < len(uploaded["upload"]) + 400


def test_a_link_holds_an_uploaded_digit_exactly() -> None:
    digit = load_split(Source("mnist_5k"), "test")[3]
    state, _ = link.read(link.upload_values(digit), digit[None])
    np.testing.assert_array_equal(state.picture, digit)


@pytest.mark.parametrize("text", ["", "AAAA", "!!!", "eNpjYBgFo2AUwAAAAxAAAQ", "UklGRg"], ids=repr)
def test_an_invalid_upload_in_a_link_is_refused(text: str) -> None:
    _, refused = link.read({"upload": text}, TEST_IMAGES)
    assert list(refused) == ["upload"]


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("tampering", [Tampering(), Tampering(scale=0.5, switches="centred")], ids=str)
def test_journey_leads_from_pixels_to_the_placed_value(grey, number: int, tampering: Tampering) -> None:
    view, picture = grey
    model = view.models[number]
    run = run_model(model, number, picture, tampering)
    features = LastPoolingInput(model)(picture)
    row, column, _ = place = most_telling_place(model, run)
    journey = follow_value(model, run, features, place)
    np.testing.assert_array_equal(journey.pixels, picture[4 * row : 4 * row + 4, 4 * column : 4 * column + 4])
    value, unpooled = journey.sent_value, journey.unpooled
    assert value > 0
    assert unpooled.pooling_input.max() == pytest.approx(value, rel=1e-5)
    assert unpooled.pooling_input.argmax() == unpooled.sent_switch
    assert np.flatnonzero(unpooled.restored).tolist() == [unpooled.received_switch]
    assert unpooled.restored.max() == pytest.approx(tampering.scale * value)
    shown = ElementTree.fromstring(journey_html(model, number, run, journey, False))
    text = " ".join("".join(shown.itertext()).split())
    assert f"row {row + 1}, column {column + 1}: {value:.2f}" in text
    assert ("back in its place" in text) == (tampering == Tampering())


def test_a_black_picture_has_a_journey(grey) -> None:
    view, picture = grey
    assert "One window" in view.show(State(np.zeros_like(picture), None, Tampering())).journey


def test_a_window_without_a_channel_gets_the_strongest_channel(colour) -> None:
    view, picture = colour
    shown = view.show(State(picture, None, Tampering(), window=(0, 3, 4, None)))
    strongest = view.models[0].encode(picture[None]).code[0, 3, 4].argmax()
    assert shown.window == shown.state.window == (0, 3, 4, strongest)


def test_places_that_no_model_has_are_left_out_and_named(grey) -> None:
    view, picture = grey
    erased = frozenset({(0, 6, 6, 0), (0, 7, 0, 0), (2, 0, 0, 0)})
    state, refused = view.without_unknown_places(State(picture, None, Tampering(erased=erased), window=(0, 0, 0, 1)))
    assert (state.tampering.erased, state.window) == (frozenset({(0, 6, 6, 0)}), None)
    assert list(refused) == ["erased", "window"]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_an_upload_is_cropped_or_shown_whole(mode: str) -> None:
    colour = {"L": 200, "RGB": (200, 100, 0), "RGBA": (200, 100, 0, 255)}[mode]
    file = io.BytesIO()
    Image.new(mode, (1200, 600), colour).save(file, "PNG")
    shape = (8, 8, 1 if mode == "L" else 3)
    cropped, whole = (receive(file.getvalue(), fit, shape) for fit in FITS)
    assert cropped.shape == whole.shape == shape
    assert (cropped[..., 0] == 200).all()
    assert (whole[..., 0] == 200).sum(axis=0).tolist() == [4] * 8


@pytest.mark.parametrize("side", [1200, 60])
def test_jpeg_of_any_size_is_upright_and_keeps_colours(side: int) -> None:
    halves = Image.new("RGB", (side, side), (255, 0, 0))
    halves.paste((0, 0, 255), (0, 0, side, side // 2))
    exif = Image.Exif()
    exif[274] = 3  # Upside down.
    file = io.BytesIO()
    halves.save(file, "JPEG", exif=exif)
    picture = receive(file.getvalue(), "cropped", (4, 4, 3))
    np.testing.assert_allclose(picture[0, 0], (255, 0, 0), atol=8)
    np.testing.assert_allclose(picture[3, 3], (0, 0, 255), atol=8)


def test_an_icon_is_refused() -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "ICO")
    with pytest.raises(PictureError, match="is an icon"):
        receive(file.getvalue(), "cropped", (8, 8, 3))


# ------------------------------------------------------------------------------- The program


def run_refused(arguments: list[str], directory: Path, status: int = 2) -> str:
    """Runs the program with arguments that it must refuse, and returns its line of error."""
    with socket.create_server(("127.0.0.1", 0)) as free:  # A page may be running at the default port.
        port = free.getsockname()[1]
    finished = run_program("playground.py", [f"--port={port}", *arguments], directory)
    assert finished.status == status, finished.stderr
    assert len(finished.error_lines) == 1, finished.stderr
    return finished.stderr


def test_bad_input_gives_one_line(tmp_path: Path) -> None:
    assert "nowhere does not exist" in run_refused(["--model=nowhere"], tmp_path)
    assert "port" in run_refused([f"--model={MODEL}", "--port=99999"], tmp_path)
    (tmp_path / "pictures").mkdir()
    assert "pictures is empty" in run_refused([f"--model={MODEL}", "--dataset=folder:pictures"], tmp_path)


def test_a_port_in_use_gives_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = run_refused([f"--model={MODEL}", "--dataset=mnist_5k", f"--port={port}"], tmp_path, status=1)
    assert f"127.0.0.1:{port} cannot be used" in message


def test_images_that_the_model_does_not_take_are_refused() -> None:
    pytest.importorskip("starlette")
    from deconv_ae.playground.page import Playground

    models = [ServedAutoencoder(MODEL)]
    assert Playground(models, np.zeros((3, 28, 28, 1), np.uint8), "").view.models == models
    with pytest.raises(InputError, match="made for 28x28x1"):
        Playground(models, np.zeros((3, 32, 32, 3), np.uint8), "")


def test_without_starlette_the_message_names_the_extra(tmp_path: Path) -> None:
    program = tmp_path / "without_starlette.py"
    playground = str(SCRIPTS / "playground.py")
    program.write_text(
        f"import runpy, sys; sys.modules['starlette'] = None; runpy.run_path({playground!r}, run_name='__main__')"
    )
    finished = run_program(str(program), [f"--model={MODEL}"], tmp_path)
    assert finished.status == 2
    assert len(finished.error_lines) == 1
    assert "pip install 'deconv_ae[playground]'" in finished.stderr
