r"""Injects faults into real training runs and exports, and counts the survivors.

python scripts/torture.py --kills=50 --export_kills=50
python scripts/torture.py --kills=4 --export_kills=4 --preparing_kills=4 \
    --other_faults=1 --minutes=2

The program trains a small autoencoder on a few drawn pictures again and again.
It kills the training at random moments and during the writing of checkpoints
and models. It also damages checkpoints, fills the disk and moves a run's
directory away. A run survives if it can be resumed and then equals an
undisturbed run bit for bit: weights, optimizer, metrics, TensorBoard, and the
RMSEs of the exported model. An export survives if the old or the new model is
there, complete. The exit status is 1 if anything was lost.
"""

import installed

installed.begin()

import shutil
import tempfile
import time
from pathlib import Path

from absl import flags

from deconv_ae.errors import RunError
from deconv_ae.numbers import checked_integer, checked_number
from deconv_ae_programs import command_line

KILLS = flags.DEFINE_integer("kills", 50, "The number of kills while a run trains or writes a checkpoint.")
EXPORT_KILLS = flags.DEFINE_integer("export_kills", 50, "The number of exports to kill.")
DECODING_KILLS = flags.DEFINE_integer(
    "preparing_kills", 20, "The number of programs to kill while they decode a data set."
)
OTHER_FAULTS = flags.DEFINE_integer(
    "other_faults",
    3,
    "The number of faults of each other kind. If it is 3 or more, one kind gets at least 7 faults, and two kinds at "
    "least 20.",
)
MINUTES = flags.DEFINE_float("minutes", 30.0, "The minutes after which no further fault starts.")
SEED = flags.DEFINE_integer("seed", 0, "The seed of all random choices, such as the moments of the faults.")


def main() -> None:
    """Checks the flags, injects faults, and prints the counts."""
    for flag in (KILLS, EXPORT_KILLS, DECODING_KILLS, OTHER_FAULTS, SEED):
        checked_integer(flag.name, flag.value)
    checked_number("minutes", MINUTES.value, least=0)
    with command_line.loading():
        import faults.surroundings  # noqa: F401 (adds its faults to FAULTS)
        from faults.injection import FAULTS, LEAST_TIMES, Table, Torture, kill_decoding, kill_exports, kill_training
    directory = Path(tempfile.mkdtemp(prefix="torture-"))
    table = Table(time.monotonic() + 60 * MINUTES.value)
    try:
        torture = Torture(directory, SEED.value)
        kill_training(torture, KILLS.value, table)
        kill_exports(torture, EXPORT_KILLS.value, table)
        kill_decoding(torture, DECODING_KILLS.value, table)
        for kind, inject in FAULTS.items():
            # A value below 3 asks for a trial run, to which the minimum counts in LEAST_TIMES do not apply.
            times = OTHER_FAULTS.value if OTHER_FAULTS.value < 3 else max(OTHER_FAULTS.value, LEAST_TIMES.get(kind, 0))
            for _ in range(times):
                if not table.out_of_time:
                    torture.problem = ""  # Clear the problem that the previous fault left.
                    table.count(kind, 1, inject(torture), torture.problem)
        print(table)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if table.lost_count:
        raise RunError(f"the programs did not survive {table.lost_count} faults; see the lines above")


if __name__ == "__main__":
    command_line.run(main)
