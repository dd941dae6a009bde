"""Serves the page to many at once, of whom some say nothing, or too slowly, or never leave."""

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
"""From its first byte to the last of its answer: each carries one request."""
SECONDS_TO_SAY_WHAT = 10
"""Until a request's head has arrived."""
MOST_CONNECTIONS = 128
BACKLOG = 32
"""Connections that are accepted at a time, before any of them is counted."""
OTHER_DESCRIPTORS = 64
"""Of files that are open beside the connections: libraries, the terminal, models."""


def serve(app: Any, listening: socket.socket, when_ready: Callable[[], None]) -> None:
    """Serves until Ctrl-C, which is how one ends it, and no failure; other signals do what they did before.

    Args:
        app: an ASGI application.
        listening: a bound socket, which is closed at the end.
        when_ready: is called when the first request would be answered.
    """
    # What is said goes to stderr: defects with their traceback, nothing of what requests get wrong.
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
    with listening, contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])


class _Server(uvicorn.Server):
    when_ready: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # A failing accept is repeated by asyncio as often as others wait: said once, and only while it lasts.
        asyncio.get_running_loop().set_exception_handler(_SaidOnce())
        await super().startup(sockets=sockets)
        self.when_ready()


class _Connection(H11Protocol):
    """One request and its answer, within a time. Where too many are open, the longest silent one makes room."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.limit = 0.0
        self._limits: list[asyncio.TimerHandle] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.limit = self.loop.time() + SECONDS_TO_SAY_WHAT
        if len(self.connections) > most_connections():
            ours = (connection for connection in self.connections if isinstance(connection, _Connection))
            silent = [connection for connection in ours if connection.cycle is None]
            min(silent, key=lambda connection: connection.limit, default=self).transport.abort()
        self._limits = [
            self.loop.call_at(self.limit, self._end_if_silent),
            self.loop.call_later(SECONDS_A_CONNECTION, transport.abort),
        ]

    def connection_lost(self, exc: Exception | None) -> None:
        for limit in self._limits:
            limit.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        self.transport.abort()  # Nobody waits for an answer of a program that is stopped.

    def _end_if_silent(self) -> None:
        if self.cycle is None:
            self.transport.abort()


class _SaidOnce:
    """What asyncio asks when nobody else handles an error: each kind is logged once."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        message = context["message"]
        if message not in self._said:
            self._said.add(message)
            logging.getLogger(__name__).error("%s: %s", message, context.get("exception", ""))


def most_connections() -> int:
    """As many as this process may have descriptors for."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(1, min(MOST_CONNECTIONS, descriptors - OTHER_DESCRIPTORS - 2 * BACKLOG))
