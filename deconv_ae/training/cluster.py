"""What the environment variable TF_CONFIG says of a cluster of processes."""

import json

from deconv_ae.errors import InputError


def other_addresses(text: str) -> list[str]:
    """HOST:PORT of all processes that a TF_CONFIG names, but this one.

    Raises:
        InputError: if it names no cluster and a worker in it.
    """
    example = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
    try:
        config = json.loads(text)
        task = config["task"]
        cluster = config["cluster"]
        addresses = cluster[task["type"]]
        # TensorFlow itself waits for ever for a worker that the list does not have.
        if isinstance(addresses, list) and task["type"] in ("chief", "worker") and 0 <= task["index"] < len(addresses):
            own = addresses[task["index"]]
            return [address for addresses in cluster.values() for address in addresses if address != own]
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    problem = "is not set" if not text else f"{text!r} names no cluster and a worker in it"
    raise InputError(f"TF_CONFIG: {problem}; --strategy=multi_worker needs one on every worker, such as {example}")
