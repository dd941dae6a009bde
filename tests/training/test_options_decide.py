"""An option changes the result exactly if its field says so, and the package reads every option."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deconv_ae
from deconv_ae import Architecture
from deconv_ae.data import ImageDataset, Source
from deconv_ae.options import options_of
from deconv_ae.training import TrainingOptions, train

NOISE = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), np.uint8)
PICTURES = ImageDataset("noise", NOISE[:32], NOISE[32:])
PLAIN = TrainingOptions(Architecture((2,), (2,), kernel_size=3), epochs=2, batch_size=8)
OTHER_VALUES: dict[str, Any] = {
    "recipe": "cntk",
    "epochs": 3,
    "batch_size": 16,
    "learning_rate": 0.003,
    "seed": 1,
    "run_dir": "run",
    "checkpoint_every": 1,
    "validate_every": 0,
    "resume": True,
    "strategy": "none",
    "worker_timeout": 9.0,
    "mixed_precision": "mixed_bfloat16",
    "jit_compile": "true",
}
"""A value of each option that differs from the value in PLAIN."""


def weights_after(options: TrainingOptions) -> list[np.ndarray]:
    return train(PICTURES, options, verbose=False).model.get_weights()


@pytest.fixture(scope="module")
def plain_weights() -> list[np.ndarray]:
    return weights_after(PLAIN)


@pytest.mark.parametrize("name", options_of(TrainingOptions))
def test_option_changes_the_weights_exactly_if_it_decides_the_result(
    name: str,
    plain_weights: Sequence[np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if name == "mixed_precision":
        request.getfixturevalue("bfloat16")
    monkeypatch.chdir(tmp_path)
    options = replace(PLAIN, run_dir="run") if name in ("checkpoint_every", "resume") else PLAIN
    if name == "resume":
        train(PICTURES, replace(options, checkpoint_every=3), verbose=False)
    weights = weights_after(replace(options, **{name: OTHER_VALUES[name]}))
    is_same = all(map(np.array_equal, weights, plain_weights))
    _, option = options_of(TrainingOptions)[name]
    assert is_same != option.decides_result


@pytest.mark.parametrize(
    ("kind", "name", "instance"),
    [
        # Options that decide the result are left out. The package reads them, because they change the weights in
        # test_option_changes_the_weights_exactly_if_it_decides_the_result.
        *(
            (TrainingOptions, name, "options")
            for name, (_, each) in options_of(TrainingOptions).items()
            if not each.decides_result
        ),
        *((Source, name, "source") for name in options_of(Source)),
    ],
)
def test_package_reads_every_option(kind: type, name: str, instance: str) -> None:
    code = "".join(file.read_text(encoding="utf-8") for file in Path(deconv_ae.__file__).parent.rglob("*.py"))
    assert re.search(rf"\b{instance}\.{name}\b", code), f"nothing reads {kind.__name__}.{name}"
