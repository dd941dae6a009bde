"""What the page does to codes and switches, and what its links hold: no page, no browser."""

import socket
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pytest
from faults.programs import SCRIPTS, run_program
from hypothesis import given
from hypothesis import strategies as st

from deconv_ae.errors import InputError
from deconv_ae.playground import link
from deconv_ae.playground.link import State
from deconv_ae.playground.tampering import SWITCHES, Tampering
from deconv_ae.saved_model.serving import Encoded, ServedAutoencoder

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


def test_shuffling_moves_switches_and_the_seed_says_where_to() -> None:
    encoded = Encoded(CODE, (np.arange(6, dtype=np.uint8).reshape(PLACES.shape),))
    first, again, other = (
        Tampering(switches="shuffled", seed=seed).apply(encoded, 0, [(3, 3)]).switches[0] for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert sorted(first.ravel()) == sorted(other.ravel()) == [0, 1, 2, 3, 4, 5]
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, encoded.switches[0])


def test_noise_is_in_proportion_to_the_code_and_leaves_nothing_below_zero() -> None:
    code = np.full((1, 50, 50, 1), 4, np.float32)
    received = Tampering(noise=0.1).apply(Encoded(code, ()), 0, []).code
    assert np.std(received) == pytest.approx(0.4, rel=0.05)
    assert Tampering(noise=1).apply(Encoded(code, ()), 0, []).code.min() == 0


def test_what_the_encoder_sent_is_left_as_it_was() -> None:
    encoded = Encoded(CODE.copy(), (PLACES.copy(),))
    Tampering(erased=frozenset({(0, 1, 2, 0)}), switches="centred").apply(encoded, 0, [(3, 3)])
    np.testing.assert_array_equal(encoded.code, CODE)
    np.testing.assert_array_equal(encoded.switches[0], PLACES)


tamperings = st.builds(
    Tampering,
    scale=st.floats(0, 3),
    noise=st.floats(0, 1),
    bits=st.integers(0, 8),
    erased=st.frozensets(st.tuples(*[st.integers(0, 20)] * 4), max_size=5),
    switches=st.sampled_from(SWITCHES),
    seed=st.integers(0, 999),
)


@given(tampering=tamperings, image=st.one_of(st.none(), st.integers(0, 19)))
def test_a_link_restores_what_it_was_made_from(tampering: Tampering, image: int | None) -> None:
    picture = np.full_like(TEST_IMAGES[0], 7) if image is None else TEST_IMAGES[image]
    query = State(picture, image, tampering).query()
    restored, ignored = link.read(dict(parse_qsl(query)), TEST_IMAGES)
    assert (restored.image, restored.tampering, ignored) == (image, tampering, [])
    np.testing.assert_array_equal(restored.picture, picture)


# Zlib packs 100 MB of zeros into 97 kB.
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
        ("picture", "!!!"),
        ("picture", "eJwDAAAAAAE"),
        ("picture", BOMB),
    ],
    ids=lambda value: value[:12],
)
def test_what_a_link_cannot_mean_is_left_out_and_named(name: str, text: str) -> None:
    restored, ignored = link.read({name: text, "bits" if name != "bits" else "seed": "2"}, TEST_IMAGES)
    assert ignored == [name]
    assert restored.image == 0
    assert (restored.tampering.bits, restored.tampering.seed) == ((0, 2) if name == "bits" else (2, 0))


# ------------------------------------------------------------------------------- The program


def refused(arguments: list[str], directory: Path, status: int = 2) -> str:
    finished = run_program("playground.py", arguments, directory)
    assert finished.status == status, finished.stderr
    assert len(finished.error_lines) == 1, finished.stderr
    return finished.stderr


def test_bad_input_is_one_line(exported: Path, tmp_path: Path) -> None:
    assert "nowhere does not exist" in refused(["--model=nowhere"], tmp_path)
    assert "port" in refused([f"--model={exported}", "--port=99999"], tmp_path)
    (tmp_path / "pictures").mkdir()
    assert "pictures is empty" in refused([f"--model={exported}", "--dataset=folder:pictures"], tmp_path)


def test_a_port_that_is_taken_is_one_line(exported: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = refused([f"--model={exported}", "--dataset=mnist_5k", f"--port={port}"], tmp_path, status=1)
    assert f"127.0.0.1:{port} cannot be listened at" in message


def test_models_of_different_sizes_do_not_share_a_page(exported: Path) -> None:
    pytest.importorskip("gradio")
    from deconv_ae.playground.page import Playground

    models = [ServedAutoencoder(exported)]
    assert Playground(models, np.zeros((3, 28, 28, 1), np.uint8), "").models == models
    with pytest.raises(InputError, match="made for 28x28x1"):
        Playground(models, np.zeros((3, 32, 32, 3), np.uint8), "")


def test_without_gradio_it_says_what_to_install(exported: Path, tmp_path: Path) -> None:
    program = tmp_path / "without_gradio.py"
    playground = str(SCRIPTS / "playground.py")
    program.write_text(
        f"import runpy, sys; sys.modules['gradio'] = None; runpy.run_path({playground!r}, run_name='__main__')"
    )
    finished = run_program(str(program), [f"--model={exported}"], tmp_path)
    assert finished.status == 2
    assert len(finished.error_lines) == 1
    assert "pip install 'deconv_ae[playground]'" in finished.stderr
