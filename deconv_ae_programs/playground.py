"""Serves a page to draw a digit on.

The page shows the codes and reconstructions that models make of the digit, and
lets you change a code and its switches before they are decoded.

deconv-ae playground
deconv-ae playground --model=saved_models/mine --dataset=mnist_5k
deconv-ae playground --model=saved_models/mine --dataset=folder:photos
"""

import importlib.util
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from deconv_ae.errors import InputError
from deconv_ae.playground.address import bind_socket, urls_for_others
from deconv_ae.saved_model.model_card import model_directory
from deconv_ae_programs import command_line, process

flags.adopt_module_key_flags(command_line)

MODELS = flags.DEFINE_multi_string(
    "model",
    None,
    "The directory of an exported model; repeat the flag for more models. Default: the reference models of a checkout, "
    "in saved_models/reference",
)
HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "The address to listen on; 0.0.0.0 or :: lets other machines in, without a password."
)
PORT = flags.DEFINE_integer("port", 7860, "The port to listen on.")
OPEN_BROWSER = flags.DEFINE_bool("open_browser", False, "Open the page in this machine's browser.")


def main() -> None:
    """Checks the flags, and serves the page."""
    for package in ("starlette", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            raise InputError(
                f"the page needs {package}, which is not installed; run pip install 'deconv_ae[playground]'"
            )
    bound_socket = bind_socket(HOST.value, PORT.value)
    command_line.check_source()
    paths: Sequence[str | Path] = MODELS.value or command_line.reference_models()
    cards = command_line.checked_cards(paths)
    source = command_line.source_of(cards)
    for path, card in zip(paths, cards):
        for name in card.checksums:
            card.check_file(model_directory(path), name)
    with command_line.loading(), command_line.quiet():
        from deconv_ae.data import load_split
        from deconv_ae.playground.page import Playground
        from deconv_ae.saved_model.serving import ServedAutoencoder
    models = [ServedAutoencoder(path) for path in paths]
    test_images = load_split(source, "test")
    command = f"{command_line.start_command('playground')} {shlex.join(sys.argv[1:])}".rstrip()
    playground = Playground(models, test_images, command)
    # When the server ends, it restores the handler of Ctrl-C that it found at its start. So the handler is set before.
    process.raise_on_ctrl_c()
    playground.serve(bound_socket, HOST.value, _print_address, OPEN_BROWSER.value)
    os._exit(process.status_after_flush(0))  # All work is done, and TensorFlow would take seconds to shut down.


def _print_address(address: str) -> None:
    urls = urls_for_others(HOST.value, PORT.value)
    if urls:
        print(f"other machines can use the page, without a password, at {' and '.join(urls)}")
    print(f"open {address}; Ctrl-C stops it", flush=True)
