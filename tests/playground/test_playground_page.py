"""The page, used in a real browser as people use it."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from faults.programs import SCRIPTS
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")

# Chromium's own talk with its maker's hosts is no request of the page's.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START_SECONDS = 90
REPLY_MILLISECONDS = 200
CLICKS = 1000

# Moves a slider and waits until the models' cards show its effect.
MOVE = """async ([selector, value]) => {
  const start = performance.now();
  const changed = new Promise((done) =>
    new MutationObserver((_, observer) => { observer.disconnect(); done(performance.now() - start); })
      .observe(document.querySelector("#models"), {subtree: true, childList: true, attributes: true}));
  const slider = document.querySelector(`${selector} input[type=range]`);
  slider.value = value;
  slider.dispatchEvent(new Event("input", {bubbles: true}));
  return await changed;
}"""

# Clicks on pixels of the first model's code, on the ways to treat switches and on the buttons, again and again.
CLICK = """async (count) => {
  for (let index = 0; index < count; index++) {
    const code = document.querySelector("figure.code svg"), box = code.getBoundingClientRect();
    const place = {clientX: box.left + (index * 7) % box.width, clientY: box.top + (index * 3) % box.height};
    const choices = [...document.querySelectorAll("#switches input"), document.querySelector("#restore")];
    if (index % 2) code.dispatchEvent(new MouseEvent("click", {bubbles: true, ...place}));
    else choices[(index / 2) % choices.length].click();
    await new Promise((done) => setTimeout(done, 4));
  }
}"""


@pytest.fixture(scope="module")
def address(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The program, serving two models."""
    folder = tmp_path_factory.mktemp("playground")
    shutil.copytree(exported, folder / "second_model")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    models = [f"--model={exported}", f"--model={folder / 'second_model'}"]
    command = [sys.executable, str(SCRIPTS / "playground.py"), *models, f"--port={port}"]
    environment = os.environ | {"GRADIO_TEMP_DIR": str(folder / "uploads")}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
    try:
        deadline = time.monotonic() + START_SECONDS
        while f"open http://127.0.0.1:{port}" not in (folder / "log").read_text():
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
        assert process.poll() is None
        assert "Traceback" not in (folder / "log").read_text()
        assert not list((folder / "uploads").rglob("*.png")), "uploads are not kept"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def new_page(browser, address: str):
    """A function that opens the page as a new user; everything that any of them requests has to be on this host."""
    contexts, requests, errors = [], [], []

    def open_page(query: str = "", width: int = 1280, height: int = 900):
        contexts.append(browser.new_context(viewport={"width": width, "height": height}))
        page = contexts[-1].new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{address}/{query}")
        page.wait_for_function("document.querySelector('#link textarea, #link input')?.value")
        page.wait_for_selector(".card")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
    assert requests
    assert {urlsplit(url).hostname for url in requests if not url.startswith(("data:", "blob:"))} == {"127.0.0.1"}


def rmse(page, model: int = 0) -> float:
    return float(page.locator(".rmse b").nth(model).inner_text())


def link(page) -> str:
    return page.locator("#link").locator("textarea, input").first.input_value()


def wait_for_link(page, part: str, present: bool = True) -> None:
    script = """([part, present]) =>
      document.querySelector("#link textarea, #link input").value.includes(part) === present"""
    page.wait_for_function(script, arg=[part, present])


def erase_code_pixel(page, row: int, column: int) -> None:
    svg = page.locator("figure.code svg").first
    box = svg.bounding_box()
    svg.click(position={"x": (column + 0.5) * box["width"] / 7, "y": (row + 0.5) * box["height"] / 7})


def draw_a_seven(page) -> None:
    box = page.locator("#picture canvas").bounding_box()
    corners = [
        (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in ((0.3, 0.2), (0.7, 0.2), (0.5, 0.8))
    ]
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*corner, steps=8)
    page.mouse.up()


def test_one_draws_a_digit_and_sees_code_switches_reconstruction_and_rmse(new_page, tmp_path: Path) -> None:
    page = new_page()
    assert [card.inner_text() for card in page.locator(".card h3").all()] == ["cmap1_pool4", "second_model"]
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function("document.querySelector('.rmse b').innerText === '0.000'")
    draw_a_seven(page)
    page.wait_for_function("Number(document.querySelector('.rmse b').innerText) > 0.05")
    card = page.locator(".card").first
    assert card.locator("figcaption").all_inner_texts() == ["picture", "code", "switches", "reconstruction"]
    # A point in every window: bright ones and, where the code is 0, faint ones.
    # All read at once: the page may still be drawing answers to the last strokes.
    points = card.evaluate("card => [...card.querySelectorAll('path.point')].map(p => p.getAttribute('d')).join('')")
    assert points.count("M") == 49
    assert "code 1,568 + switches 196 bits, 28% of the original's 6,272" in card.locator("footer").inner_text()
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert Image.open(tmp_path / "page.png").width == 1280


def test_the_reconstruction_follows_a_slider_at_once(new_page) -> None:
    page = new_page("?image=5")
    before = rmse(page)
    times = [page.evaluate(MOVE, ["#scale", str(2 - index / 10)]) for index in range(20)]
    assert np.median(times) < REPLY_MILLISECONDS
    page.evaluate(MOVE, ["#scale", "0"])
    wait_for_link(page, "scale=0")
    assert rmse(page) > before
    page.get_by_role("button", name="Leave code and switches alone").click()
    wait_for_link(page, "scale", present=False)
    assert rmse(page) == before


def test_a_link_shows_others_the_same(new_page) -> None:
    page = new_page()
    page.get_by_role("button", name="Clear").click()
    draw_a_seven(page)
    wait_for_link(page, "picture=")
    for choice in ("centred", "shuffled"):
        page.get_by_role("radio", name=choice).click()
        wait_for_link(page, f"switches={choice}")
    page.evaluate(MOVE, ["#bits", "2"])
    wait_for_link(page, "bits=2")
    erase_code_pixel(page, 3, 4)
    wait_for_link(page, "erased=0-3-4-0")
    assert page.locator("path.erased").first.get_attribute("d") != ""
    other = new_page(link(page).split("/")[-1])
    wait_for_link(other, "erased=0-3-4-0")
    assert link(other) == link(page)
    for part in (".rmse", ".tiles svg", "footer .bar"):
        shown, expected = (
            p.locator(f".card {part}").evaluate_all("all => all.map(e => e.innerHTML)") for p in (other, page)
        )
        assert shown == expected
    erase_code_pixel(other, 3, 4)
    wait_for_link(other, "erased", present=False)


def test_a_link_that_makes_no_sense_is_shown_without_that(new_page) -> None:
    page = new_page("?image=3&bits=99&picture=%3Cscript%3E")
    assert "bits, picture could not be used" in page.get_by_test_id("toast-body").first.inner_text()
    wait_for_link(page, "image=3")


def test_uploads_are_pictures_of_up_to_5_mb(new_page, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "fake.png").write_text("no picture")
    Image.new("RGB", (60, 90), (250, 250, 250)).save(tmp_path / "white.png")
    page = new_page()
    before = page.locator(".cards").inner_html()
    for name, message in (
        ("large.png", "exceed the maximum allowed size of 5"),
        ("notes.txt", "Invalid file type"),
        ("fake.png", "no picture that can be read"),
    ):
        page.locator("#sources input[type=file]").set_input_files(tmp_path / name)
        page.get_by_text(message).first.wait_for()
        assert page.locator(".cards").inner_html() == before
    page.locator("#sources input[type=file]").set_input_files(tmp_path / "white.png")
    wait_for_link(page, "picture=")
    assert page.locator(".cards").inner_html() != before


@pytest.mark.long
def test_it_survives_a_thousand_clicks_by_two_users_at_once(new_page) -> None:
    pages = [new_page("?image=1"), new_page("?image=2")]
    for _ in range(5):
        for page in pages:
            # Started, not awaited: both users click at the same time.
            page.evaluate(f"() => {{ window.clicking = ({CLICK})({CLICKS // 10}); }}")
        for page in pages:
            page.evaluate("window.clicking")
    expected = [rmse(new_page(f"?image={image}")) for image in (1, 2)]
    for number, page in enumerate(pages, start=1):
        page.get_by_role("button", name="Leave code and switches alone").click()
        for part in ("erased", "switches"):
            wait_for_link(page, part, present=False)
        wait_for_link(page, f"image={number}")
    assert [rmse(page) for page in pages] == expected


def test_on_a_phone_nothing_is_cut_off(new_page) -> None:
    page = new_page(width=390, height=844)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    tops = {name: page.locator(name).bounding_box()["y"] for name in ("#picture", "#models", "#scale", "#link")}
    assert list(tops) == sorted(tops, key=tops.__getitem__)
