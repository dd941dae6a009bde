"""The command `deconv-ae PROGRAM --flags`."""

import importlib
import sys

from deconv_ae_programs import library, process

PROGRAMS = {
    "train": "trains an autoencoder, evaluates it and exports it as a SavedModel",
    "evaluate": "prints the quality of an exported model, and the size of its codes",
    "visualize": "draws codes and reconstructions of test images",
    "convert": "converts an exported model for ONNX Runtime, LiteRT, OpenVINO",
    "compress": "compresses pictures to small files, with an exported model",
    "decompress": "turns these files into pictures",
    "playground": "serves a page to draw on, and to change a code before decoding",
}
"""The programs, each a module of this package."""
HELP = ("--help", "-h", "help")


def main() -> None:
    """Runs the command `deconv-ae`. Its first argument is a program's name; the program's flags and files follow."""
    begin()
    _, *arguments = sys.argv
    name = arguments[0] if arguments else None
    if name in HELP:
        print("usage: deconv-ae PROGRAM --flags", "", sep="\n")
        for each, description in PROGRAMS.items():
            print(f"  {each:<12}{description}")
        print("", "deconv-ae PROGRAM --help explains a program's flags.", sep="\n")
        sys.exit(process.status_after_flush(0))
    if name is None or name not in PROGRAMS:
        problem = "no program is given" if name is None else f"unknown program {name!r}"
        sys.exit(
            process.print_error(f"{problem}; choose one of {', '.join(PROGRAMS)}, as in deconv-ae train --help", 2)
        )
    sys.argv = [f"deconv-ae {name}", *arguments[1:]]
    run(name)


def begin() -> None:
    """Prepares the process. Call it before importing `deconv_ae` or a program; imports can then have any order."""
    process.begin()
    library.defer()


def run(name: str) -> None:
    """Runs one of PROGRAMS with the flags in `sys.argv`, and exits with its status. Call `begin` first."""
    try:
        from deconv_ae_programs import command_line

        command_line.run(importlib.import_module(f"deconv_ae_programs.{name}").main)
    except ModuleNotFoundError as error:
        from deconv_ae.errors import missing_package_message

        message = missing_package_message(error)
        if message is None:
            raise
        sys.exit(process.print_error(f"{name} {message}", 2))
