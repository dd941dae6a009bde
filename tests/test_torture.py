"""scripts/torture.py's faults, once each: real processes, really killed."""

import math

import pytest
import torture as torture_program


@pytest.fixture(scope="module")
def torture(tmp_path_factory: pytest.TempPathFactory) -> torture_program.Torture:
    return torture_program.Torture(tmp_path_factory.mktemp("torture"), seed=0)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(torture_program.FAULTS))
def test_a_run_survives(torture: torture_program.Torture, name: str) -> None:
    assert torture_program.FAULTS[name](torture), torture.problem


@pytest.mark.parametrize(
    ("kill", "faults"),
    [
        (torture_program.kill_training, ["SIGKILL while writing a checkpoint", "SIGKILL at a random moment"]),
        (torture_program.kill_exports, ["SIGKILL while exporting over a model"]),
    ],
)
def test_kills_lose_nothing(torture: torture_program.Torture, kill, faults: list[str]) -> None:
    table = torture_program.Table(end=math.inf)
    kill(torture, 3, table)
    assert table.problems == []
    for fault in faults:
        assert fault in str(table)
