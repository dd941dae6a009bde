"""Sections of a text file, written by programs."""

from pathlib import Path

import pytest
from markdown_page import replace_section

from deconv_ae.errors import InputError


def test_section_is_replaced_and_rest_kept(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("before\n<!-- results:begin -->\nold\n<!-- results:end -->\nafter\n")
    replace_section(file, "results", "| a \\1 | b |\n")
    assert file.read_text() == "before\n<!-- results:begin -->\n| a \\1 | b |\n<!-- results:end -->\nafter\n"
    with pytest.raises(InputError, match="has no section"):
        replace_section(file, "speed", "")
