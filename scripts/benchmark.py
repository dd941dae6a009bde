"""Measures this project and its peers, side by side in one run.

python scripts/benchmark.py --suite=layers --output_dir=/tmp/benchmark
"""

import command_line
from absl import flags

from deconv_ae.benchmarking import SUITES, Options
from deconv_ae.errors import InputError

SUITE = flags.DEFINE_enum("suite", "layers", list(SUITES), "What to measure.")
ROUNDS = flags.DEFINE_integer("rounds", 15, "How often every contestant is timed; the median counts.")
MEMORY = flags.DEFINE_bool("memory", True, "Measure peak memory too, each contestant in a process of its own.")
OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Where to write SUITE.md and SUITE.json; nowhere if left out.")


def main() -> None:
    if ROUNDS.value < 1:
        raise InputError(f"rounds: {ROUNDS.value} is not 1 or more")
    report = SUITES[SUITE.value](Options(rounds=ROUNDS.value, memory=MEMORY.value))
    print(report.to_markdown())
    if OUTPUT_DIR.value is not None:
        report.save(OUTPUT_DIR.value, SUITE.value)


if __name__ == "__main__":
    command_line.run(main)
