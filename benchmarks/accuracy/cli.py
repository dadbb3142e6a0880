"""The command line of the comparison: search for rates, test with them, and show what was found."""

import argparse
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from bduo_terminal import add_verbose
from bduo_tf import networks
from bduo_tf.runs import Recipe, Settings
from bduo_tf.training.errors import OptionError
from bduo_tf.training.methods import METHODS
from benchmarks.accuracy.rows import ROWS, read_rows
from benchmarks.accuracy.selection import epochs, to_search, to_test
from benchmarks.accuracy.table import table
from benchmarks.accuracy.training import train_all
from train.options import add_recipe, recipe_of

__all__ = ["RECIPE", "add_variant", "main", "variant_of"]

RECIPE = Recipe(image_size=(20, 20), batch_size=64, epochs=6, fine_tune_epochs=4, width=0.25)
"""What is compared where no option says otherwise: small enough for two cores."""

_RATES = (3e-3, 1e-2, 3e-2)


def add_variant(parser: argparse.ArgumentParser, leave_out: Collection[str] = ()) -> None:
    """Add the options that say which network, data set and recipe; `variant_of` has their values."""
    parser.add_argument("--network", choices=tuple(networks.NETWORKS), default="vgg7", help="(default: %(default)s)")
    parser.add_argument("--dataset", default="fashion_mnist", help="(default: %(default)s)")
    add_recipe(parser, leave_out=("learning_rate", "fine_tune_learning_rate", *leave_out))


def variant_of(args: argparse.Namespace, method: str) -> Settings:
    """The settings of a method that the options of `add_variant` stand for.

    Raises:
        OptionError: an option does not go with the method.
    """
    return Settings(args.network, args.dataset, method, recipe=recipe_of(args, method, RECIPE))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy",
        description="Compares ways to train. Options that are not given are as in the first table of docs/results.md: "
        "VGG-7 of a quarter of the paper's widths, 20x20 pixels, 6 + 4 epochs in batches of 64.",
    )
    parser.add_argument("step", choices=("search", "test", "table"), help="choose rates, train with them, or show")
    parser.add_argument("--data-dir", help="the folder of the IDX files, or TFDS'")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--seeds", nargs="+", type=int, help="default: 0 to search, 0 1 2 to test")
    for option, stage in (("--rates", "first"), ("--fine-tune-rates", "second")):
        parser.add_argument(
            option,
            nargs="+",
            type=float,
            help=f"of the {stage} stage: to search (default {' '.join(map(str, _RATES))}), or one to test with",
        )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="trainings at a time (default: the cores)")
    parser.add_argument("--file", type=Path, default=ROWS, help="the rows (default: docs/accuracy.csv)")
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="of the table")
    parser.add_argument(
        "--baseline-epochs",
        type=int,
        help="of the binary step that the table's differences are to (default: as many as all stages have)",
    )
    add_variant(parser)
    add_verbose(parser)
    args = parser.parse_args(argv)
    try:
        variants = [variant_of(args, method) for method in args.methods]
    except OptionError as error:
        parser.error(f"{error} Or choose other --methods.")
    rows = read_rows(args.file)
    if args.step == "table":
        baseline_epochs = args.baseline_epochs or epochs(variants[0])
        validation = args.split == "validation"
        print(table(rows, variants[0], args.methods, validation=validation, baseline_epochs=baseline_epochs))
        return 0
    if args.step == "search":
        trials = to_search(variants, args.seeds or [0], args.rates or _RATES, args.fine_tune_rates or _RATES)
    else:
        given = (*(args.rates or ()), *(args.fine_tune_rates or ()))
        if given and (len(args.rates or ()) != 1 or len(args.fine_tune_rates or [0.0]) != 1):
            parser.error("test takes one --rates and one --fine-tune-rates")
        if len(given) == 1 and any(METHODS[m].fine_tuned for m in args.methods):
            parser.error("methods with two stages need --fine-tune-rates too")
        try:
            trials = to_test(variants, args.seeds or [0, 1, 2], rows, given or None)
        except ValueError as error:
            parser.error(str(error))
    train_all(trials, args.data_dir, args.file, args.jobs)
    return 0
