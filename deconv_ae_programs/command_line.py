"""What all programs share: a quick and quiet start, the flags of a data set, and errors in one line.

A program's module and the first lines of its `main` import nothing that needs TensorFlow, and check all that can be
checked without it. Then `with loading():` imports the rest.
"""

import contextlib
import os
import re
import shlex
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from absl import app, flags, logging

from deconv_ae.data.kinds import CHOICES, FOLDER, check_available
from deconv_ae.data.source import COLOR_MODES, SAMPLE_NAME, Source
from deconv_ae.errors import InputError, Interrupted, RunError
from deconv_ae.model.presets import PRESETS
from deconv_ae.options import options_of
from deconv_ae.paths import checked_path, is_file
from deconv_ae.saved_model.model_card import ModelCard, model_directory
from deconv_ae_programs import library, option_flags, process

# Whether the user chose a log level below 3, the quietest. Even at 3, some libraries write before they read the level,
# so `quiet` drops their output.
_WANTS_LOGS = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3") != "3"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """A context that drops all output to stderr.

    TensorFlow's libraries write there while they load or convert, at any log level. Exceptions leave the context as
    usual. If the user has set TF_CPP_MIN_LOG_LEVEL below 3, no output is dropped.
    """
    if _WANTS_LOGS:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def require_tensorflow(backend: str) -> None:
    """Ends the program with one line if Keras does not use TensorFlow.

    Only the layers and the model run on other backends.
    """
    if backend != "tensorflow":
        sys.exit(
            process.print_error(
                f"KERAS_BACKEND: the programs need tensorflow, not {backend!r}; set it to tensorflow", 2
            )
        )


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """A context for a program's imports that need TensorFlow and take seconds. Enter it after the checks of the flags.

    A signal ends the program at once, even during these imports: see `deconv_ae.cleanup`.
    """
    # This check comes before Keras reads the variable: Keras raises a long error for a backend that is not installed.
    require_tensorflow(os.environ.get("KERAS_BACKEND") or "tensorflow")
    with quiet(), library.hide_packages(library.UNNEEDED):
        import keras
        import tensorflow as tf
    require_tensorflow(keras.backend.backend())  # ~/.keras/keras.json can name a backend, too.
    library.load()
    if not flags.FLAGS["verbosity"].present:
        tf.get_logger().setLevel("ERROR")
    yield


MAY_BE_EMPTY = {"cache_dir"}
"""Flags that accept an empty value. For other flags, an empty value is an error, as from an unset shell variable."""
TERMINAL_COLUMNS = 80
HELP = {"--help", "-help", "-h", "-?", "--helpshort"}

DATASET = flags.DEFINE_string("dataset", None, f"The images: {CHOICES}.")
given_reading_options = option_flags.define(Source, default_help="the model's own; for training, {}")
"""Returns the options for reading images that the user gave as flags, by name."""


_files: list[str] = []
_accepts_files = False


def accept_files() -> None:
    """Makes `parse` accept the names of files after the flags; `files` returns them."""
    global _accepts_files
    _accepts_files = True


def has_files() -> bool:
    """Whether the user named files after the flags."""
    return bool(_files)


def files(argument: str, advice: str) -> list[Path]:
    """Returns the files whose names follow the flags on the command line.

    Raises InputError, with `advice`, if there are no names, or if one of them is not the name of a file.
    """
    if not _files:
        raise InputError(f"{argument}: none given; {advice}")
    paths = [checked_path(argument, name) for name in _files]
    for file in paths:
        if not is_file(argument, file):
            raise InputError(f"{argument}: {file} is not a file; {advice}")
    return paths


def source(default: str | None = None) -> Source:
    """Returns the data set that the flags name, if it is available.

    Args:
        default: the data set's name if --dataset is left out; None makes --dataset required.

    Returns:
        The data set, and how its images are read.

    Raises:
        InputError: if no data set is given, or the given one is missing.
    """
    name = DATASET.value or default
    if name is None:
        raise InputError(f"dataset: not given; pass {CHOICES}")
    data_set = _with_flags(Source(name))
    check_available(data_set)
    return data_set


def reading_options(card: ModelCard) -> Source:
    """Returns how to read pictures: as the flags say, and as the model's card says where a flag is left out."""
    return _with_flags(card.source(card.dataset.name))


def source_of(cards: Sequence[ModelCard]) -> Source:
    """Returns the data set that --dataset names or, without --dataset, that of the first model's training.

    Images get the first model's size and, unless the flag color_mode says otherwise, its colours.

    Args:
        cards: the models' cards.

    Returns:
        The data set, and how its images are read.

    Raises:
        InputError: if the models take images of different shapes, if the flag image_size gives another size, or if
            the data set is missing.
    """
    first = cards[0]
    check_one_shape(cards)
    data_set = _with_flags(first.source(DATASET.value or first.dataset.name))
    height, width, _ = first.image_shape
    if data_set.image_size not in (None, (height, width)):
        raise InputError(f"image_size: {first.title} was made for {height}x{width}; give that size, or leave it out")
    if DATASET.value is None:
        _require_training_data(first, data_set)
    else:
        check_available(data_set)
    return data_set


def check_one_shape(cards: Sequence[ModelCard]) -> None:
    """Raises InputError if models take images of different shapes."""
    first, *others = cards
    for card in others:
        if card.image_shape != first.image_shape:
            statements = (
                f"{each.title} takes images of {'x'.join(map(str, each.image_shape))}" for each in (first, card)
            )
            raise InputError(f"model: {' and '.join(statements)}; give models of one shape")


def _require_training_data(card: ModelCard, data_set: Source) -> None:
    """Raises InputError if the images that the card's model was trained on are not available as `data_set`."""
    advice = f"pass --dataset, such as {FOLDER.name_form} or {SAMPLE_NAME}"
    if card.dataset.is_array:
        channels = card.image_shape[-1]
        if channels not in COLOR_MODES.values():
            advice = f"programs read images of 1 or 3 channels, and this model takes {channels}: use it from Python"
        raise InputError(
            f"dataset: not given, and {card.title} was trained on an array in Python, which no file holds; {advice}"
        )
    try:
        check_available(data_set)
    except InputError as error:
        reason = str(error).removeprefix("dataset: ").split("; ")[0]
        raise InputError(
            f"dataset: not given, and the data set of {card.title} is missing: {reason}; {advice}"
        ) from error


def check_source() -> None:
    """Raises InputError if a flag for reading images has a wrong value. It does not look for the data set."""
    _with_flags(Source(DATASET.value or SAMPLE_NAME))


def _with_flags(defaults: Source) -> Source:
    """Returns a copy of `defaults` in which the user's flags replace the values."""
    return replace(defaults, **given_reading_options())


def shell_command(program: str, arguments: Sequence[str]) -> str:
    """Returns a command line that the user can copy to start another program.

    The command line has the given arguments. It also has the flags that the user gave for reading images, except those
    whose values the model's card records. Its lines fit a terminal of 80 columns.
    """
    card_flags = {DATASET.name, *(name for name, (_, each) in options_of(Source).items() if each.decides_result)}
    present = [flag for flag in flags.FLAGS.get_key_flags_for_module(__name__) if flag.present]
    arguments = [*arguments, *(flag.serialize() for flag in present if flag.name not in card_flags)]
    script = Path(sys.argv[0]).with_name(f"{program}.py")
    command = f"python {shlex.quote(str(script))}" if _is_script() else start_command(program)
    return shell_lines(command, arguments)


def shell_lines(command: str, arguments: Sequence[str]) -> str:
    """Returns a command and its arguments, quoted for a shell, in lines that fit a terminal of 80 columns."""
    lines = [f"  {command}"]
    for argument in map(shlex.quote, arguments):
        if len(lines[-1]) + len(argument) > TERMINAL_COLUMNS - 3:  # Leaves room for two spaces and a backslash.
            lines[-1] += " \\"
            lines.append(f"    {argument}")
        else:
            lines[-1] += f" {argument}"
    return "\n".join(lines)


def start_command(program: str) -> str:
    """Returns the command that starts a program as this one was started: from a checkout, or installed."""
    return f"python scripts/{program}.py" if _is_script() else f"deconv-ae {program}"


def _is_script() -> bool:
    return Path(sys.argv[0]).suffix == ".py"


def checked_cards(models: Sequence[str | Path]) -> list[ModelCard]:
    """Reads and checks the cards of exported models. This needs no TensorFlow, unlike loading a model."""
    return [ModelCard.read(model_directory(model)) for model in models]


def reference_models() -> list[Path]:
    """Returns the directories of the presets' reference models for digits; raises InputError outside of a checkout."""
    folder = Path(__file__).parent.parent / "saved_models" / "reference"
    models = sorted(card.parent for card in folder.glob("*/model_card.json") if card.parent.name in PRESETS)
    if not models:
        raise InputError(
            "model: not given, and only a checkout has the reference models; pass the directory of an exported model"
        )
    return models


def run(main: Callable[[], None]) -> None:
    """Parses the flags, calls main and exits.

    Status 0: done; 1: the work failed; 2: bad usage or bad input; 128 + the signal's number: ended by SIGHUP, SIGINT or
    SIGTERM.
    """
    program = sys.modules[main.__module__]
    if not HELP.isdisjoint(sys.argv[1:]):
        print(_help(program))
        sys.exit(process.status_after_flush(0))
    sys.modules["__main__"].__doc__ = _description(program)  # absl's --helpfull prints it.
    app.run(lambda _: sys.exit(process.status_after_flush(status_of(main))), flags_parser=parse)


def _description(program: ModuleType) -> str:
    return re.sub(r"deconv-ae (\w+)", lambda match: start_command(match[1]), program.__doc__ or "")


def _help(program: ModuleType) -> str:
    """Returns a program's help: its description, its flags in groups, and how to see the other flags.

    The program's `FLAG_GROUPS` maps headings to names of flags. Flags in no group are under the first heading, too.
    """
    program_flags = {flag.name: flag for flag in flags.FLAGS.get_key_flags_for_module(program)}
    data_flags = {flag.name for flag in flags.FLAGS.get_key_flags_for_module(__name__)}
    groups = dict(getattr(program, "FLAG_GROUPS", {"flags": ()})) | {"data": data_flags & program_flags.keys()}
    first_heading, *_ = groups
    groups[first_heading] = [*groups[first_heading], *program_flags.keys() - set().union(*groups.values())]
    parts = [_description(program).rstrip()]
    for heading, names in groups.items():
        for name in names:
            flags.FLAGS.register_key_flag_for_module(heading, program_flags[name])
        parts += [flags.FLAGS.module_help(heading).strip()] if names else []
    footer = "--flagfile=FILE reads flags from a file, one on each line. --helpfull explains the libraries' flags too."
    return "\n\n".join([*parts, textwrap.fill(footer, TERMINAL_COLUMNS)])


def status_of(main: Callable[[], None]) -> int:
    """Calls main and returns the exit status.

    An InputError, a RunError, an interruption or a lack of memory is printed in one line. Other exceptions are not
    caught.
    """
    if not flags.FLAGS["verbosity"].present:
        # Hides what absl, TensorFlow and TFDS log about their progress. If they fail, they also raise an exception,
        # which is printed.
        logging.set_verbosity(logging.ERROR)
    try:
        main()
    except InputError as error:
        return process.print_error(error, 2)
    except RunError as error:
        return process.print_error(error, 1)
    except Interrupted as interruption:
        return process.print_error(interruption, 128 + interruption.signal_number)
    except Exception as error:
        if not _is_lack_of_memory(error):
            raise
        reason = (str(error).strip() or "no more is available").splitlines()[0]
        advice = "give a smaller --batch_size, --filters or --image_size"
        return process.print_error(f"memory ran out ({reason[:200]}); {advice}", 1)
    return 0


def _is_lack_of_memory(error: Exception) -> bool:
    tensorflow = sys.modules.get("tensorflow")  # TensorFlow's errors cannot occur before it is loaded.
    return isinstance(error, MemoryError) or (
        tensorflow is not None and isinstance(error, tensorflow.errors.ResourceExhaustedError)
    )


def parse(arguments: Sequence[str]) -> list[str]:
    """Sets the flags, and returns a list that holds only the program's name, as `app.run` expects.

    If the usage is wrong, prints one line and ends the program with status 2.
    """
    try:
        program, *rest = flags.FLAGS(list(arguments))
    except (flags.Error, ValueError) as error:  # absl's own --logger_levels raises a ValueError.
        sys.exit(process.print_error(error, 2))
    except SystemExit:  # --helpfull has been printed; absl would report a failure.
        sys.exit(process.status_after_flush(0))
    if _accepts_files:
        _files[:] = rest
    elif rest:
        sys.exit(process.print_error(f"unexpected argument {rest[0]!r}; every option is a flag, see --help", 2))
    for name, value in flags.FLAGS.flag_values_dict().items():
        if flags.FLAGS[name].present and name not in MAY_BE_EMPTY and _is_empty(value):
            sys.exit(
                process.print_error(f"{name}: is empty, as from an unset variable; give a value, or leave it out", 2)
            )
    return [program]


def _is_empty(value: object) -> bool:
    return value == "" or (isinstance(value, list) and (not value or "" in value))
