r"""Predicts the speed of 8 to 256 workers from measurements of one and two.

python scripts/model_cluster.py --compute_ms=7 --overhead_ms=12 \
    --sent_bytes=7700 --images_a_worker=128
"""

import installed

installed.begin()

from absl import flags
from benchmarks.cluster_model import table

from deconv_ae.numbers import checked_integer, checked_number
from deconv_ae_programs import command_line

COMPUTE_MS = flags.DEFINE_float(
    "compute_ms", None, "The time of a step of a single process, in milliseconds.", required=True
)
OVERHEAD_MS = flags.DEFINE_float(
    "overhead_ms",
    None,
    "The time, besides computing, that a second worker on the same machine adds to a step, in milliseconds.",
    required=True,
)
SENT_BYTES = flags.DEFINE_float(
    "sent_bytes", None, "The bytes that two workers together send in a step.", required=True
)
LATENCY_US = flags.DEFINE_float(
    "latency_us", 50.0, "The assumed latency of a message between machines, in microseconds."
)
IMAGES_A_WORKER = flags.DEFINE_integer("images_a_worker", 128, "Each worker's share of a batch.")


def main() -> None:
    """Checks the flags, and prints the table."""
    checked_number("compute_ms", COMPUTE_MS.value, above=0)
    for flag in (OVERHEAD_MS, SENT_BYTES, LATENCY_US):
        checked_number(flag.name, flag.value, least=0)
    checked_integer("images_a_worker", IMAGES_A_WORKER.value, least=1)
    print(table(COMPUTE_MS.value, OVERHEAD_MS.value, SENT_BYTES.value, LATENCY_US.value, IMAGES_A_WORKER.value))


if __name__ == "__main__":
    command_line.run(main)
