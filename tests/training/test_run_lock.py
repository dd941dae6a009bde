"""The check before TensorFlow is loaded refuses, in one line, a run directory that cannot be locked."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from deconv_ae.errors import InputError
from deconv_ae.training import run_record

UNLOCKABLE: dict[str, Callable[[Path], None]] = {
    "a directory": lambda lock: lock.mkdir(),
    "a link to itself": lambda lock: lock.symlink_to(lock),
    "a link into a missing folder": lambda lock: lock.symlink_to("nowhere/lock"),
    "of mode 0": lambda lock: lock.touch(mode=0),
}


@pytest.mark.parametrize("make", UNLOCKABLE.values(), ids=UNLOCKABLE)
def test_unlockable_lock_file_is_refused_by_name(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / run_record.LOCK)
    if make is UNLOCKABLE["of mode 0"] and os.geteuid() == 0:
        pytest.skip("root may open every file")
    with pytest.raises(
        InputError, match=r"^run_dir: .*run\.lock cannot be locked: .*; remove it, or give another directory$"
    ):
        run_record.check_not_in_use(tmp_path)
