"""Compares the default recipe with four plain starts, for several architectures.

python scripts/compare_starts.py --dataset=mnist_5k
python scripts/compare_starts.py --dataset=folder:pictures --image_size=32

The default recipe runs with several seeds. A plain start is ordinary random
initial weights, He's or Glorot's, trained by Adam with a peak learning rate of
0.003 or 0.01. Plain starts have seed 0 and the same batches and epochs. A
finished run is not trained again.
"""

import installed

installed.begin()

from absl import flags
from markdown_page import read_section, replace_section

from deconv_ae.data.kinds import short_name
from deconv_ae.numbers import checked_integer
from deconv_ae.paths import checked_path, directory_to_write
from deconv_ae_programs import command_line

flags.adopt_module_key_flags(command_line)

SEEDS = flags.DEFINE_integer("seeds", 5, "The number of runs of the default recipe for each architecture.")
EPOCHS = flags.DEFINE_integer(
    "epochs",
    None,
    "The epochs of every run. Default: as many as train.py --recipe=default takes for this number of pictures.",
)
README = flags.DEFINE_string(
    "readme",
    None,
    "A text file in which the table replaces the text between <!-- starts-NAME:begin --> and <!-- starts-NAME:end -->. "
    "NAME is the name of the data set, or of its folder without the path.",
)
OUTPUT_DIR = flags.DEFINE_string("output_dir", "runs/starts", "The directory for the runs and the table.")


def main() -> None:
    """Checks the flags, trains, and writes the table."""
    checked_integer("seeds", SEEDS.value, least=1)
    if EPOCHS.value is not None:
        checked_integer("epochs", EPOCHS.value, least=1)
    directory_to_write("output_dir", OUTPUT_DIR.value)
    source = command_line.source()
    section = f"starts-{short_name(source.name)}"
    if README.value is not None:
        # Training takes hours, so a file without the section is refused first.
        read_section(checked_path("readme", README.value), section)
    with command_line.loading():
        from experiments import starts

        from deconv_ae.data import load_dataset
        from deconv_ae.files import write_atomically
    dataset = load_dataset(source)
    print(dataset)
    output_dir = checked_path("output_dir", OUTPUT_DIR.value)
    outcomes = []
    for outcome in starts.compare(dataset, starts.architectures_for(dataset), SEEDS.value, EPOCHS.value, output_dir):
        outcomes.append(outcome)
        result = "failed" if outcome.test_rmse is None else f"test RMSE {outcome.test_rmse:.4f}"
        filters = ",".join(map(str, outcome.filters))
        print(f"{filters}, {outcome.start}, seed {outcome.seed}: {result} ({outcome.seconds:.0f} s)", flush=True)
    write_atomically(output_dir / "starts.md", starts.table(outcomes) + "\n")
    print(starts.table(outcomes))
    if README.value is not None:
        replace_section(checked_path("readme", README.value), section, starts.section(dataset, outcomes))


if __name__ == "__main__":
    command_line.run(main)
