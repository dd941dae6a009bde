"""Serves the page to many clients at once, and ends connections that are silent, slow or never closed."""

import asyncio
import contextlib
import logging
import resource
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

SECONDS_A_CONNECTION = 30
"""The longest time from accepting a connection to the last byte of the answer. Each connection carries one request."""
SECONDS_TO_HEADERS = 10
"""The longest time until a request's headers have arrived."""
MOST_CONNECTIONS = 128
BACKLOG = 32
"""The most connections that asyncio accepts in a row before `_Connection` counts them."""
OTHER_DESCRIPTORS = 64
"""File descriptors for everything but connections: libraries, the terminal, models."""


def serve(app: Any, bound_socket: socket.socket, when_ready: Callable[[], None]) -> None:
    """Serves an application until Ctrl-C, and then returns. SIGTERM also ends `serve`, but is then raised again.

    Args:
        app: an ASGI application.
        bound_socket: the socket that receives the requests. It is closed at the end.
        when_ready: called as soon as requests are answered.
    """
    # uvicorn logs only defects, to stderr with a traceback. It does not log bad requests.
    config = uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        log_level=logging.ERROR,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
    )
    server = _Server(config)
    server.when_ready = when_ready
    with bound_socket, contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[bound_socket])


class _Server(uvicorn.Server):
    when_ready: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # When accept fails, asyncio tries again, up to `BACKLOG` times, and logs each failure. One log line is enough.
        asyncio.get_running_loop().set_exception_handler(_UniqueErrorLogger())
        await super().startup(sockets=sockets)
        self.when_ready()


class _Connection(H11Protocol):
    """A connection for one request, with time limits.

    If too many connections are open, the oldest of those whose headers have not yet arrived is closed.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.headers_deadline = 0.0
        self._timers: list[asyncio.TimerHandle] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.headers_deadline = self.loop.time() + SECONDS_TO_HEADERS
        if len(self.connections) > most_connections():
            # uvicorn sets `cycle` as soon as the headers of a connection's request have arrived.
            silent_connections = [
                connection
                for connection in self.connections
                if isinstance(connection, _Connection) and connection.cycle is None
            ]
            min(silent_connections, key=lambda connection: connection.headers_deadline, default=self).transport.abort()
        self._timers = [
            self.loop.call_at(self.headers_deadline, self._close_if_silent),
            self.loop.call_later(SECONDS_A_CONNECTION, transport.abort),
        ]

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in self._timers:
            timer.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        self.transport.abort()  # Ctrl-C does not wait for answers.

    def _close_if_silent(self) -> None:
        if self.cycle is None:  # No request's headers have arrived.
            self.transport.abort()


class _UniqueErrorLogger:
    """Handles the event loop's errors that nothing else handles: logs each message once."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        message = context["message"]
        if message not in self._logged:
            self._logged.add(message)
            logging.getLogger(__name__).error("%s: %s", message, context.get("exception", ""))


def most_connections() -> int:
    """The most open connections: `MOST_CONNECTIONS`, or fewer if file descriptors are too few, but at least 1."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(1, min(MOST_CONNECTIONS, descriptors - OTHER_DESCRIPTORS - 2 * BACKLOG))
