"""What programs leave out while TensorFlow and Keras load."""

import sys

import library
import pytest


def test_packages_that_are_not_needed_are_as_not_installed_until_tensorflow_has_loaded(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "not_needed.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with library.without(("not_needed", "pytest")):
        with pytest.raises(ModuleNotFoundError):
            import not_needed
        # What somebody has is not taken away.
        assert sys.modules["pytest"] is pytest
    import not_needed

    assert not_needed.__file__ == str(tmp_path / "not_needed.py")
    assert sys.modules["pytest"] is pytest
    del sys.modules["not_needed"]
