"""What the programs share: quick and quiet start, flags of a data set, and errors in one line with an exit status.

A program's module and the first lines of its `main` import nothing that needs TensorFlow, and refuse what can be
refused without it; then `with loading():` imports the rest.
"""

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from absl import app, flags, logging

from deconv_ae.data.kinds import CHOICES, check_available
from deconv_ae.data.source import COLOR_MODES, FITS, MOST_PIXELS, SAMPLE_NAME, Source
from deconv_ae.data.split import SPLIT_BY as SPLIT_BY_WHAT
from deconv_ae.errors import InputError, Interrupted, RunError
from deconv_ae.model.presets import PRESETS
from deconv_ae.numbers import pair
from deconv_ae.options import listed
from deconv_ae.paths import given, is_file
from deconv_ae.saved_model.model_card import ModelCard, model_directory
from deconv_ae_programs import library, process

# 3, its highest, leaves out less than it says: some libraries write before they know of it.
_WANTS_LOGS = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3") != "3"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """TensorFlow's libraries write to stderr while they load or convert, whatever the log level; drop that.

    What goes wrong in the meantime is an exception, and still is. Whoever sets
    TF_CPP_MIN_LOG_LEVEL below 3 gets everything.
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
    """Ends the program with one line where Keras would run on another backend: only the layers and the model do."""
    if backend != "tensorflow":
        sys.exit(process.say(f"KERAS_BACKEND: the programs need tensorflow, not {backend!r}; unset it for them", 2))


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Around a program's imports of what needs TensorFlow, which take seconds: once, when its flags have been checked.

    A signal ends the program at once, as before and after it: see `deconv_ae.cleanup`.
    """
    # Before Keras looks at it: importing a backend that is not installed is an error of many lines.
    require_tensorflow(os.environ.get("KERAS_BACKEND") or "tensorflow")
    with quiet(), library.without(library.FOR_OTHERS):
        import keras
        import tensorflow as tf
    require_tensorflow(keras.backend.backend())  # As ~/.keras/keras.json has it.
    library.load()
    if not flags.FLAGS["verbosity"].present:
        tf.get_logger().setLevel("ERROR")
    yield


MAY_BE_EMPTY = {"cache_dir"}
"""Flags whose being empty means something; elsewhere it comes from a shell's variable that is not set."""
TERMINAL_COLUMNS = 80

DATASET = flags.DEFINE_string("dataset", None, f"The images: {CHOICES}.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "Where TFDS keeps prepared data sets; its own default if left out.")
MANUAL_DIR = flags.DEFINE_string(
    "manual_dir", None, "A folder with the TFDS data set's archives, for want of a network."
)
IMAGE_SIZE = flags.DEFINE_string(
    "image_size",
    None,
    "Bring images to this height and width: 64, or 64x48. Default: as the model was trained; to train one, none.",
)
FIT = flags.DEFINE_enum(
    "fit",
    None,
    list(FITS),
    "How an image of another aspect ratio comes to --image_size: crop cuts off both sides, pad fills them with "
    "--background, stretch distorts it. Default: as the model was trained; to train one, crop.",
)
COLOR_MODE = flags.DEFINE_enum(
    "color_mode",
    None,
    list(COLOR_MODES),
    "Convert images; auto makes all of a folder's colour where one is. Default: as the model was trained; to train "
    "one, auto.",
)
BACKGROUND = flags.DEFINE_string(
    "background",
    None,
    "What shows through transparent pixels: white, black or #rrggbb. Default: as the model was trained; to train one, "
    "white.",
)
SPLIT_BY = flags.DEFINE_enum(
    "split_by",
    None,
    list(SPLIT_BY_WHAT),
    f"What of a folder without train and test in it is divided, a fifth of it for testing. {listed(SPLIT_BY_WHAT)}. "
    "Where several pictures are of one scene, or crops of one photograph, give the way that keeps them together. "
    "Default: as the model was trained; to train one, file.",
)
CACHE_DIR = flags.DEFINE_string(
    "cache_dir",
    None,
    "Where a data set is decoded to, once, height x width x channels bytes an image, and mapped from ever after; every "
    "file there may be deleted at any time. Default: the environment's DECONV_AE_CACHE_DIR, or deconv_ae in the user's "
    "cache directory (~/.cache, ~/Library/Caches, %LOCALAPPDATA%). Empty: decode into memory, every time.",
)
SKIP_BAD_IMAGES = flags.DEFINE_bool(
    "skip_bad_images",
    False,
    "Leave out a folder's files that are no whole picture, and list them, instead of stopping.",
)
LOAD_TRUNCATED_IMAGES = flags.DEFINE_bool(
    "load_truncated_images",
    False,
    "Take what there is of a folder's pictures that were cut short, with the rest in grey or black, as viewers do.",
)
MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels", MOST_PIXELS, "Of one picture in a folder: a few bytes can declare one that fills the memory."
)


_files: list[str] = []
_takes_files = False


def take_files() -> None:
    """What stands after a program's flags is files, from here on; `files` has them."""
    global _takes_files
    _takes_files = True


def has_files() -> bool:
    """Whether anything stands after the flags."""
    return bool(_files)


def files(argument: str, advice: str) -> list[Path]:
    """The files that were given, each of which is one.

    Raises:
        InputError: if there are none, or one is no file.
    """
    if not _files:
        raise InputError(f"{argument}: none given; {advice}")
    found = [given(argument, name) for name in _files]
    for file in found:
        if not is_file(argument, file):
            raise InputError(f"{argument}: {file} is no file; {advice}")
    return found


def source(default: str | None = None) -> Source:
    """The data set that the flags ask for, which is there as far as that can be told before it is read; `default` is
    its name where --dataset is left out."""
    name = DATASET.value or default
    if name is None:
        raise InputError(f"dataset: not given; pass {CHOICES}")
    asked = _source(Source(name))
    check_available(asked)
    return asked


def reading(card: ModelCard) -> Source:
    """How the flags say that pictures are read; what they leave out is as for the model's training."""
    return _source(card.source(card.dataset.name))


def source_of(cards: Sequence[ModelCard]) -> Source:
    """The data set that the flags ask for, read as the first model's was, or what that was trained on. Raises
    InputError if no picture fits all models."""
    first, *others = cards
    for card in others:
        if card.image_shape != first.image_shape:
            sizes = (f"{each.title} takes images of {'x'.join(map(str, each.image_shape))}" for each in (first, card))
            raise InputError(f"model: {' and '.join(sizes)}; give models of one shape")
    asked = _source(first.source(DATASET.value or first.dataset.name))
    height, width, _ = first.image_shape
    if asked.image_size not in (None, (height, width)):
        raise InputError(f"image_size: {first.title} was made for {height}x{width}; leave it out, or give that")
    if DATASET.value is None:
        _check_own_data(first, asked)
    else:
        check_available(asked)
    return asked


def _check_own_data(card: ModelCard, asked: Source) -> None:
    advice = f"pass --dataset, such as folder:PATH or {SAMPLE_NAME}"
    if card.dataset.is_array:
        channels = card.image_shape[-1]
        if channels not in COLOR_MODES.values():
            advice = f"what programs read has 1 or 3 channels and not {channels}: use it from Python"
        raise InputError(
            f"dataset: not given, and {card.title} was trained on an array in Python, which is in no file; {advice}"
        )
    try:
        check_available(asked)
    except InputError as error:
        reason = str(error).removeprefix("dataset: ").split("; ")[0]
        raise InputError(
            f"dataset: not given, and what {card.title} was trained on is not here: {reason}; {advice}"
        ) from error


def check_source() -> None:
    """Raises InputError for what no data set could be read with, whichever it is."""
    _source(Source(DATASET.value or SAMPLE_NAME))


def _source(left_out: Source) -> Source:
    """What the flags say; those that are left out are as in another source."""
    given: dict[str, Any] = {
        "image_size": None if IMAGE_SIZE.value is None else pair("image_size", IMAGE_SIZE.value),
        "fit": FIT.value,
        "color_mode": COLOR_MODE.value,
        "background": BACKGROUND.value,
        "split_by": SPLIT_BY.value,
    }
    return replace(
        left_out,
        data_dir=DATA_DIR.value,
        manual_dir=MANUAL_DIR.value,
        cache_dir=CACHE_DIR.value,
        skip_bad_images=SKIP_BAD_IMAGES.value,
        load_truncated=LOAD_TRUNCATED_IMAGES.value,
        max_pixels=MAX_PIXELS.value,
        **{name: value for name, value in given.items() if value is not None},
    )


def shell_command(program: str, arguments: Sequence[str]) -> str:
    """Another program, started as this one was, with these arguments, and this one's flags of a data set, but for those
    that a model's card has: to copy into a shell, in lines that a terminal of 80 columns shows whole."""
    of_a_card = {flag.name for flag in (DATASET, FIT, IMAGE_SIZE, COLOR_MODE, BACKGROUND, SPLIT_BY)}
    given = [flag for flag in flags.FLAGS.get_key_flags_for_module(__name__) if flag.present]
    arguments = [*arguments, *(flag.serialize() for flag in given if flag.name not in of_a_card)]
    script = Path(sys.argv[0]).with_name(f"{program}.py")
    lines = [f"  python {shlex.quote(str(script))}" if _is_script() else f"  {started_as(program)}"]
    for argument in map(shlex.quote, arguments):
        if len(lines[-1]) + len(argument) > TERMINAL_COLUMNS - 3:  # A space before it, another and \\ after it.
            lines[-1] += " \\"
            lines.append(f"    {argument}")
        else:
            lines[-1] += f" {argument}"
    return "\n".join(lines)


def started_as(program: str) -> str:
    """How a program is started where this one was started in the same way: from a checkout, or as it is installed."""
    return f"python scripts/{program}.py" if _is_script() else f"deconv-ae {program}"


def _is_script() -> bool:
    return Path(sys.argv[0]).suffix == ".py"


def cards(models: Sequence[str | Path]) -> list[ModelCard]:
    """The cards of exported models: what is refused of a model without TensorFlow, which it takes to load one."""
    return [ModelCard.read(model_directory(model)) for model in models]


def reference_models() -> list[Path]:
    """The directories of the presets' models that come with the project, all of digits."""
    folder = Path(__file__).parent.parent / "saved_models" / "reference"
    models = sorted(card.parent for card in folder.glob("*/model_card.json") if card.parent.name in PRESETS)
    if not models:
        raise InputError(
            "model: not given, and the reference models are in a checkout only; pass the directory of an exported model"
        )
    return models


def run(main: Callable[[], None]) -> None:
    """Parses the flags, calls main and exits.

    Status 0: done; 1: the work failed; 2: bad usage or bad input; 128 and a signal's number: SIGHUP, SIGINT, SIGTERM.
    """
    _describe(sys.modules[main.__module__])
    app.run(lambda _: sys.exit(process.end(status_of(main))), flags_parser=parse)


def _describe(program: ModuleType) -> None:
    """Has absl's --help, which shows the text and the flags of the file that Python was started with, show those of a
    program."""
    for flag in flags.FLAGS.get_key_flags_for_module(program):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    text = re.sub(r"deconv-ae (\w+)", lambda found: started_as(found[1]), program.__doc__ or "")
    sys.modules["__main__"].__doc__ = text


def status_of(main: Callable[[], None]) -> int:
    """Calls main; the status to exit with. What went wrong is said in one line."""
    if not flags.FLAGS["verbosity"].present:
        # What goes wrong is an exception; below that, absl, TensorFlow and TFDS narrate.
        logging.set_verbosity(logging.ERROR)
    try:
        main()
    except InputError as error:
        return process.say(error, 2)
    except RunError as error:
        return process.say(error, 1)
    except Interrupted as interruption:
        return process.say(interruption, 128 + interruption.signal_number)
    except Exception as error:
        if not _is_want_of_memory(error):
            raise
        reason = (str(error).strip() or "no more could be had").splitlines()[0]
        advice = "give a smaller --batch_size, --filters or --image_size"
        return process.say(f"memory ran out ({reason[:200]}); {advice}", 1)
    return 0


def _is_want_of_memory(error: Exception) -> bool:
    tensorflow = sys.modules.get("tensorflow")  # Whoever raises its error has loaded it.
    return isinstance(error, MemoryError) or (
        tensorflow is not None and isinstance(error, tensorflow.errors.ResourceExhaustedError)
    )


def parse(arguments: Sequence[str]) -> list[str]:
    """Sets the flags; the program's name. Bad usage is said in one line and ends the program with status 2."""
    try:
        program, *rest = flags.FLAGS(list(arguments))
    except (flags.Error, ValueError) as error:  # absl's own --logger_levels raises the latter.
        sys.exit(process.say(error, 2))
    except SystemExit:  # --help has been printed; absl would call that a failure.
        sys.exit(process.end(0))
    if _takes_files:
        _files[:] = rest
    elif rest:
        sys.exit(process.say(f"unexpected argument {rest[0]!r}; every option is a flag, see --help", 2))
    for name, flag in flags.FLAGS.flag_values_dict().items():
        if flags.FLAGS[name].present and name not in MAY_BE_EMPTY and _is_empty(flag):
            sys.exit(
                process.say(f"{name}: is empty, as from a variable that is not set; give a value, or leave it out", 2)
            )
    return [program]


def _is_empty(value: object) -> bool:
    return value == "" or (isinstance(value, list) and (not value or "" in value))
