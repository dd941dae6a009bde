"""Unusable paths and locks, and splits too large for the memory, are refused in one line that names them."""

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.refusals import run_command_lines
from PIL import Image

from deconv_ae import numbers, paths
from deconv_ae.data import Source, load_dataset
from deconv_ae.errors import InputError, first_line
from deconv_ae.files import lock_exclusively, open_to_read, partial_beside, partials, read_with_checksum

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links, pipes and permissions are POSIX's")

TOO_LONG = {"part": "x" * 256, "whole": "/".join(["x" * 200] * 21)}
QUERIES: dict[str, Callable[[str], object]] = {
    "exists": lambda path: paths.exists("it", path),
    "is_file": lambda path: paths.is_file("it", path),
    "is_directory": lambda path: paths.is_directory("it", path),
    "directory_to_read": lambda path: paths.directory_to_read("it", path, "give another"),
    "directory_to_write": lambda path: paths.directory_to_write("it", path),
    "resolved": lambda path: paths.resolved("it", path),
    "check_disjoint": lambda path: paths.check_disjoint({"it": path, "other": "/tmp"}),
}


@pytest.mark.parametrize("path", TOO_LONG.values(), ids=TOO_LONG)
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_too_long_path_is_refused(query: Callable[[str], object], path: str) -> None:
    with pytest.raises(InputError, match=r"^it: x.* File name too long; give another$"):
        query(path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the test gives up privileges by Linux's system call")
def test_programs_report_unusable_paths_in_one_line(tmp_path: Path) -> None:
    for name in ("closed/pictures", "listed", "parent/listed"):
        (tmp_path / name).mkdir(parents=True)
        Image.new("L", (8, 8), 99).save(tmp_path / name / "0.png")
    # Mode 444 lets a program list a folder, but not open the files in it.
    for name, mode in (("closed", 0), ("listed", 0o444), ("parent/listed", 0o444)):
        (tmp_path / name).chmod(mode)
    unreadable, too_long = ("closed/pictures", "listed", "parent"), [*TOO_LONG.values()]
    train_lines = [[f"--dataset=folder:{path}"] for path in (*unreadable, *too_long)]
    for flag in ("data_dir", "manual_dir"):
        train_lines += [["--dataset=mnist", f"--{flag}={path}"] for path in (*too_long, *unreadable[:2])]
    for flag in ("run_dir", "export_dir"):
        train_lines += [["--dataset=mnist_5k", f"--{flag}={path}"] for path in too_long]
    evaluate_lines = [[f"--model={path}.keras"] for path in (*unreadable[:1], *too_long)]
    for program, command_lines in (("train.py", train_lines), ("evaluate.py", evaluate_lines)):
        for arguments, refusal in zip(command_lines, run_command_lines(program, command_lines, tmp_path)):
            assert refusal.status == 2, (arguments, refusal)
            assert refusal.stderr.count("\n") == 1, (arguments, refusal)
            flag = arguments[-1].removeprefix("--").split("=")[0]
            assert refusal.stderr.startswith(f"error: {flag}: "), (arguments, refusal)
    for name in ("closed", "listed", "parent/listed"):
        (tmp_path / name).chmod(0o700)


def make_socket(path: Path) -> None:
    previous_directory = Path.cwd()
    os.chdir(path.parent)  # The full path may be too long for a socket.
    socket.socket(socket.AF_UNIX).bind(path.name)
    os.chdir(previous_directory)


NOT_FILES: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a socket": make_socket,
    "a directory": Path.mkdir,
}


@pytest.mark.parametrize("make", NOT_FILES.values(), ids=NOT_FILES)
def test_what_is_not_a_file_is_refused_without_blocking(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "file")
    for read in (open_to_read, read_with_checksum):
        with pytest.raises(OSError, match="it is not a file"):
            read(tmp_path / "file")
    for number in range(6):
        Image.new("L", (4, 4), 40 * number).save(tmp_path / f"{number}.png")
    dataset = load_dataset(Source(f"folder:{tmp_path}", cache_dir="", skip_bad_images=True))
    assert len(dataset.train) + len(dataset.test) == 6


def test_unavailable_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.lock").mkdir()
    with pytest.raises(InputError, match=r"run_dir: .*run.lock cannot be locked: Is a directory; remove it"):
        lock_exclusively("run_dir", tmp_path, tmp_path / "run.lock")
    first = lock_exclusively("run_dir", tmp_path, tmp_path / "other.lock")
    with pytest.raises(InputError, match="is in use by another run"):
        lock_exclusively("run_dir", tmp_path, tmp_path / "other.lock")
    first.release()
    lock_exclusively("run_dir", tmp_path, tmp_path / "other.lock").release()


def link_folders_with_each_other(folder: Path) -> str:
    """Makes three folders with links to each other, and returns words of the expected error."""
    for name in "abc":
        (folder / name).mkdir()
        Image.new("L", (4, 4), 99).save(folder / name / "0.png")
    for name in "abc":
        for other in "abc".replace(name, ""):
            (folder / name / f"to-{other}").symlink_to(folder / name / f"../{other}")
    return "its pictures would be read twice"


def link_to_a_sibling(folder: Path) -> str:
    """Makes a folder and a link to it, and returns words of the expected error."""
    (folder / "a").mkdir()
    Image.new("L", (4, 4), 99).save(folder / "a" / "0.png")
    (folder / "b").symlink_to("a")
    return f"{folder}/b leads to {folder}/a"


def link_to_the_other_split(folder: Path) -> str:
    """Makes a folder `train` and a link `test` to it, and returns words of the expected error."""
    (folder / "train").mkdir()
    Image.new("L", (4, 4), 99).save(folder / "train" / "0.png")
    (folder / "test").symlink_to("train")
    return f"{folder}/test leads to {folder}/train"


@pytest.mark.parametrize("make_links", [link_folders_with_each_other, link_to_a_sibling, link_to_the_other_split])
def test_folder_with_two_paths_is_refused(tmp_path: Path, make_links: Callable[[Path], str]) -> None:
    message = make_links(tmp_path)
    with pytest.raises(InputError, match=message):
        load_dataset(Source(f"folder:{tmp_path}", cache_dir=""))


def test_deeply_nested_folders_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(1250):
        if number % 625 == 0:
            Image.new("L", (4, 4), 99).save(f"{number}.png")
        Path("a").mkdir()
        os.chdir("a")
    dataset = load_dataset(Source(f"folder:{tmp_path}", cache_dir=""))
    assert (len(dataset.train), len(dataset.test)) == (1, 1)
    for _ in range(1250):  # pytest cannot delete such a deep folder.
        os.chdir("..")
        Path("a").rmdir()
        for picture in Path().glob("*.png"):
            picture.unlink()


def test_partial_files_of_similar_names_are_kept_apart(tmp_path: Path) -> None:
    first, other = tmp_path / "model", tmp_path / "my-model"
    partial_files = [partial_beside(path) for path in (first, other, first)]
    for path in partial_files:
        path.touch()
    assert sorted(partials(first)) == sorted((partial_files[0], partial_files[2]))
    assert list(partials(other)) == [partial_files[1]]


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
def test_memory_is_the_tightest_limit(
    tmp_path: Path, limits: dict[str, str], expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, limit in limits.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(limit + "\n")
    files = [tmp_path / name for name in ("memory.max", "memory/memory.limit_in_bytes", *limits)]
    monkeypatch.setattr(numbers, "_limit_files", lambda: [])
    unlimited = numbers.available_memory()
    monkeypatch.setattr(numbers, "_limit_files", lambda: files)
    assert numbers.available_memory() == (expected or unlimited)


def test_split_above_half_of_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        Image.new("L", (64, 64), 40 * number).save(tmp_path / f"{number}.png")
    monkeypatch.setattr(numbers, "available_memory", lambda: 5 * 64 * 64)
    for source in (Source(f"folder:{tmp_path}", cache_dir=""), Source("mnist_5k", cache_dir="")):
        with pytest.raises(InputError, match=r"dataset: a split of .* takes .* above .* half of the memory"):
            load_dataset(source)


def test_first_line_drops_tensorflows_decoration() -> None:
    decorated_line = "{{function_node __wrapped__IteratorGetNext}} truncated record at 110 [Op:IteratorGetNext] name:"
    assert first_line(ValueError(f"\n{decorated_line}\nand more")) == "truncated record at 110"
