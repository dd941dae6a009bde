"""What is said beside a result: messages on standard output, in lines of their own.

Standard error has one line at most: that of an error, or of the warning that a result comes with. What is told on the
way to it, such as what was left out or is done again, is a message, and no part of what went wrong.
"""


def tell(*lines: str) -> None:
    """Prints a message; nothing is kept back until more comes."""
    print(*lines, sep="\n", flush=True)
