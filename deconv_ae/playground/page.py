"""The page itself: what its program answers. It keeps nothing of anybody: what is shown is in what was asked."""

import asyncio
import base64
import html
import socket
import string
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from deconv_ae.data.decoding import PictureError
from deconv_ae.playground.address import url
from deconv_ae.playground.cards import legend
from deconv_ae.playground.link import NAMES, State, one_of, read, shown, tampered, upload_text
from deconv_ae.playground.request_guard import RequestGuard, body
from deconv_ae.playground.server import serve
from deconv_ae.playground.tampering import (
    LARGEST_NOISE,
    LARGEST_SCALE,
    MOST_BITS,
    PRESETS,
    SEEDS,
    SWITCHES,
    Tampering,
)
from deconv_ae.playground.upload import CROPPED, FITS, receive
from deconv_ae.playground.view import View
from deconv_ae.saved_model.serving import ServedAutoencoder

HERE = Path(__file__).parent
KINDS = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "canvas.js": "text/javascript",
    "code.js": "text/javascript",
}
MOST_OF_A_REQUEST = 1_000_000
MOST_OF_AN_UPLOAD = 10_000_000
MOST_VALUES = 32
"""Of a query; a state has half as many."""
UPLOADS_AT_ONCE = 4
"""Of which the bytes are in memory; one is decoded at a time."""
ANSWERS_AT_ONCE = 2

SENTENCES = {
    404: "There is nothing of this name here: the page is at /.",
    405: "This is asked for in another way: the page at / does.",
}


class Playground:
    """A page for some models and the test images of their data set.

    Args:
        models: of one image shape, in grey or in colour.
        test_images: `(N, height, width, channels)` uint8.
        command: what started the page, for people to copy.

    Raises:
        InputError: if a model was made for images of another shape, or of neither 1 nor 3 channels, or is damaged.
    """

    def __init__(self, models: Sequence[ServedAutoencoder], test_images: np.ndarray, command: str) -> None:
        self.view = View(models, test_images)
        self.test_images = test_images
        self._html = _page(models, test_images, command)
        self._files = {name: (HERE / name).read_bytes() for name in KINDS}
        self._answers = asyncio.Semaphore(ANSWERS_AT_ONCE)
        self._uploads = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self._decoder = asyncio.Lock()

    def serve(
        self, listening: socket.socket, host: str, when_ready: Callable[[str], None], open_browser: bool = False
    ) -> None:
        """Serves the page until it is interrupted.

        Args:
            listening: `address.bound`'s, for the host.
            when_ready: is called with the page's address.
            open_browser: whether to show it in the system's browser.
        """
        port = listening.getsockname()[1]
        address = url(host, port)

        def ready() -> None:
            when_ready(address)
            if open_browser:
                webbrowser.open(address)

        serve(self.app(host, port), listening, ready)

    def app(self, host: str, port: int) -> Starlette:
        """The page as an ASGI application."""
        return Starlette(
            routes=[
                Route("/", self._get_page),
                Route("/{name}", self._get_file),
                Route("/show", self._show, methods=["POST"]),
                Route("/open", self._open, methods=["POST"]),
                Route("/upload", self._upload, methods=["POST"]),
            ],
            middleware=[Middleware(RequestGuard, host=host, port=port)],
            exception_handlers={HTTPException: _say, ClientDisconnect: _say_nothing},
        )

    async def _get_page(self, request: Request) -> Response:
        return HTMLResponse(self._html)

    async def _get_file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in KINDS:
            raise HTTPException(405 if name in ("show", "open", "upload") else 404)
        return Response(self._files[name], media_type=KINDS[name])

    async def _show(self, request: Request) -> Response:
        """What a state shows, which has to be one in all its parts."""
        query = _values(await body(request, MOST_OF_A_REQUEST))
        unknown = sorted(query.keys() - NAMES)
        if unknown:
            raise HTTPException(
                400, f"{shown(unknown[0])} is nothing that the page knows; it knows {', '.join(NAMES)}."
            )
        state, refused = self._read(query)
        if refused:
            raise HTTPException(400, "; ".join(refused.values()) + ".")
        return await self._answer(state)

    async def _open(self, request: Request) -> Response:
        """What a link shows, as far as it can be read; what cannot is named."""
        state, refused = self._read(_values(await body(request, MOST_OF_A_REQUEST)))
        names = ", ".join(refused)
        return await self._answer(state, names and f"The link's {names} could not be used and was left out.")

    async def _upload(self, request: Request) -> Response:
        """The picture in a request's body, as a link has it."""
        try:
            fit = one_of(_values(request.url.query.encode()).get("fit", CROPPED), FITS)
        except ValueError as error:
            raise HTTPException(400, f"fit: {error}.") from error
        async with self._uploads:
            content = await body(request, MOST_OF_AN_UPLOAD)
            async with self._decoder:
                try:
                    picture = await run_in_threadpool(receive, content, fit, self.test_images.shape[1:])
                except PictureError as error:
                    raise HTTPException(422, f"This file {error}.") from error
        return JSONResponse(upload_text(picture))

    def _read(self, query: dict[str, str]) -> tuple[State, dict[str, str]]:
        state, refused = read(query, self.test_images)
        fitting, missing = self.view.fitting(state)
        return fitting, refused | missing

    async def _answer(self, state: State, notice: str = "") -> Response:
        async with self._answers:
            answer = await run_in_threadpool(self._shown, state)
        return JSONResponse(answer | {"notice": notice})

    def _shown(self, asked: State) -> dict[str, Any]:
        shown = self.view.show(asked)
        state = shown.state
        tampering = state.tampering
        return {
            "query": state.query(),
            "values": {
                "image": state.image,
                "scale": tampering.scale,
                "noise": tampering.noise,
                "bits": tampering.bits,
                "dropped": tampering.dropped,
                "switches": tampering.switches,
                "seed": tampering.seed,
            },
            "pixels": base64.b64encode(np.ascontiguousarray(state.picture).tobytes()).decode(),
            "window": shown.window,
            "models": shown.models,
            "journey": shown.journey,
            "done": shown.done,
            "source": _source(state),
        }


def _source(state: State) -> str:
    """Where the picture comes from."""
    if state.image is not None:
        return f"This is test image {state.image}{'.' if state.drawn is None else ', drawn on.'}"
    return "Your own picture; the slider brings a test image."


def _values(query: bytes) -> dict[str, str]:
    """What a query says by name; HTTPException 400 if it is none."""
    try:
        pairs = parse_qsl(
            query.decode(), keep_blank_values=True, strict_parsing=bool(query), max_num_fields=MOST_VALUES
        )
    except ValueError as error:  # Also of bytes that are no UTF-8.
        raise HTTPException(400, "This is no query of names and values, such as image=3&bits=2.") from error
    return dict(pairs)


async def _say(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return PlainTextResponse(SENTENCES.get(error.status_code, error.detail) + "\n", error.status_code)


async def _say_nothing(request: Request, error: Exception) -> Response:
    """Whoever asked has left before the request was whole."""
    return Response(status_code=400)


def _page(models: Sequence[ServedAutoencoder], test_images: np.ndarray, command: str) -> str:
    count, height, width, channels = test_images.shape
    default = Tampering()
    controls = (
        _slider("scale", "Scale", LARGEST_SCALE, 0.05, default.scale),
        _slider("noise", "Noise", LARGEST_NOISE, 0.02, default.noise),
        _slider("bits", "Bits (0: all)", MOST_BITS, 1, default.bits),
        _slider("dropped", "Drop values", 1, 0.05, default.dropped),
    )
    template = string.Template((HERE / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        width=width,
        height=height,
        channels=channels,
        pen='<label id="pen">Pen <input type="color" value="#ffffff"></label>' if channels == 3 else "",
        image=_slider("image", "Test image", count - 1, 1, 0),
        fits=_choices("fit", FITS, CROPPED),
        controls="".join(controls),
        switches=_choices("switches", SWITCHES, default.switches),
        last_seed=SEEDS - 1,
        presets="".join(
            f'<button data-preset="{html.escape(urlencode(tampered(made)))}">{name}</button>'
            for name, made in PRESETS.items()
        ),
        legend=legend(models),
        most_upload=MOST_OF_AN_UPLOAD,
        command=html.escape(command),
    )


def _slider(name: str, label: str, largest: float, step: float, value: float) -> str:
    """A slider and a box, for one number."""
    limits = f'min="0" max="{largest:g}" step="{step:g}" value="{value:g}"{"" if largest else " disabled"}'
    return (
        f'<div class="control" id="{name}" data-name="{name}"><label for="{name}-range">{label}</label>'
        f'<input type="number" aria-label="{label}" aria-describedby="{name}-note" {limits}>'
        f'<input type="range" id="{name}-range" {limits}>'
        f'<small class="note" id="{name}-note" role="status"></small></div>'
    )


def _choices(name: str, choices: Sequence[str], chosen: str) -> str:
    return "".join(
        f'<label><input type="radio" name="{name}" value="{choice}"{" checked" if choice == chosen else ""}>'
        f"<span>{choice}</span></label>"
        for choice in choices
    )
