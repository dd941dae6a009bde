"""Messages that accompany a result, on standard output.

Standard error gets one line at most: an error, or a warning about the result. Everything else is a message, such as
files that were left out or work that is repeated.
"""


def tell(*lines: str) -> None:
    r"""Prints a message and flushes it. Control characters are escaped: names of files can have them.

    >>> tell("left out: new\nline.png")
    left out: new\nline.png
    """
    shown = ("".join(each if each.isprintable() else ascii(each)[1:-1] for each in line) for line in lines)
    print(*shown, sep="\n", flush=True)
