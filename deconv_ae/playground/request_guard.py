"""Refuses requests to other addresses, from other pages, and with bodies that are too large."""

import ipaddress
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from deconv_ae.playground.address import is_own_address, url

HEADERS = {
    # With this header, the page can send requests to no other host, and no other page can show it in a frame.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr "
    "'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    # Each connection carries one request, so that one time limit serves both.
    "Connection": "close",
}
FOREIGN_MESSAGE = "Only this page itself may send this request: open the page in its own tab.\n"
MOST_BYTES_READ = 64_000_000
"""The most bytes of an oversized body that are read and dropped: most clients read an answer only after they have sent
the whole body."""


class RequestGuard:
    """ASGI middleware that checks each request before its route is called, and adds `HEADERS` to each answer.

    It does not check the size of the body. A route reads the body with `read_body`, which checks the size.
    """

    def __init__(self, app: Any, host: str, port: int) -> None:
        self.app = app
        self._host = host
        self._port = port

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = Headers(scope=scope)

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        responder = self._refusal(scope, headers) or self.app
        await responder(scope, receive, send_with_headers)

    def _refusal(self, scope: Any, headers: Headers) -> PlainTextResponse | None:
        if not is_own_address(headers.get("host", ""), self._host, self._port):
            return PlainTextResponse(f"This page is served at {_reached_url(scope)} only.\n", 421)
        if not is_from_own_page(scope["method"], headers):
            return PlainTextResponse(FOREIGN_MESSAGE, 403)
        return None


def is_from_own_page(method: str, headers: Headers) -> bool:
    """Whether a request comes from this page, a link, the address bar, or a program that is not a browser.

    Browsers say in Sec-Fetch-Site whether a request comes from the same origin. Older browsers only name the origin, in
    Origin. Pages cannot change either header.

    >>> is_from_own_page("POST", Headers({"host": "127.0.0.1:1", "origin": "http://127.0.0.1:2"}))
    False
    """
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{headers['host']}":
        return False
    if headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
        return True
    is_opened_in_tab = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
    return method in ("GET", "HEAD") and is_opened_in_tab


async def read_body(request: Request, most_bytes: int) -> bytes:
    """Reads a request's body.

    Args:
        request: the request.
        most_bytes: the largest allowed size of the body.

    Returns:
        The bytes.

    Raises:
        HTTPException: with status 413 if the body has more than `most_bytes` bytes.
        ClientDisconnect: if the client leaves before the end of the body.
    """
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= most_bytes:
            parts.append(part)
        else:
            # Most clients read an answer only after they have sent the whole body, so the rest is read and dropped.
            parts.clear()
        if size > MOST_BYTES_READ:
            break
    if size > most_bytes:
        raise HTTPException(413, f"This is too large: more than {most_bytes / 1e6:g} MB.")
    return b"".join(parts)


def _reached_url(scope: Any) -> str:
    """The URL of this page at the address of this machine to which the request came."""
    name, port = scope["server"]
    address = ipaddress.ip_address(name)
    ipv4_address = getattr(address, "ipv4_mapped", None)  # An IPv6 socket reports IPv4 addresses in this form.
    return url(str(ipv4_address or address), port)
