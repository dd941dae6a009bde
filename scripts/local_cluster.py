"""Addresses and configurations for training workers on this machine."""

import json
import socket
from collections.abc import Sequence


def tf_config(addresses: Sequence[str], index: int) -> str:
    """The value of TF_CONFIG, which TensorFlow reads: all workers' addresses, and this worker's index."""
    return json.dumps({"cluster": {"worker": list(addresses)}, "task": {"type": "worker", "index": index}})


def free_ports(number: int) -> list[int]:
    """Different free ports of the loopback interface."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for reserved_socket in sockets:
            reserved_socket.bind(("127.0.0.1", 0))
        return [reserved_socket.getsockname()[1] for reserved_socket in sockets]
    finally:
        for reserved_socket in sockets:
            reserved_socket.close()
