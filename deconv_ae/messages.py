"""Messages beside a result, on standard output.

Standard error gets one line at most: an error, or a warning about the result. Everything else is a message, such as
files that were left out or work that is repeated.
"""


def tell(*lines: str) -> None:
    """Prints a message and flushes it."""
    print(*lines, sep="\n", flush=True)
