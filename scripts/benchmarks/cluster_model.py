"""A model, not a measurement: the throughput of many workers, extrapolated from a few."""

from collections.abc import Sequence

from markdown_page import markdown_table

WORKERS = (8, 16, 32, 64, 128, 256)
GIGABITS = (1, 10, 25, 100)


def step_milliseconds(
    workers: int, gigabits: float, compute_ms: float, overhead_ms: float, sent_bytes: float, latency_us: float
) -> float:
    """The time of a training step in synchronous data parallelism with a ring all-reduce.

    Each of n workers computes its share, then sends `2 (n - 1) / n` times the gradients in `2 (n - 1)` successive
    messages (Patarasuk and Yuan, 2009, https://doi.org/10.1016/j.jpdc.2008.09.002).

    Args:
        workers: the number of workers, each on its own machine.
        gigabits: the bandwidth of the network's links, in gigabits per second.
        compute_ms: the time of a step in one process alone.
        overhead_ms: the time, besides computing, that a second worker adds to a step. It is measured with both workers
            on one machine, and assumed to be the same for any number of workers.
        sent_bytes: the bytes that two workers together send in a step; each of the two sends the gradients once.
        latency_us: the latency of one message.

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
    """A Markdown table of images a second, with the share of ideal scaling in brackets."""
    rows = []
    images_per_ms_alone = images_a_worker / compute_ms
    for count in workers:
        cells = []
        for speed in gigabits:
            step = step_milliseconds(count, speed, compute_ms, overhead_ms, sent_bytes, latency_us)
            throughput = count * images_a_worker / step
            cells.append(f"{1e3 * throughput:,.0f} ({throughput / (count * images_per_ms_alone):.0%})")
        rows.append([str(count), *cells])
    return markdown_table(["workers", *(f"{n:g} Gbit/s" for n in gigabits)], rows)
