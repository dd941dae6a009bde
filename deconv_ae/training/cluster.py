"""Reads, checks and writes the environment variable TF_CONFIG, which describes a cluster of processes."""

import json
import os
import socket
from collections.abc import Sequence
from typing import Any

from deconv_ae.errors import InputError

VARIABLE = "TF_CONFIG"
EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
TRAINING_JOBS = ("chief", "worker")
IDLE_JOBS = ("evaluator", "ps")
"""TensorFlow's other jobs, which have nothing to do here."""
LARGEST_PORT = 65_535
MOST_QUOTED_CHARACTERS = 200


def check_tf_config(strategy: str) -> None:
    """Checks that a strategy can be made with the TF_CONFIG of the environment.

    Args:
        strategy: a name of `options.STRATEGIES`.

    Raises:
        InputError: for multi_worker, if TF_CONFIG does not name a cluster and one of its workers; for mirrored, if
            TF_CONFIG is set and TensorFlow cannot read it. TensorFlow reads TF_CONFIG although mirrored does not need
            it.
    """
    text = os.environ.get(VARIABLE, "")
    if strategy == "multi_worker":
        other_addresses(text)  # Raises InputError.
    elif strategy == "mirrored" and VARIABLE in os.environ:
        try:
            _checked_jobs(_checked_object("it", _parsed(text)).get("cluster", {}))
        except ValueError as error:
            raise InputError(
                f"{VARIABLE}: {_quoted(text)} cannot be read: {error}; unset it, --strategy=mirrored does not need it"
            ) from error


def other_addresses(text: str) -> list[str]:
    """Returns the HOST:PORT of every other training process, chief or worker, in a process's TF_CONFIG.

    Args:
        text: the value of the process's TF_CONFIG.

    Returns:
        One HOST:PORT per other process.

    Raises:
        InputError: if TF_CONFIG does not name a cluster and one of its workers.
    """
    advice = f"--strategy=multi_worker needs a TF_CONFIG on every worker, such as {EXAMPLE}"
    if not text:
        raise InputError(f"{VARIABLE}: is not set; {advice}")
    try:
        return _other_addresses(_checked_object("it", _parsed(text)))
    except ValueError as error:
        raise InputError(
            f"{VARIABLE}: {_quoted(text)} does not name a cluster and a worker in it: {error}; {advice}"
        ) from error


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _other_addresses(config: dict[str, Any]) -> list[str]:
    jobs, task = _checked_jobs(config.get("cluster")), _checked_object("task", config.get("task"))
    job, index = task.get("type"), task.get("index")
    if job not in TRAINING_JOBS or job not in jobs:
        raise ValueError("task.type is not chief or worker, or is not a job of the cluster")
    # If the cluster has no worker of this index, TensorFlow waits for ever.
    if type(index) is not int or not 0 <= index < len(jobs[job]):
        raise ValueError(f"task.index is not 0 to {len(jobs[job]) - 1}, the indices of cluster.{job}")
    addresses = [address for name in TRAINING_JOBS for address in jobs.get(name, [])]
    if len(set(addresses)) < len(addresses):
        raise ValueError("an address is listed twice")
    own_address = jobs[job][index]
    return [address for address in addresses if address != own_address]


def _checked_jobs(cluster: Any) -> dict[str, list[str]]:
    jobs = {job: _checked_addresses(job, addresses) for job, addresses in _checked_object("cluster", cluster).items()}
    if len(jobs.get("chief", ())) > 1:
        raise ValueError("there is more than one chief")
    return jobs


def _checked_object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not an object")
    return value


def _checked_addresses(job: str, values: Any) -> list[str]:
    if job not in (*TRAINING_JOBS, *IDLE_JOBS):
        raise ValueError(f"{ascii(job)[:40]} is not a job; the jobs are {', '.join((*TRAINING_JOBS, *IDLE_JOBS))}")
    if not isinstance(values, list) or not values:
        raise ValueError(f"cluster.{job} is not a list of HOST:PORT")
    for value in values:
        host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
        if not host or any(character.isspace() for character in host) or not (port.isascii() and port.isdecimal()):
            raise ValueError(f"{ascii(value)[:40]} in cluster.{job} is not a HOST:PORT")
        if len(port) > 5 or not 0 < int(port) <= LARGEST_PORT:
            raise ValueError(f"{ascii(value)[:40]} in cluster.{job} has no port of 1 to {LARGEST_PORT}")
    return values


def _quoted(text: str) -> str:
    """Quotes a text for a message, and cuts it to 200 characters: a wrong TF_CONFIG may be very long."""
    return repr(text if len(text) <= MOST_QUOTED_CHARACTERS else f"{text[:MOST_QUOTED_CHARACTERS]}...")


def tf_config(addresses: Sequence[str], index: int) -> str:
    """Returns a TF_CONFIG for one worker of a cluster: the HOST:PORT of all workers, and the worker's index."""
    return json.dumps({"cluster": {"worker": list(addresses)}, "task": {"type": "worker", "index": index}})


def free_ports(number: int) -> list[int]:
    """Returns different free ports of the loopback interface."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for reserved_socket in sockets:
            reserved_socket.bind(("127.0.0.1", 0))
        return [reserved_socket.getsockname()[1] for reserved_socket in sockets]
    finally:
        for reserved_socket in sockets:
            reserved_socket.close()
