"""Where the page listens, and what browsers have to call it to be answered."""

import errno
import ipaddress
import socket

from deconv_ae import numbers
from deconv_ae.errors import InputError, RunError

MOST_PORTS = 65535
EVERYWHERE = ("0.0.0.0", "::")
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def check_address(host: str, port: int) -> None:
    """Whether this machine can listen there, before seconds are spent on models.

    Raises:
        InputError: if the host is no address of this machine, or the port no number of one.
        RunError: if the port is taken or not allowed.
    """
    numbers.whole("port", port, least=1, most=MOST_PORTS)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise InputError(f"host: {host} is no address; give 127.0.0.1, or one of this machine's own") from error
    try:
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise InputError(f"host: {host} is no address of this machine; give 127.0.0.1, or one that is") from error
        raise RunError(f"port: {host}:{port} cannot be listened at: {error.strerror}; give another --port") from error


def is_own_address(named: str, host: str, port: int) -> bool:
    """Whether a request's Host header names the address that the page listens at.

    Any page in a browser can make a name of its own lead to 127.0.0.1 and read what is served there (DNS rebinding);
    only an address cannot be made to lead elsewhere.

    >>> is_own_address("127.0.0.1:7860", "127.0.0.1", 7860), is_own_address("evil.example:7860", "127.0.0.1", 7860)
    (True, False)
    """
    name, _, number = named.rpartition(":") if named.rpartition(":")[2].isdecimal() else (named, "", "80")
    name = name.strip("[]").lower()
    if int(number) != port:
        return False
    if host in EVERYWHERE:
        return name in ("localhost", socket.gethostname().lower()) or _is_ip_address(name)
    return name == host.lower() or (host in LOOPBACK and name in LOOPBACK)


def _is_ip_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
