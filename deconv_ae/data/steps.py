"""How many steps an epoch has."""


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Batches that hold `count` images once each, the last of them smaller where need be."""
    return -(-count // batch_size)
