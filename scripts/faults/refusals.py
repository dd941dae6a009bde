"""Runs many command lines of one program in one process. The program must refuse each of them before any work."""

import contextlib
import ctypes
import importlib
import io
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from faults.programs import SCRIPTS, start_process

TIMEOUT_SECONDS = 300


@dataclass(frozen=True)
class Outcome:
    """The exit status, the standard error and the duration of a command line, and whether it changed any file."""

    status: int
    stderr: str
    seconds: float
    changed_files: bool


@dataclass(frozen=True)
class Flag:
    """A flag of a program; `kind` is absl's name for the flag's type."""

    name: str
    kind: str


def flags_of(program: str, directory: Path) -> list[Flag]:
    """Returns all flags of a program of scripts/: its own, and those that its module adopts from other modules."""
    return _call_in_process(_flags_of, program, directory)


def run_command_lines(program: str, command_lines: Sequence[Sequence[str]], directory: Path) -> list[Outcome]:
    """Runs each command line in `directory`, without root's privileges.

    One process runs all command lines, so it loads TensorFlow and the libraries of data sets only once.
    """
    return _call_in_process(_run_all, program, directory, [list(arguments) for arguments in command_lines])


def _call_in_process(function: Callable[..., Any], *arguments: Any) -> Any:
    process, receiver = start_process(_send_result, function, arguments)
    try:
        if not receiver.poll(TIMEOUT_SECONDS):
            raise TimeoutError(f"{arguments[0]} took more than {TIMEOUT_SECONDS} s")
        return receiver.recv()
    finally:
        process.kill()
        process.join()


def _send_result(sender: Connection, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
    sender.send(function(*arguments))


def _flags_of(program: str, directory: Path) -> list[Flag]:
    from absl import flags

    module = _import_program(program, directory)
    return [Flag(flag.name, flag.flag_type()) for flag in flags.FLAGS.get_key_flags_for_module(module)]


def _run_all(program: str, directory: Path, command_lines: list[list[str]]) -> list[Outcome]:
    module = _import_program(program, directory)
    drop_privileges()
    return [_run(module, program, directory, arguments) for arguments in command_lines]


def _import_program(program: str, directory: Path) -> Any:
    """Makes `directory` the working directory, and returns the program's module."""
    os.chdir(directory)
    sys.path.insert(0, str(SCRIPTS))
    from deconv_ae_programs.commands import PROGRAMS

    name = Path(program).stem
    return importlib.import_module(f"deconv_ae_programs.{name}" if name in PROGRAMS else name)


def _run(module: Any, program: str, directory: Path, arguments: list[str]) -> Outcome:
    from absl import flags

    from deconv_ae_programs import command_line

    # Clears the flags, which the previous command line may have set in this process.
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
    flags.FLAGS.unparse_flags()
    files_before, started, errors = _files(directory), time.monotonic(), io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        try:
            command_line.parse([program, *arguments])
            status = command_line.status_of(module.main)
        except SystemExit as system_exit:
            status = int(system_exit.code or 0)
        except Exception as error:
            status = 1
            print(f"Traceback: {type(error).__name__}: {error}", file=errors)
    return Outcome(status, errors.getvalue(), time.monotonic() - started, _files(directory) != files_before)


def _files(directory: Path) -> set[tuple[str, int, int]]:
    """Returns the path and size of every file and folder below a directory, and the time of change of every file.

    Leaves out what this user cannot reach.
    """
    entries = set()
    for parent, folders, names in os.walk(directory):
        for name in (*folders, *names):
            try:
                state = (Path(parent) / name).lstat()
            except PermissionError:  # The user can list the directory, but not enter it.
                continue
            # A folder's time is left out, because it changes even if a file is created and removed again.
            entries.add((os.path.join(parent, name), state.st_size, 0 if name in folders else state.st_mtime_ns))  # noqa: PTH118
    return entries


def drop_privileges() -> None:
    """Drops the capabilities that let root read and write every file, if this process has them."""
    libc = ctypes.CDLL(None)
    if not sys.platform.startswith("linux") or not hasattr(libc, "capset"):
        return
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    libc.capset(header, (ctypes.c_uint32 * 6)())
