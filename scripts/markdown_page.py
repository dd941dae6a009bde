"""Makes tables in Markdown, and reads and replaces sections of a page.

A section stands between `<!-- NAME:begin -->` and `<!-- NAME:end -->`.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from deconv_ae.errors import InputError
from deconv_ae.files import write_atomically


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Formats a table from cells of text, without a final line break.

    >>> print(markdown_table(("model", "RMSE"), [("cmap1_pool4", "0.1694")]))
    | model | RMSE |
    | --- | --- |
    | cmap1_pool4 | 0.1694 |
    """
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, ("---",) * len(header), *rows))


def replace_section(file: Path, name: str, text: str) -> None:
    """Replaces a section of a text file.

    Raises:
        InputError: if the file cannot be read or lacks the section.
    """
    before, _, after = read_section(file, name)
    write_atomically(file, f"{before}\n{text.strip()}\n{after}")


def read_section(file: Path, name: str) -> tuple[str, str, str]:
    """Splits a text file: the text through `<!-- NAME:begin -->`, the section, and the text from `<!-- NAME:end -->`.

    Raises:
        InputError: if the file cannot be read or lacks the section.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise InputError(f"readme: {file} cannot be read as text; give a text file that exists") from error
    match = re.search(f"({re.escape(begin)})(.*?)({re.escape(end)})", content, re.DOTALL)
    if not match:
        raise InputError(f"readme: {file} has no section {begin} ... {end}; add these two lines")
    return content[: match.end(1)], match[2], content[match.start(3) :]
