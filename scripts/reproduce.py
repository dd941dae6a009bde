"""Trains every preset, and compares the results with the published table.

Each preset is trained with several recipes and seeds.

python scripts/reproduce.py --dataset=mnist
python scripts/reproduce.py --quick

A finished run is not trained again: stop at any time, and start again to
continue. The output directory's results.md and training_curves.png show every
finished run on the data set, so one recipe may have more seeds than another.
"""

import installed

installed.begin()

from absl import flags
from markdown_page import read_section

from deconv_ae.data.source import SAMPLE_NAME
from deconv_ae.errors import InputError, choose
from deconv_ae.model.presets import PRESETS
from deconv_ae.model.recipes import RECIPES
from deconv_ae.numbers import checked_integer
from deconv_ae.options import listed
from deconv_ae.paths import checked_path, directory_to_write
from deconv_ae_programs import command_line

flags.adopt_module_key_flags(command_line)
RECIPES_HELP = listed({name: recipe.description for name, recipe in RECIPES.items()})

SEEDS = flags.DEFINE_integer("seeds", 3, "The number of runs of each preset and recipe, with seeds 0, 1, 2, ...")
PRESET_NAMES = flags.DEFINE_list("presets", list(PRESETS), "The presets to train.")
RECIPE_NAMES = flags.DEFINE_list("recipes", ["cntk", "default"], f"The recipes to train with. {RECIPES_HELP}.")
OUTPUT_DIR = flags.DEFINE_string("output_dir", "runs/reproduction", "The directory for runs, tables and figures.")
QUICK = flags.DEFINE_bool("quick", False, f"Train one seed, by default on {SAMPLE_NAME}: a check that takes minutes.")
REFERENCE_DIR = flags.DEFINE_string(
    "reference_dir",
    None,
    "A directory, such as saved_models/reference, that gets the default recipe's models as reference models.",
)
README = flags.DEFINE_string("readme", None, "With --reference_dir: a README whose section of results is rewritten.")


def main() -> None:
    """Checks the flags, trains, and writes tables and figures."""
    checked_integer("seeds", SEEDS.value, least=1)
    for flag, names, choices in (("presets", PRESET_NAMES.value, PRESETS), ("recipes", RECIPE_NAMES.value, RECIPES)):
        for name in names:
            choose(flag, name, choices)
    directory_to_write("output_dir", OUTPUT_DIR.value)
    if REFERENCE_DIR.value is not None:
        directory_to_write("reference_dir", REFERENCE_DIR.value)
    if README.value is not None:
        if REFERENCE_DIR.value is None:
            raise InputError("readme: is for --reference_dir; give both, or leave --readme out")
        # Training takes an hour, so a file without the section is refused first.
        read_section(checked_path("readme", README.value), "results")
    seeds = 1 if QUICK.value else SEEDS.value
    source = command_line.source(default=SAMPLE_NAME if QUICK.value else "mnist")
    with command_line.loading():
        from experiments.publish import publish, write_report
        from experiments.runs import read_outcomes, reproduce

        from deconv_ae.data import load_dataset
    dataset = load_dataset(source)
    output_dir = checked_path("output_dir", OUTPUT_DIR.value)
    count = seeds * len(PRESET_NAMES.value) * len(RECIPE_NAMES.value)
    outcomes = reproduce(dataset, PRESET_NAMES.value, RECIPE_NAMES.value, seeds, output_dir)
    for number, outcome in enumerate(outcomes, start=1):
        result = outcome.failure or f"test RMSE {outcome.test_rmse:.4f}"
        print(f"[{number}/{count}] {outcome.run.name}: {result} ({outcome.seconds:.0f} s)", flush=True)
    for file in write_report(read_outcomes(dataset, output_dir), dataset.test, output_dir):
        print(f"written: {file}")
    if REFERENCE_DIR.value is not None:
        publish(
            output_dir,
            checked_path("reference_dir", REFERENCE_DIR.value),
            checked_path("readme", README.value) if README.value else None,
        )


if __name__ == "__main__":
    command_line.run(main)
