"""The faults of scripts/torture.py, injected into real processes."""

import math

import pytest
from faults import injection, surroundings

assert surroundings  # Importing it adds its faults to `injection.FAULTS`.


@pytest.fixture(scope="module")
def torture(tmp_path_factory: pytest.TempPathFactory) -> injection.Torture:
    return injection.Torture(tmp_path_factory.mktemp("torture"), seed=3)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(injection.FAULTS))
def test_run_survives_the_fault(torture: injection.Torture, name: str) -> None:
    assert injection.FAULTS[name](torture), torture.problem


@pytest.mark.parametrize(
    ("kill", "faults"),
    [
        (injection.kill_training, ["SIGKILL while writing a checkpoint", "SIGKILL at a random moment"]),
        (injection.kill_exports, ["SIGKILL while exporting over a model"]),
        (injection.kill_decoding, ["SIGKILL while decoding"]),
    ],
)
def test_kills_lose_no_data(torture: injection.Torture, kill, faults: list[str]) -> None:
    table = injection.Table(end=math.inf)
    kill(torture, 2, table)
    assert table.problems == []
    for fault in faults:
        assert fault in str(table)
