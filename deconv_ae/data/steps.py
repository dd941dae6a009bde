"""The number of steps in an epoch."""


def steps_per_epoch(count: int, batch_size: int) -> int:
    """The number of batches in an epoch of `count` images; the last batch may be smaller."""
    return -(-count // batch_size)
