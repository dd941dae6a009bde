"""Measures this project and its peers, side by side in one run.

python scripts/benchmark.py --suite=training --output_dir=runs/benchmark

PyTorch is one of the peers if it is installed:
pip install '.[benchmark,convert,sample]'
"""

import installed

installed.begin()

import dataclasses

from absl import flags, logging
from benchmarks import instruction_sets
from benchmarks.suites import SUITES
from markdown_page import read_section, replace_section

from deconv_ae.errors import RunError
from deconv_ae.numbers import checked_integer
from deconv_ae.paths import checked_path, directory_to_write
from deconv_ae_programs import command_line

SUITE = flags.DEFINE_enum("suite", "layers", list(SUITES), "The suite to measure.")
ISA = flags.DEFINE_enum(
    "isa",
    instruction_sets.NATIVE,
    list(instruction_sets.ISAS),
    "The newest instructions that contestants may use. native: all that the CPU has. The table of any other "
    "value is named SUITE-ISA.",
)
ROUNDS = flags.DEFINE_integer(
    "rounds", 15, "The number of rounds. In each, every contestant has a turn; the median over all rounds counts."
)
MEMORY = flags.DEFINE_bool("memory", True, "Measure peak memory too.")
OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "The directory for SUITE.md, SUITE.json and SUITE.png; without a directory, no file is written."
)
README = flags.DEFINE_string(
    "readme",
    None,
    "A text file in which the table replaces the text between <!-- SUITE:begin --> and <!-- SUITE:end -->.",
)


def main() -> None:
    """Checks the flags, measures, and writes the table."""
    checked_integer("rounds", ROUNDS.value, least=1)
    name = SUITE.value if ISA.value == instruction_sets.NATIVE else f"{SUITE.value}-{ISA.value}"
    if OUTPUT_DIR.value is not None:
        directory_to_write("output_dir", OUTPUT_DIR.value)
    if README.value is not None:
        # Measuring takes minutes, so a file without the section is refused first.
        read_section(checked_path("readme", README.value), name)
    instruction_sets.limit(ISA.value)
    logging.set_verbosity(logging.INFO)
    with command_line.loading():
        from benchmarks.report import Options
        from benchmarks.suites import suite
    report = suite(SUITE.value)(Options(rounds=ROUNDS.value, memory=MEMORY.value))
    report = dataclasses.replace(report, notes=[*report.notes, instruction_sets.note(ISA.value)])
    print(report.to_markdown())
    if OUTPUT_DIR.value is not None:
        report.save(OUTPUT_DIR.value, name)
    if report.failures:
        raise RunError("; ".join(report.failures))
    if README.value is not None:
        replace_section(checked_path("readme", README.value), name, report.to_markdown(heading=False))


if __name__ == "__main__":
    command_line.run(main)
