"""Answers the page's requests. The server keeps no state of a page: a request to show a state holds all of it."""

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
from deconv_ae.playground.link import NAMES, State, parse_choice, quoted, read, tampering_values, upload_values
from deconv_ae.playground.request_guard import RequestGuard, read_body
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
MEDIA_TYPES = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "canvas.js": "text/javascript",
    "code.js": "text/javascript",
    "unpooling.js": "text/javascript",
}
LARGEST_REQUEST, LARGEST_UPLOAD = 1_000_000, 10_000_000
"""In bytes."""
MOST_VALUES = 32
"""The most names with values in a query; a state has at most half as many."""
UPLOADS_AT_ONCE = 4
"""The most uploads whose bytes are in memory at once. Only one of them is decoded at a time."""
ANSWERS_AT_ONCE = 2

SENTENCES = {
    404: "There is nothing at this address: the page is at /.",
    405: "This address does not take this method: use the page at /.",
}


class Playground:
    """A page that shows models and the test images of their data set.

    Args:
        models: models of one image shape, grey or colour.
        test_images: `(N, height, width, channels)` uint8.
        command: the command that started the page, for people to copy.

    Raises:
        InputError: if a model does not take the test images, if they have neither 1 nor 3 channels, or if the Keras
            model beside a SavedModel is missing or damaged.
    """

    def __init__(self, models: Sequence[ServedAutoencoder], test_images: np.ndarray, command: str) -> None:
        self.view = View(models, test_images)
        self.test_images = test_images
        self._html = _page_html(models, test_images, command)
        self._files = {name: (HERE / name).read_bytes() for name in MEDIA_TYPES}
        self._answer_slots = asyncio.Semaphore(ANSWERS_AT_ONCE)
        self._upload_slots = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self._decoding_lock = asyncio.Lock()

    def serve(
        self, bound_socket: socket.socket, host: str, when_ready: Callable[[str], None], open_browser: bool = False
    ) -> None:
        """Serves the page until Ctrl-C or SIGTERM.

        Args:
            bound_socket: the socket from `address.bind_socket`.
            host: the host that `address.bind_socket` was given.
            when_ready: called with the page's address as soon as requests are answered.
            open_browser: whether to open the page in the system's browser.
        """
        port = bound_socket.getsockname()[1]
        address = url(host, port)

        def announce() -> None:
            when_ready(address)
            if open_browser:
                webbrowser.open(address)

        serve(self.app(host, port), bound_socket, announce)

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
            exception_handlers={HTTPException: _answer_http_error, ClientDisconnect: _answer_disconnect},
        )

    async def _get_page(self, request: Request) -> Response:
        return HTMLResponse(self._html)

    async def _get_file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in MEDIA_TYPES:
            raise HTTPException(405 if name in ("show", "open", "upload") else 404)
        return Response(self._files[name], media_type=MEDIA_TYPES[name])

    async def _show(self, request: Request) -> Response:
        """Shows a state. If any value cannot be used, the whole request is refused."""
        query = _values(await read_body(request, LARGEST_REQUEST))
        unknown = sorted(query.keys() - NAMES)
        if unknown:
            raise HTTPException(400, f"{quoted(unknown[0])} is an unknown name; the page knows {', '.join(NAMES)}.")
        state, refused = self._read(query)
        if refused:
            raise HTTPException(400, "; ".join(refused.values()) + ".")
        return await self._answer(state)

    async def _open(self, request: Request) -> Response:
        """Shows a link without its unusable values. The answer names these values."""
        state, refused = self._read(_values(await read_body(request, LARGEST_REQUEST)))
        names = ", ".join(refused)
        return await self._answer(state, names and f"This page shows the link without these unusable values: {names}.")

    async def _upload(self, request: Request) -> Response:
        """Turns an uploaded picture into a name and a value of a link."""
        try:
            fit = parse_choice(_values(request.url.query.encode()).get("fit", CROPPED), FITS)
        except ValueError as error:
            raise HTTPException(400, f"fit: {error}.") from error
        async with self._upload_slots:
            content = await read_body(request, LARGEST_UPLOAD)
            async with self._decoding_lock:
                try:
                    picture = await run_in_threadpool(receive, content, fit, self.test_images.shape[1:])
                except PictureError as error:
                    raise HTTPException(422, f"This file {error}.") from error
        return JSONResponse(upload_values(picture))

    def _read(self, query: dict[str, str]) -> tuple[State, dict[str, str]]:
        state, refused = read(query, self.test_images)
        state, refused_by_models = self.view.without_unknown_places(state)
        return state, refused | refused_by_models

    async def _answer(self, state: State, notice: str = "") -> Response:
        async with self._answer_slots:
            answer = await run_in_threadpool(self._compute_answer, state)
        return JSONResponse(answer | {"notice": notice})

    def _compute_answer(self, requested: State) -> dict[str, Any]:
        shown = self.view.show(requested)
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
            "unpooling": shown.unpooling,
            "changes": shown.changes,
            "source": _source(state),
        }


def _source(state: State) -> str:
    """Says on the page where the picture comes from."""
    if state.image is not None:
        return f"Test image {state.image}{' with a drawing on it' if state.is_drawn else ''}."
    return "Your own picture. The slider shows test images."


def _values(query: bytes) -> dict[str, str]:
    """A query's values by their names. Raises HTTPException 400 for bytes that are no query, or for too many values."""
    try:
        pairs = parse_qsl(
            query.decode(), keep_blank_values=True, strict_parsing=bool(query), max_num_fields=MOST_VALUES
        )
    except ValueError as error:  # UnicodeDecodeError is a ValueError.
        raise HTTPException(400, "This is not a query of names and values, such as image=3&bits=2.") from error
    return dict(pairs)


async def _answer_http_error(request: Request, error: Exception) -> Response:
    """Answers with the error's status, and with a sentence that says what is wrong with the request."""
    assert isinstance(error, HTTPException)
    return PlainTextResponse(SENTENCES.get(error.status_code, error.detail) + "\n", error.status_code)


async def _answer_disconnect(request: Request, error: Exception) -> Response:
    """Answers a client that left before its request was complete. Nobody reads the answer, so it is empty."""
    return Response(status_code=400)


def _page_html(models: Sequence[ServedAutoencoder], test_images: np.ndarray, command: str) -> str:
    count, height, width, channels = test_images.shape
    default = Tampering()
    controls = (
        _slider("scale", "Scale the code", LARGEST_SCALE, 0.05, default.scale),
        _slider("noise", "Add noise", LARGEST_NOISE, 0.02, default.noise),
        _slider("bits", "Bits (0: all 32)", MOST_BITS, 1, default.bits),
        _slider("dropped", "Share set to 0", 1, 0.05, default.dropped),
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
            f'<button data-preset="{html.escape(urlencode(tampering_values(preset)))}">{name}</button>'
            for name, preset in PRESETS.items()
        ),
        legend=legend(models),
        largest_upload=LARGEST_UPLOAD,
        command=html.escape(command),
    )


def _slider(name: str, label: str, largest: float, step: float, value: float) -> str:
    """A slider and a box for one number."""
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
