"""The options of training: what each is called, which values it takes, and how a recipe comes of them."""

import argparse
import dataclasses
import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from bduo_terminal import add_verbose, program
from bduo_tf import data, networks, user_code
from bduo_tf.quantizers import GRADIENTS
from bduo_tf.runs import OPTIMIZERS, SCHEDULES, Recipe
from bduo_tf.training.distribution import STRATEGIES
from bduo_tf.training.errors import OptionError
from bduo_tf.training.methods import METHODS, applied
from bduo_tf.training.own import FIXED, require_own_method

from .recipes import RECIPES

__all__ = ["add_recipe", "option", "parser", "recipe_of", "require_applicable"]

_COUNT = 10**6  # of epochs, or of images a step; what is far beyond overflows somewhere in TensorFlow
_PIXELS = 2**16  # a side of JPEG's largest image
_SCHEMES = ("duo", "scratch", "baseline", "float")


def option(setting: str) -> str:
    """What the command calls a setting, such as "--batch-size" for "batch_size"."""
    names = {"network": "network", "name": "--dataset"}  # the latter is how `data.load` calls it
    return names.get(setting, "--" + setting.replace("_", "-"))


def add_recipe(parser: argparse.ArgumentParser, leave_out: Collection[str] = ()) -> None:
    """Add an option for each field of a recipe but those that are left out; see `recipe_of`."""
    flag: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
    count: dict[str, Any] = {"type": _number(int, 1), "metavar": "N"}
    rate: dict[str, Any] = {"type": _number(float, math.ulp(0.0)), "metavar": "RATE"}
    share: dict[str, Any] = {"metavar": "NUMBER"}
    groups: dict[str, dict[str, dict[str, Any]]] = {
        "training (default: the recipe's)": {
            "epochs": {**count, "help": "of the first stage"},
            "fine_tune_epochs": {**count, "help": "of the second stage; methods of one stage train for both"},
            "learning_rate": {**rate, "help": "at the start of the first stage"},
            "fine_tune_learning_rate": {**rate, "help": "at the start of the second stage"},
            "optimizer": {"choices": OPTIMIZERS, "help": "sgd has Nesterov momentum 0.9; bop is for binary kernels"},
            "schedule": {"choices": SCHEDULES, "help": "of the rates: one for each stage, or one over both"},
            "weight_decay": {"type": _number(float, 0), "metavar": "RATE", "help": "decoupled, of kernels only"},
            "batch_size": {**count, "help": "number of images in a step"},
        },
        "network (default: the recipe's)": {
            "width": {
                "type": _number(float, math.ulp(0.0)),
                "metavar": "FACTOR",
                "help": "multiplies the binary baseline's channels; coupled networks get the widths that weigh as much",
            },
            "levels": {"type": _number(int, 1, 256), "metavar": "N", "help": "binary activations coupled into one"},
            "per_channel": {**flag, "help": "a kernel scale for each output channel"},
            "float_weights": {**flag, "help": "binary activations only"},
            "gradient": {"choices": tuple(GRADIENTS), "help": "backward pass of the activations"},
        },
        "images (default: the recipe's)": {
            "image_size": {"type": _size, "metavar": "N or HxW", "help": "of the network's input"},
            "augmentation": {"choices": tuple(data.AUGMENTATIONS), "help": "of the training images"},
        },
        "what docs/results.md tries (default: none of it)": {
            "clip": {
                **share,
                "type": _number(float, 0),
                "help": "keep latent kernels within -NUMBER and NUMBER",
            },
            "transfer": {
                **share,
                "type": _number(float, 0, 1),
                "help": "in fine-tuning, this fraction of a label is what the first stage's network answers",
            },
            "norms": {**flag, "help": "after each stage take batch norms' statistics over all training images"},
            "bop_threshold": {**share, "type": _number(float, 0), "help": "of bop: gradient that flips a weight"},
            "bop_gamma": {**share, "type": _number(float, 0), "help": "of bop: weight of the newest gradient"},
        },
    }
    for title, options in groups.items():
        group = parser.add_argument_group(title)
        for name, keywords in options.items():
            if name not in leave_out:
                group.add_argument(option(name), default=None, **keywords)


def recipe_of(args: argparse.Namespace, method: str, recipe: Recipe) -> Recipe:
    """The recipe with what the command line gave instead, for a method.

    Raises:
        OptionError: the method does not go with an option.
    """
    asked = {field.name: getattr(args, field.name, None) for field in dataclasses.fields(Recipe)}
    values: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    recipe = applied(method, dataclasses.replace(recipe, **values))
    for name, value in values.items():
        if value != getattr(recipe, name):
            raise OptionError(option(name), f"is settled by --method {method}: leave it out.")
    if recipe.levels < 2 and METHODS[method].decoupled != "never":
        raise OptionError(
            "--levels", "1 leaves nothing to decouple: give 2 or more, or train a binary network by --method baseline."
        )
    return recipe


def require_applicable(args: argparse.Namespace) -> None:
    """Raises OptionError where a network of the user's own does not go with the method or with an option."""
    if not user_code.names_function(args.network):
        return
    require_own_method(args.network, args.method)
    fixed = FIXED if METHODS[args.method].form == "coupled" else (*FIXED, "gradient", "levels")
    for name in fixed:
        if getattr(args, name) is not None:
            raise OptionError(option(name), f"does not apply to {args.network}: its function settles it. Leave it out.")


def parser() -> argparse.ArgumentParser:
    """The parser of `python -m train`."""
    parser = argparse.ArgumentParser(
        program("train"),
        description="Train a binary network by BinaryDuo: with activations coupled in pairs, then decoupled, then "
        "fine-tuned. The same command continues a run that was stopped.",
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "network",
        type=_network,
        help=f"a network of the paper ({', '.join(networks.NETWORKS)}), or of your own package.module:function: "
        "it may take input_shape and classes, and returns a binary Keras model",
    )
    add = parser.add_argument_group("what and where").add_argument
    add(
        "--dataset",
        required=True,
        help="digits, an image-classification data set of TensorFlow Datasets, or folder:PATH for pictures of your own "
        "in PATH/class/ or in PATH/train/class/ and PATH/test/class/",
    )
    add(
        "--data-dir",
        type=Path,
        help="a folder of IDX files (mnist, fashion_mnist, kmnist), or TensorFlow Datasets' folder "
        "(default: ~/tensorflow_datasets)",
    )
    add("--run", type=Path, required=True, help="the folder for models, metrics and logs")
    add(
        "--method",
        choices=tuple(METHODS),
        default="duo",
        metavar="METHOD",
        help="how the network is trained, one of the methods below (default: %(default)s)",
    )
    add("--scheme", choices=_SCHEMES, dest="method", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    add(
        "--init",
        type=Path,
        metavar="RUN",
        help="start from the weights of another run's model, layer by layer where the shapes agree: for few "
        "pictures or few epochs (default: random weights)",
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
    add_recipe(parser)
    add_verbose(parser)
    return parser


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


def _network(text: str) -> str:
    if text not in networks.NETWORKS and not user_code.names_function(text):
        raise argparse.ArgumentTypeError(
            f"unknown network {text!r}; known: {', '.join(networks.NETWORKS)}, or package.module:function"
        )
    return text


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    height, width = (int(part) for part in (parts * 2 if len(parts) == 1 else parts))
    if not 1 <= min(height, width) <= max(height, width) < _PIXELS:
        raise ValueError
    return height, width


_size.__name__ = "size such as 32 or 32x48"


def _epilog() -> str:
    lines = ["methods, of two stages (2) or one:"]
    lines += [f"  {name:<23}{'2' if m.fine_tuned else ' '} {m.title}" for name, m in METHODS.items()]
    lines += ["", "recipes:"]
    for (network, dataset), recipe in RECIPES.items():
        decay = "in steps" if recipe.drops else "cosine"
        lines.append(
            f"  {network:<15} {dataset or '(any other)':<14} {recipe.epochs} + {recipe.fine_tune_epochs} epochs, batch "
            f"{recipe.batch_size}, {recipe.optimizer} {recipe.learning_rate:g} / {recipe.fine_tune_learning_rate:g} "
            f"{decay}, {'x'.join(map(str, recipe.image_size))}, width {recipe.width:g}"
        )
    return "\n".join([*lines, "", "example:", f"  {program('train')} vgg7 --dataset digits --run runs/digits"])
