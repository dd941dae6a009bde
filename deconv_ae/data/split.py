"""Which pictures of an undivided set are for testing: about a fifth, which follow from the pictures' own names.

A picture stays where it is whatever is added, removed or renamed beside it, on every machine: one that was trained on
is never tested on later.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from pathlib import PurePosixPath

from deconv_ae.errors import InputError, choose

TEST_EVERY = 5
SPLIT_BY = {
    "file": "each by itself",
    "folder": "pictures of one subfolder stay together",
    "name": "pictures stay together whose names are the same but for a number at their end",
}
"""What is divided, by its name. Of pictures of one scene, or crops of one photograph, that lie in both splits one tests
what was trained on; only their owner knows which those are. The default is "file": folders are classes more often than
scenes, and a whole class would be missing in the training; and cameras number all that they take under one name."""
LAST_NUMBER = re.compile(r"([0-9]+)([^0-9]*)\Z")
NUMBER_AT_THE_END = re.compile(r"[\s_.(-]*[0-9]+\)?\Z")


def which_are_for_testing(names: Sequence[str], split_by: str = "file") -> list[bool]:
    """Which pictures are for testing, by their paths below the folder, with `/`.

    Of five that are numbered consecutively one is, so that the shares are 20 % and 80 % but for the last few. Which of
    the five, and of names without numbers which fifth, a hash says; of 200 such names 40 are, give or take 6.
    Each split has a picture at least: where it would have none, the one that comes next in the order of hashes.

    Args:
        names: of at least two pictures.
        split_by: a key of SPLIT_BY.

    Raises:
        InputError: if all are together by what they are divided by.

    >>> names = [f"{number}.png" for number in range(10)]
    >>> first = which_are_for_testing(names)
    >>> sum(first), which_are_for_testing([*names, "another.png"])[:10] == first
    (2, True)
    """
    choose("split_by", split_by, SPLIT_BY)
    groups = [_group(name, split_by) for name in names]
    chosen = {group: _is_tested(group) for group in groups}
    if len(chosen) < 2:
        raise InputError(
            f"split_by: all {len(names)} pictures are of one {split_by}; at least 2 are needed, one of them to test "
            "on; give another way"
        )
    if len(set(chosen.values())) == 1:
        nearest = min(chosen, key=_hash) if not any(chosen.values()) else max(chosen, key=_hash)
        chosen[nearest] = not chosen[nearest]
    return [chosen[group] for group in groups]


def _group(name: str, split_by: str) -> str:
    """What has to stay together with a picture, and what decides its split."""
    # One picture in two formats is one; a name is the same on a file system that decomposes accents.
    path = PurePosixPath(unicodedata.normalize("NFC", name)).with_suffix("")
    if split_by == "folder":
        return str(path.parent)
    if split_by == "name":
        return str(path.parent / (NUMBER_AT_THE_END.sub("", path.name) or "."))
    return str(path)


def _is_tested(group: str) -> bool:
    number = LAST_NUMBER.search(group)
    before, after = (group[: number.start()], number[2]) if number else (group, "")
    block, place = divmod(int(number[1]), TEST_EVERY) if number else (0, 0)
    return _hash(f"{before}\0{after}\0{block}") % TEST_EVERY == place


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest())
