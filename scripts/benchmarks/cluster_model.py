"""What many workers would do, from what few did: a model, not a measurement."""

from collections.abc import Sequence

from markdown_page import markdown_table

WORKERS = (8, 16, 32, 64, 128, 256)
GIGABITS = (1, 10, 25, 100)


def step_milliseconds(
    workers: int, gigabits: float, compute_ms: float, overhead_ms: float, sent_bytes: float, latency_us: float
) -> float:
    """A training step of synchronous data parallelism with a ring all-reduce.

    Every worker computes its share, then sends `2 (n - 1) / n` times the gradients in `2 (n - 1)` messages one after
    the other (Patarasuk and Yuan, 2009, https://doi.org/10.1016/j.jpdc.2008.09.002).

    Args:
        workers: how many, each with a machine of its own.
        gigabits: of the network's links, a second.
        compute_ms: a step of one process alone.
        overhead_ms: what a step takes longer with workers that share one machine, apart from computing.
        sent_bytes: what two workers send in a step, both together: each of them the gradients once.
        latency_us: of one message.

    >>> round(step_milliseconds(2, 1, compute_ms=10, overhead_ms=5, sent_bytes=250_000, latency_us=0), 3)
    16.0
    """
    gradient_bytes = sent_bytes / 2
    seconds_on_the_wire = 2 * (workers - 1) / workers * gradient_bytes * 8 / (gigabits * 1e9)
    return compute_ms + overhead_ms + 1e3 * seconds_on_the_wire + 2 * (workers - 1) * latency_us / 1e3


def table(
    compute_ms: float,
    overhead_ms: float,
    sent_bytes: float,
    latency_us: float,
    images_a_worker: int,
    workers: Sequence[int] = WORKERS,
    gigabits: Sequence[float] = GIGABITS,
) -> str:
    """Images a second, and the share of so many times one process's, as a Markdown table."""
    rows = []
    alone = images_a_worker / compute_ms
    for count in workers:
        cells = []
        for speed in gigabits:
            step = step_milliseconds(count, speed, compute_ms, overhead_ms, sent_bytes, latency_us)
            throughput = count * images_a_worker / step
            cells.append(f"{1e3 * throughput:,.0f} ({throughput / (count * alone):.0%})")
        rows.append([str(count), *cells])
    return markdown_table(["workers", *(f"{n:g} Gbit/s" for n in gigabits)], rows)
