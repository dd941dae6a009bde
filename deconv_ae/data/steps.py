"""The number of steps in an epoch."""


def steps_per_epoch(count: int, batch_size: int) -> int:
    """The number of batches that hold `count` images once each; the last batch may be smaller."""
    return -(-count // batch_size)
