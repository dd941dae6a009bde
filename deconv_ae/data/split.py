"""Which pictures of an undivided set are for testing: a fixed fifth, the same on every machine."""

import numpy as np

TEST_SHARE = 0.2
SPLIT_SEED = 2017


def split_numbers(count: int, split: str) -> list[int]:
    """The numbers of the pictures of one split, in ascending order; of 2 pictures and more each split has one.

    >>> split_numbers(10, "test"), split_numbers(10, "train")
    ([1, 2], [0, 3, 4, 5, 6, 7, 8, 9])
    """
    order = np.random.default_rng(SPLIT_SEED).permutation(count)
    tested = max(1, round(count * TEST_SHARE))
    return sorted(order[:tested].tolist() if split == "test" else order[tested:].tolist())
