"""What the disk has where pictures are expected: asked in one way, and refused in one line that names it."""

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.refusals import run_all
from PIL import Image

from deconv_ae import numbers, paths
from deconv_ae.data import Source, load_dataset
from deconv_ae.errors import InputError, first_line
from deconv_ae.files import lock_exclusively, open_to_read, partial_beside, partials, read_with_checksum

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links, pipes and permissions are POSIX's")

LONG = {"part": "x" * 256, "whole": "/".join(["x" * 200] * 21)}
ASK: dict[str, Callable[[str], object]] = {
    "exists": lambda path: paths.exists("it", path),
    "is_file": lambda path: paths.is_file("it", path),
    "is_directory": lambda path: paths.is_directory("it", path),
    "directory_to_read": lambda path: paths.directory_to_read("it", path, "give another"),
    "directory_to_write": lambda path: paths.directory_to_write("it", path),
    "resolved": lambda path: paths.resolved("it", path),
    "check_apart": lambda path: paths.check_apart({"it": path, "other": "/tmp"}),
}


@pytest.mark.parametrize("path", LONG.values(), ids=LONG)
@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
def test_a_path_that_is_too_long_is_refused(ask: Callable[[str], object], path: str) -> None:
    with pytest.raises(InputError, match=r"^it: x.* File name too long; give another$"):
        ask(path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="privileges are given up as Linux has it")
def test_programs_say_what_the_disk_does_not_let_them_ask(tmp_path: Path) -> None:
    for name in ("closed/pictures", "listed", "with/listed"):
        (tmp_path / name).mkdir(parents=True)
        Image.new("L", (8, 8), 99).save(tmp_path / name / "0.png")
    for name, mode in (("closed", 0), ("listed", 0o444), ("with/listed", 0o444)):
        (tmp_path / name).chmod(mode)
    closed, long = ("closed/pictures", "listed", "with"), [*LONG.values()]
    train = [[f"--dataset=folder:{path}"] for path in (*closed, *long)]
    for flag in ("data_dir", "manual_dir"):
        train += [["--dataset=mnist", f"--{flag}={path}"] for path in (*long, *closed[:2])]
    for flag in ("run_dir", "export_dir"):
        train += [["--dataset=mnist_5k", f"--{flag}={path}"] for path in long]
    evaluate = [[f"--model={path}.keras"] for path in (*closed[:1], *long)]
    for program, command_lines in (("train.py", train), ("evaluate.py", evaluate)):
        for arguments, refusal in zip(command_lines, run_all(program, command_lines, tmp_path)):
            assert refusal.status == 2, (arguments, refusal)
            assert refusal.stderr.count("\n") == 1, (arguments, refusal)
            flag = arguments[-1].removeprefix("--").split("=")[0]
            assert refusal.stderr.startswith(f"error: {flag}: "), (arguments, refusal)
    for name in ("closed", "listed", "with/listed"):
        (tmp_path / name).chmod(0o700)


def a_socket(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # Whose whole name may be too long for one.
    socket.socket(socket.AF_UNIX).bind(path.name)
    os.chdir(before)


NO_FILES: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a socket": a_socket,
    "a directory": Path.mkdir,
}


@pytest.mark.parametrize("make", NO_FILES.values(), ids=NO_FILES)
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "file")
    for read in (open_to_read, read_with_checksum):
        with pytest.raises(OSError, match="it is no file"):
            read(tmp_path / "file")
    for number in range(6):
        Image.new("L", (4, 4), 40 * number).save(tmp_path / f"{number}.png")
    dataset = load_dataset(Source(f"folder:{tmp_path}", cache_dir="", skip_bad_images=True))
    assert len(dataset.train) + len(dataset.test) == 6


def test_a_lock_that_cannot_be_had_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run.lock").mkdir()
    with pytest.raises(InputError, match=r"run_dir: .*run.lock cannot be locked: Is a directory; remove it"):
        lock_exclusively("run_dir", tmp_path, tmp_path / "run.lock")
    first = lock_exclusively("run_dir", tmp_path, tmp_path / "other.lock")
    with pytest.raises(InputError, match="is in use by another run"):
        lock_exclusively("run_dir", tmp_path, tmp_path / "other.lock")
    first.release()
    lock_exclusively("run_dir", tmp_path, tmp_path / "other.lock").release()


def linked(folder: Path) -> str:
    for one in "abc":
        (folder / one).mkdir()
        Image.new("L", (4, 4), 99).save(folder / one / "0.png")
    for one in "abc":
        for other in "abc".replace(one, ""):
            (folder / one / f"to-{other}").symlink_to(folder / one / f"../{other}")
    return "its pictures would be read twice"


def to_a_sibling(folder: Path) -> str:
    (folder / "a").mkdir()
    Image.new("L", (4, 4), 99).save(folder / "a" / "0.png")
    (folder / "b").symlink_to("a")
    return f"{folder}/b leads to {folder}/a"


@pytest.mark.parametrize("make", [linked, to_a_sibling])
def test_a_folder_that_is_reached_in_two_ways_is_refused(tmp_path: Path, make: Callable[[Path], str]) -> None:
    said = make(tmp_path)
    with pytest.raises(InputError, match=said):
        load_dataset(Source(f"folder:{tmp_path}", cache_dir=""))


def test_folders_may_lie_deep_within_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(1250):
        if number % 625 == 0:
            Image.new("L", (4, 4), 99).save(f"{number}.png")
        Path("a").mkdir()
        os.chdir("a")
    dataset = load_dataset(Source(f"folder:{tmp_path}", cache_dir=""))
    assert (len(dataset.train), len(dataset.test)) == (1, 1)
    for _ in range(1250):  # Which pytest, that deletes it at last, could not.
        os.chdir("..")
        Path("a").rmdir()
        for picture in Path().glob("*.png"):
            picture.unlink()


def test_what_is_partial_has_one_name_and_belongs_to_one_file(tmp_path: Path) -> None:
    first, other = tmp_path / "model", tmp_path / "my-model"
    made = [partial_beside(path) for path in (first, other, first)]
    for path in made:
        path.touch()
    assert sorted(partials(first)) == sorted((made[0], made[2]))
    assert list(partials(other)) == [made[1]]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, None),
        ({"memory.max": "max"}, None),
        ({"memory.max": "1048576"}, 1048576),
        ({"a/b/memory.max": "2097152", "a/memory.max": "1048576", "memory.max": "max"}, 1048576),
        ({"memory/memory.limit_in_bytes": "1048576"}, 1048576),
        ({"memory.max": "no number"}, None),
    ],
)
def test_memory_is_what_the_tightest_limit_leaves(
    tmp_path: Path, limits: dict[str, str], expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, limit in limits.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(limit + "\n")
    files = [tmp_path / name for name in ("memory.max", "memory/memory.limit_in_bytes", *limits)]
    unlimited = numbers.memory()
    monkeypatch.setattr(numbers, "_limit_files", lambda: files)
    assert numbers.memory() == (expected or unlimited)


def test_a_split_that_memory_does_not_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        Image.new("L", (64, 64), 40 * number).save(tmp_path / f"{number}.png")
    monkeypatch.setattr(numbers, "memory", lambda: 5 * 64 * 64)
    for source in (Source(f"folder:{tmp_path}", cache_dir=""), Source("mnist_5k", cache_dir="")):
        with pytest.raises(InputError, match=r"dataset: a split of .* takes .* above half of the memory"):
            load_dataset(source)


def test_of_other_libraries_errors_the_first_line_is_quoted() -> None:
    graph = "{{function_node __wrapped__IteratorGetNext}} truncated record at 110 [Op:IteratorGetNext] name:"
    assert first_line(ValueError(f"\n{graph}\nand more")) == "truncated record at 110"
