"""Every flag of every program gets each of VALUES; wrong values give one error line."""

import os
import re
from pathlib import Path

import pytest
from faults.programs import SCRIPTS
from faults.refusals import Flag, flags_of, run_command_lines

STARTING_LINE = re.compile(r"^(    command_line.run\(main\)|installed.run\(\"\w+\"\))$", re.MULTILINE)
PROGRAMS_WITHOUT_FLAGS = {"run_notebooks.py"}
PROGRAMS = sorted(
    {file.name for file in SCRIPTS.glob("*.py") if STARTING_LINE.search(file.read_text())} - PROGRAMS_WITHOUT_FLAGS
)
MOST_SECONDS = 5.0

# Flags with which a program ends at once with status 2, because its input is missing or a number is too low.
REFUSED_FLAGS = {
    "benchmark.py": ("--readme=nowhere/README.md",),
    "compare_starts.py": ("--dataset=folder:nowhere",),
    "compress.py": ("--model=nowhere",),
    "convert.py": ("--model=nowhere", "--format=onnx"),
    "decompress.py": ("--model=nowhere",),
    "evaluate.py": ("--model=nowhere",),
    "model_cluster.py": ("--images_a_worker=0", "--compute_ms=1", "--overhead_ms=1", "--sent_bytes=1"),
    "playground.py": ("--model=nowhere", "--port=17861"),
    "reproduce.py": ("--dataset=folder:nowhere",),
    "torture.py": ("--minutes=-1", "--other_faults=0"),
    "train.py": ("--dataset=folder:nowhere",),
    "visualize.py": ("--model=nowhere",),
}
# If the tested flag replaces one of the REFUSED_FLAGS and its value may be right, this flag ends the program instead.
OTHER_REFUSED_FLAG = {
    "benchmark.py": "--rounds=0",
    "model_cluster.py": "--images_a_worker=0",
    "torture.py": "--seed=-1",
}

VALUES = {
    "empty": "",
    "a word": "x",
    "zero": "0",
    "negative": "-1",
    "huge": "1" + 20 * "0",
    "not a number": "nan",
    "infinite": "inf",
    "a file": "file.txt",
    "a folder": "folder",
    "a link to nothing": "dangling",
    "a link to itself": "circle",
    "below a file": "file.txt/below",
    "missing": "nowhere/below",
    "without permission": "closed/below",
    "too long": 300 * "x",
    "an address": "gs://bucket/below",
    "no UTF-8": "caf\udce9",
    "control characters": "\x1b[31mred",
    "nobody's home": "~nobody-of-this-name/below",
}
NOT_PATHS = {"an address", "no UTF-8", "control characters", "nobody's home"}
NOT_WRITABLE = NOT_PATHS | {"a link to nothing", "a link to itself", "below a file", "without permission", "too long"}
MAY_BE_READ_ONLY = ("data_dir", "manual_dir", "cache_dir")
NOT_NUMBERS = {"empty", "a word", "not a number", "a file", "missing"}


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    (tmp_path / "file.txt").write_text("years of work")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file.txt").write_text("years of work")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "closed").mkdir(mode=0)
    return tmp_path


def must_be_named(flag: Flag, value_name: str) -> bool:
    """Whether the value is known to be wrong whatever the other flags are, so that the error must name the flag."""
    if value_name == "empty":
        return flag.name != "cache_dir"
    if flag.kind == "int":
        return value_name in NOT_NUMBERS | {"huge", "infinite"}
    if flag.kind == "float":
        return value_name in NOT_NUMBERS | {"infinite"}
    return flag.name.endswith("_dir") and value_name in (NOT_PATHS if flag.name in MAY_BE_READ_ONLY else NOT_WRITABLE)


@pytest.mark.skipif(os.name != "posix", reason="links and permissions are POSIX's")
@pytest.mark.parametrize("program", PROGRAMS)
def test_wrong_values_give_one_error_line_and_write_nothing(workplace: Path, program: str) -> None:
    cases = [(flag, value_name) for flag in flags_of(program, workplace) for value_name in VALUES]
    assert cases
    command_lines = []
    for flag, value_name in cases:
        other_flags = [each for each in REFUSED_FLAGS[program] if not each.startswith(f"--{flag.name}=")]
        is_surely_refused = must_be_named(flag, value_name) or len(other_flags) == len(REFUSED_FLAGS[program])
        # If the tested value may be right, another flag must keep the program from starting its work.
        if program in OTHER_REFUSED_FLAG and not is_surely_refused:
            other_flags.append(OTHER_REFUSED_FLAG[program])
        command_lines.append([f"--{flag.name}={VALUES[value_name]}", *other_flags])
    problems = []
    for (flag, value_name), arguments, refusal in zip(
        cases, command_lines, run_command_lines(program, command_lines, workplace)
    ):
        lines = refusal.stderr.strip().splitlines()
        is_good_refusal = (
            refusal.status == 2
            and len(lines) == 1
            and lines[0].startswith("error: ")
            and lines[0].isprintable()
            # The program creates the cache directory before it finds that there are no images.
            and (not refusal.changed_files or flag.name == "cache_dir")
            and refusal.seconds < MOST_SECONDS
            and (flag.name in lines[0] or not must_be_named(flag, value_name))
        )
        if not is_good_refusal:
            problems.append((ascii(arguments), refusal))
    assert not problems, "\n".join(map(str, problems))
