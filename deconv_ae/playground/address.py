"""The address at which the page is served, and the Host headers that its requests may have."""

import errno
import ipaddress
import socket
from collections.abc import Iterator

from deconv_ae import numbers
from deconv_ae.errors import InputError, RunError

LARGEST_PORT = 65535
ALL_ADDRESSES = ("0.0.0.0", "::")
LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")
UNASSIGNED_ADDRESSES = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses that no machine has (RFC 5737 and 3849). The route to such an address starts at this machine's own address
in its network."""


def bind_socket(host: str, port: int) -> socket.socket:
    """Binds a socket to an address. The server makes it listen only after the models are loaded.

    Args:
        host: a name or an address of this machine.
        port: 1 to 65,535.

    Returns:
        The socket.

    Raises:
        InputError: if the host is not an address of this machine, or if the port is out of range.
        RunError: if the port is in use or not permitted.
    """
    numbers.checked_integer("port", port, least=1, most=LARGEST_PORT)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"host: {host} is not an address; give 127.0.0.1, or another address of this machine"
        ) from error
    bound_socket = None
    try:
        bound_socket = socket.socket(family, kind, protocol)
        bound_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound_socket.bind(address)
    except OSError as error:
        if bound_socket is not None:
            bound_socket.close()
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise InputError(
                f"host: {host} is not an address of this machine; give 127.0.0.1, or another address of this machine"
            ) from error
        raise RunError(f"port: {host}:{port} cannot be used: {error.strerror}; give another --port") from error
    return bound_socket


def url(host: str, port: int) -> str:
    """The URL for a browser on this machine.

    >>> url("127.0.0.1", 7860), url("::", 80)
    ('http://127.0.0.1:7860', 'http://[::1]')
    """
    reachable_host = dict(zip(ALL_ADDRESSES, LOOPBACK_HOSTS)).get(host, host)
    url_host = f"[{reachable_host}]" if ":" in reachable_host else reachable_host
    return f"http://{url_host}" if port == 80 else f"http://{url_host}:{port}"


def urls_for_others(host: str, port: int) -> list[str]:
    """The URLs for browsers on other machines; none if the host is reachable from this machine only."""
    if host in LOOPBACK_HOSTS or getattr(_ip_address(host), "is_loopback", False):
        return []
    return [url(address, port) for address in (_own_addresses(host) if host in ALL_ADDRESSES else [host])]


def is_own_address(host_header: str, host: str, port: int) -> bool:
    """Whether a request's Host header names an address at which the page is served.

    An attacker can make their own host name resolve to 127.0.0.1, and so read the page (DNS rebinding). A request whose
    Host header has an IP address cannot come from this attack, so a page that listens at all addresses accepts any IP
    address.

    >>> is_own_address("127.0.0.1:7860", "127.0.0.1", 7860), is_own_address("evil.example:7860", "127.0.0.1", 7860)
    (True, False)
    """
    name, _, port_text = host_header.rpartition(":")
    if not _is_port(port_text):
        name, port_text = host_header, "80"
    name = name.strip("[]").lower()
    if int(port_text) != port:
        return False
    if host in ALL_ADDRESSES:
        return name in ("localhost", socket.gethostname().lower()) or _ip_address(name) is not None
    return name == host.lower() or (host in LOOPBACK_HOSTS and name in LOOPBACK_HOSTS)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST_PORT))


def _ip_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _own_addresses(host: str) -> Iterator[str]:
    families = (socket.AF_INET,) if host == "0.0.0.0" else (socket.AF_INET, socket.AF_INET6)
    for family in families:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((UNASSIGNED_ADDRESSES[family], 9))  # Chooses the route, and sends nothing.
                yield probe.getsockname()[0]
        except OSError:  # This machine has no route of this family.
            continue
