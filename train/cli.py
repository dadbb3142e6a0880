"""The command line of training: options become settings, and errors become one line each."""

import argparse
import dataclasses
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bduo_terminal import add_verbose, program
from bduo_tf import data
from bduo_tf.training.callbacks import DivergenceError
from bduo_tf.training.distribution import STRATEGIES, Distribution, distribution
from bduo_tf.training.errors import OptionError, failure
from bduo_tf.training.recipe import OPTIMIZERS, Recipe
from bduo_tf.training.report import draw_curves, table
from bduo_tf.training.run_folder import RunFolder
from bduo_tf.training.settings import NETWORKS, SCHEMES, Settings
from bduo_tf.training.stages import be_deterministic, disk_estimate, run_stages

from .recipes import RECIPES, find

__all__ = ["main", "parse"]

_PROGRAM = program("train")
_OPTION_OF_ARGUMENT = {"name": "--dataset"}
_COUNT = 10**6  # of epochs, or of images a step; what is far beyond overflows somewhere in TensorFlow
_PIXELS = 2**16  # a side of JPEG's largest image


def main(argv: Sequence[str] | None = None) -> int:
    """Train, or continue to train, one network.

    Args:
        argv: the arguments; None takes them from the command line.

    Returns:
        0 when the run is complete, 1 when it stopped (it diverged, the disk is full, an image cannot be read,
        another worker is gone), 2 when an option cannot be honoured, 130 when it was interrupted.
    """
    try:
        args = _parser().parse_args(argv)
        settings, run = _what_to_do(args)
        return _run(settings, run, distribution(args.strategy, settings.recipe.batch_size))
    except SystemExit as e:  # argparse's
        return int(e.code or 0)
    except data.DataError as e:
        option = _OPTION_OF_ARGUMENT.get(e.argument, "--" + e.argument.replace("_", "-"))
        print(f"{_PROGRAM}: error: {option}: {e}", file=sys.stderr)
        return 2
    except OptionError as e:
        print(f"{_PROGRAM}: error: {e}", file=sys.stderr)
        return 2
    except DivergenceError as e:
        print(
            f"{_PROGRAM}: error: {e}. Training stopped; the last good epoch is kept in {run.path / 'backup'}. "
            "Try a lower --learning-rate (in the second stage --fine-tune-learning-rate) and another --run.",
            file=sys.stderr,
        )
        return 1
    except Exception as e:
        if (reason := failure(e)) is None:
            raise
        print(
            f"{_PROGRAM}: error: {reason}. Once that is cured the same command (of all workers) continues from "
            "the last whole epoch.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print(f"\n{_PROGRAM}: interrupted. The same command continues from the last whole epoch.", file=sys.stderr)
        return 130


def _run(settings: Settings, run: RunFolder, distribution: Distribution) -> int:
    run.prepare(settings.options())
    try:
        metrics = run.read("metrics.json") or {}
        if "final" not in metrics:
            metrics = _train(settings, run, distribution)
    except Exception:
        if distribution.chief and not any(run.path.iterdir()):
            run.path.rmdir()
        raise
    if not distribution.chief:
        return 0
    if not (run.path / "curves.png").exists():
        draw_curves(settings, run)
    print(f"\n{table(metrics, validation=settings.validation > 0)}\n")
    model = run.model(metrics["final"])
    if settings.recipe.float_weights and settings.scheme != "float":
        print(f"The final model is {model}. It has float kernels, which cannot be deployed with binary activations.")
    else:
        print(f"The model to deploy is {model}. To convert it:\n  {program('convert')} {run.path}")
    return 0


def _train(settings: Settings, run: RunFolder, distribution: Distribution) -> dict[str, Any]:
    be_deterministic(settings.seed)
    dataset = data.load(settings.dataset, settings.recipe.image_size, settings.data_dir, validation=settings.validation)
    distribution.require_images(dataset, settings.recipe.batch_size)
    try:
        model = settings.build(dataset)
    except ValueError as e:
        raise OptionError("--image-size", str(e)) from e
    run.require_space(disk_estimate(model))
    if distribution.chief:
        run.write("config.json", settings.config(dataset))
        run.write_versions()
    distribution.say(
        f"{settings.network} ({model.count_params():,} parameters) on {settings.dataset}: "
        f"{dataset.num_train} training images, {dataset.num_test} to evaluate on, {dataset.input_shape}"
        + (f"; {distribution.replicas} replicas" if distribution.replicas > 1 else "")
    )
    return run_stages(settings, dataset, run, distribution)


def parse(argv: Sequence[str] | None = None) -> tuple[Settings, RunFolder]:
    """The run that a command line stands for, without starting it."""
    return _what_to_do(_parser().parse_args(argv))


def _what_to_do(args: argparse.Namespace) -> tuple[Settings, RunFolder]:
    recipe = find(args.network, args.dataset)
    given = {f.name: getattr(args, f.name) for f in dataclasses.fields(Recipe) if hasattr(args, f.name)}
    recipe = dataclasses.replace(recipe, **{name: value for name, value in given.items() if value is not None})
    settings = Settings(
        network=args.network,
        dataset=args.dataset,
        data_dir=None if args.data_dir is None else str(args.data_dir.expanduser().absolute()),
        scheme=args.scheme,
        seed=args.seed,
        validation=args.validation,
        recipe=recipe,
    )
    if recipe.levels < 2 and settings.scheme in ("duo", "scratch"):
        raise OptionError(
            "--levels", "1 leaves nothing to decouple: give 2 or more, or train a binary network by --scheme baseline."
        )
    return settings, RunFolder(args.run)


def _number(kind: Callable[[str], Any], at_least: float, below: float = math.inf) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        value = kind(text)
        if not at_least <= value < below:
            limit = f" and below {below:g}" if below < math.inf else ""
            raise argparse.ArgumentTypeError(f"must be at least {at_least:g}{limit}, not {text}")
        if kind is int and below == math.inf and value > _COUNT:
            raise argparse.ArgumentTypeError(f"must be at most {_COUNT}, not {text}")
        return value

    parse.__name__ = {int: "whole number", float: "number"}[kind]  # type: ignore[index]  # for argparse's message
    return parse


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    height, width = (int(part) for part in (parts * 2 if len(parts) == 1 else parts))
    if not 1 <= min(height, width) <= max(height, width) < _PIXELS:
        raise ValueError
    return height, width


_size.__name__ = "size such as 32 or 32x48"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        _PROGRAM,
        description="Train a binary network by BinaryDuo: with activations coupled in pairs, then decoupled, then "
        "fine-tuned. The same command continues a run that was stopped.",
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("network", choices=NETWORKS, help="a network of the paper")
    add = parser.add_argument_group("what and where").add_argument
    add("--dataset", required=True, help="digits, or an image-classification data set of TensorFlow Datasets")
    add(
        "--data-dir",
        type=Path,
        help="a folder of IDX files (mnist, fashion_mnist, kmnist), or TensorFlow Datasets' folder "
        "(default: ~/tensorflow_datasets)",
    )
    add("--run", type=Path, required=True, help="the folder for models, metrics and logs")
    add(
        "--scheme",
        choices=SCHEMES,
        default="duo",
        help="duo: BinaryDuo; scratch: its decoupled network without a coupled stage, baseline: a binary network, "
        "float: a float network, each in one stage of as many epochs (default: %(default)s)",
    )
    add("--seed", type=_number(int, 0, 2**31), default=0, help="(default: %(default)s)")
    add(
        "--validation",
        type=_number(float, 0, 1),
        default=0.0,
        metavar="FRACTION",
        help="evaluate on this fraction of the training images instead of the test images, to choose "
        "hyperparameters (default: %(default)s)",
    )
    add(
        "--strategy",
        choices=STRATEGIES,
        default="none",
        help="of tf.distribute. mirrored: on every GPU of this machine; multi_worker: on the machines that TF_CONFIG "
        "names, the same command on each; the result is the same (default: %(default)s, one device)",
    )
    positive = _number(float, math.ulp(0.0))
    add = parser.add_argument_group("settings (default: the recipe's, see below)").add_argument
    add("--epochs", type=_number(int, 1), metavar="N", help="of the coupled stage")
    add("--fine-tune-epochs", type=_number(int, 1), metavar="N", help="after decoupling")
    add("--learning-rate", type=positive, metavar="RATE", help="of the coupled, or only, stage")
    add("--fine-tune-learning-rate", type=positive, metavar="RATE", help="after decoupling")
    add("--optimizer", choices=OPTIMIZERS, help="sgd has Nesterov momentum 0.9")
    add("--weight-decay", type=_number(float, 0), metavar="RATE", help="decoupled, of kernels only")
    add("--batch-size", type=_number(int, 1), metavar="N", help="images a step")
    add("--image-size", type=_size, metavar="N or HxW", help="of the network's input")
    add("--augmentation", choices=tuple(data.AUGMENTATIONS), help="of the training images")
    add("--levels", type=_number(int, 1, 256), metavar="N", help="binary activations coupled into one")
    add("--width", type=positive, metavar="FACTOR", help="multiplies the network's channels")
    add("--per-channel", action=argparse.BooleanOptionalAction, help="one kernel scale an output channel")
    add("--float-weights", action=argparse.BooleanOptionalAction, help="binary activations only")
    add_verbose(parser)
    return parser


def _epilog() -> str:
    lines = ["recipes:"]
    for (network, dataset), recipe in RECIPES.items():
        decay = "in steps" if recipe.drops else "cosine"
        lines.append(
            f"  {network:<14} {dataset or '(any other)':<14} {recipe.epochs} + {recipe.fine_tune_epochs} epochs, batch "
            f"{recipe.batch_size}, {recipe.optimizer} {recipe.learning_rate:g} / {recipe.fine_tune_learning_rate:g} "
            f"{decay}, {'x'.join(map(str, recipe.image_size))}, width {recipe.width:g}"
        )
    return "\n".join([*lines, "", "example:", f"  {_PROGRAM} vgg7 --dataset digits --run runs/digits"])
