"""Markdown tables."""

from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are text already, without a line break at its end.

    >>> print(markdown_table(("model", "RMSE"), [("cmap1_pool4", "0.1694")]))
    | model | RMSE |
    | --- | --- |
    | cmap1_pool4 | 0.1694 |
    """
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, ("---",) * len(header), *rows))
