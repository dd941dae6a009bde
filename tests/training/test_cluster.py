"""A wrong TF_CONFIG is refused in one line, before TensorFlow reads it.

The strategy multi_worker refuses every wrong one, mirrored only one that TensorFlow cannot read.
"""

import json
from typing import Any

import pytest

from deconv_ae.errors import InputError
from deconv_ae.training.cluster import check_tf_config, other_addresses

WORKER = {"type": "worker", "index": 0}


def config(cluster: Any, task: Any = WORKER) -> str:
    return json.dumps({"cluster": cluster, "task": task})


UNREADABLE = {
    "nothing": "",
    "half a JSON": "{",
    "nested deeply": "[" * 100_000,
    "a list": "[]",
    "null": "null",
    "a number": "5",
    "text": '"worker"',
    "a cluster that is a number": config(5),
    "a cluster that is a list": config([["a:1"]]),
    "a cluster that is null": config(None),
    "hosts as numbers": config({"worker": [5, 6]}),
    "hosts as null": config({"worker": [None]}),
    "hosts as lists": config({"worker": [["a:1"]]}),
    "hosts as objects": config({"worker": [{"a": 1}]}),
    "hosts as booleans": config({"worker": [True]}),
    "workers as text": config({"worker": "a:1"}),
    "workers as an object": config({"worker": {"0": "a:1"}}),
    "no workers": config({"worker": []}),
    "a host without a port": config({"worker": ["a"]}),
    "a port without a host": config({"worker": [":1"]}),
    "a port of letters": config({"worker": ["a:b"]}),
    "a port that is too high": config({"worker": ["a:65536"]}),
    "port 0": config({"worker": ["a:0"]}),
    "a port of many digits": config({"worker": ["a:" + "1" * 5000]}),
    "a host of two lines": config({"worker": ["a\nb:1"]}),
    "a second chief": config({"chief": ["a:1", "b:1"], "worker": ["c:1"]}),
    "an extra job as text": config({"worker": ["a:1"], "cook": "b:1"}),
    "an extra job as an object": config({"worker": ["a:1"], "cook": {}}),
    "an extra job": config({"worker": ["a:1"], "cook": ["b:1"]}),
    "parameter servers as text": config({"worker": ["a:1"], "ps": "b:1"}),
}
READABLE_BUT_WRONG = {
    "a task that is a number": config({"worker": ["a:1"]}, 5),
    "a task that is null": config({"worker": ["a:1"]}, None),
    "no task": json.dumps({"cluster": {"worker": ["a:1"]}}),
    "no cluster": json.dumps({"task": WORKER}),
    "a type that is a list": config({"worker": ["a:1"]}, {"type": [], "index": 0}),
    "a type that is an object": config({"worker": ["a:1"]}, {"type": {}, "index": 0}),
    "a type that the cluster lacks": config({"worker": ["a:1"]}, {"type": "chief", "index": 0}),
    "an evaluator": config({"worker": ["a:1"], "evaluator": ["b:1"]}, {"type": "evaluator", "index": 0}),
    "an index that is too large": config({"worker": ["a:1"]}, {"type": "worker", "index": 1}),
    "a negative index": config({"worker": ["a:1"]}, {"type": "worker", "index": -1}),
    "an index that is text": config({"worker": ["a:1"]}, {"type": "worker", "index": "0"}),
    "an index that is a boolean": config({"worker": ["a:1", "b:1"]}, {"type": "worker", "index": True}),
    "an index that is a float": config({"worker": ["a:1"]}, {"type": "worker", "index": 0.0}),
    "an address twice": config({"worker": ["a:1", "a:1"]}),
}


@pytest.mark.parametrize("text", (UNREADABLE | READABLE_BUT_WRONG).values(), ids=UNREADABLE | READABLE_BUT_WRONG)
def test_multi_worker_refuses_wrong_tf_config_in_one_line(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match=r"^TF_CONFIG: ") as error:
        check_tf_config("multi_worker")
    assert len(str(error.value)) < 700
    assert str(error.value).isprintable()


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_mirrored_refuses_unreadable_tf_config(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match=r"^TF_CONFIG: .*; unset it, --strategy=mirrored does not need it$"):
        check_tf_config("mirrored")


@pytest.mark.parametrize("text", [None, *READABLE_BUT_WRONG.values()])
def test_other_strategies_accept_readable_or_unset_tf_config(text: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    for strategy in ("none", "auto", "mirrored"):
        check_tf_config(strategy)


@pytest.mark.parametrize(
    ("cluster", "task", "others"),
    [
        ({"worker": ["a:1"]}, WORKER, []),
        ({"worker": ["a:1", "[::1]:2"]}, WORKER, ["[::1]:2"]),
        ({"chief": ["c:1"], "worker": ["a:1", "b:1"]}, {"type": "chief", "index": 0}, ["a:1", "b:1"]),
        ({"chief": ["c:1"], "worker": ["a:1", "b:1"]}, {"type": "worker", "index": 1}, ["c:1", "a:1"]),
        ({"worker": ["a:1", "b:1"], "evaluator": ["e:1"], "ps": ["p:1"]}, WORKER, ["b:1"]),
    ],
)
def test_other_addresses_leave_out_this_process_and_idle_jobs(cluster: Any, task: Any, others: list[str]) -> None:
    assert other_addresses(config(cluster, task)) == others
