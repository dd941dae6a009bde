"""Divides pictures into a training and a test split, by their own names: about a fifth are for testing.

A picture stays in its split, on every machine, when other pictures are added, removed or renamed. So no picture moves
from the training to the test split. Only if a split would be empty, one picture of the other split fills it, along with
the pictures that stay together with it.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from pathlib import PurePosixPath

from deconv_ae.errors import InputError, choose

TEST_EVERY = 5
SPLIT_BY = {
    "file": "each picture separately",
    "folder": "the pictures of a subfolder stay together",
    "name": "pictures stay together if their names differ only in a number at the end",
}
"""The ways to divide, and what each keeps together.

If both splits have pictures of one scene, or crops of one photograph, the test measures how well a model remembers the
training pictures. Only the owner knows such pictures. The default is not "folder", because folders are classes more
often than scenes, and a whole class would be missing from the training split. The default is not "name", because
cameras number all their pictures under one name."""
LAST_NUMBER = re.compile(r"([0-9]+)([^0-9]*)\Z")
NUMBER_AT_THE_END = re.compile(r"[\s_.(-]*[0-9]+\)?\Z")


def which_are_for_testing(names: Sequence[str], split_by: str = "file") -> list[bool]:
    """Tells for each picture whether it is for testing.

    Pictures that have to be in the same split form a group. By default, each picture is a group of its own. Groups
    whose names differ only in the last number are a series, which is cut into blocks of five: numbers 0 to 4, 5 to 9
    and so on. One group of each block is for testing, and a hash decides which. So the test split has 20 % of a
    series, apart from incomplete blocks at its ends. For a group without a number in its name, the name's hash alone
    decides. So the number of such groups for testing is binomial: of 200, 40 are for testing, give or take 6. If all
    groups were for training, the one with the smallest hash would be moved to the test split. If all were for testing,
    the one with the largest hash would be moved to the training split.

    Args:
        names: the paths of at least two pictures, relative to the folder, with `/` between their parts.
        split_by: a key of SPLIT_BY.

    Returns:
        True for each picture that is for testing.

    Raises:
        InputError: if split_by is unknown or keeps all pictures together.

    >>> names = [f"{number}.png" for number in range(10)]
    >>> first = which_are_for_testing(names)
    >>> sum(first), which_are_for_testing([*names, "another.png"])[:10] == first
    (2, True)
    """
    choose("split_by", split_by, SPLIT_BY)
    groups = [_group(name, split_by) for name in names]
    is_for_testing = {group: _is_for_testing(group) for group in groups}
    if len(is_for_testing) < 2:
        raise InputError(
            f"split_by: all {len(names)} pictures are of one {split_by}; at least 2 groups are needed, one of them "
            "to test on; give another way to divide"
        )
    if len(set(is_for_testing.values())) == 1:
        has_test_split = any(is_for_testing.values())
        moved = max(is_for_testing, key=_hash) if has_test_split else min(is_for_testing, key=_hash)
        is_for_testing[moved] = not is_for_testing[moved]
    return [is_for_testing[group] for group in groups]


def _group(name: str, split_by: str) -> str:
    """The name of a picture's group. The pictures of a group are in the same split, which the name decides."""
    # Names without suffixes put the same picture in two formats into one group. NFC composes accents again, because
    # some file systems decompose them.
    path = PurePosixPath(unicodedata.normalize("NFC", name)).with_suffix("")
    if split_by == "folder":
        return str(path.parent)
    if split_by == "name":
        return str(path.parent / (NUMBER_AT_THE_END.sub("", path.name) or "."))
    return str(path)


def _is_for_testing(group: str) -> bool:
    """Whether a group is for testing, by its name: a hash chooses one number of each block of TEST_EVERY."""
    match = LAST_NUMBER.search(group)
    prefix, number, suffix = (group[: match.start()], int(match[1]), match[2]) if match else (group, 0, "")
    block, place_in_block = divmod(number, TEST_EVERY)
    return _hash(f"{prefix}\0{suffix}\0{block}") % TEST_EVERY == place_in_block


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest())
