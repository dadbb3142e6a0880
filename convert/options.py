"""The options of the command: what they are, what they hold, and how messages name them."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from bduo_terminal import add_verbose, program
from bduo_tf.conversion.errors import ConversionError
from bduo_tf.conversion.preparation import image_size
from bduo_tf.scores import KINDS

__all__ = ["in_options", "parse", "read_labels"]

_PROGRAM = program("convert")
_EPILOG = f"""examples:
  {_PROGRAM} runs/digits                       the model of a finished run, to runs/digits/model.tflite
  {_PROGRAM} runs/digits --float               and the float32 and int8 files of its float peer
  {_PROGRAM} my.keras -o my.tflite             any binary Keras model, verified on seeded inputs
  {_PROGRAM} my.keras --dataset fashion_mnist  the same, verified on a test set
  {_PROGRAM} my.keras --labels labels.txt --range 0 1
                                                      the same, with class names and the input's range in the file
  {_PROGRAM} my.keras --import my_layers       a model with layers of one's own, which my_layers.py registers
  {_PROGRAM} my_nets:small                     the model that the function small() of my_nets.py returns
  {_PROGRAM} my.keras --image-size 224         a model that leaves the size of its images open
  {_PROGRAM} coupled.keras --decouple          a coupled model, decoupled but not fine-tuned

exit status: 0 the file was written and verified; 1 it failed the verification and was not written; 2 wrong input."""

# The option that stands for each argument of `bduo_tf.to_tflite` that its messages name.
_OPTIONS = {
    "decouple=True": "--decouple",
    "allow_float=True": "--allow-float",
    "image_size": "--image-size",
    "image_size=(height, width)": "--image-size N or HxW",
    "input_range": "--range",
    "scores": "--scores",
    "samples": "--samples",
    "seed": "--seed",
    "min_agreement": "--min-agreement",
}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads the options; argparse ends the program if they cannot be read."""
    return _parser().parse_args(argv)


def in_options(message: str, args: argparse.Namespace) -> str:
    """Names the command's options in a message that names, between backticks, arguments of `bduo_tf.to_tflite`."""
    names = {**_OPTIONS, "class_names": str(args.labels or args.dataset or "the data set")}
    return re.sub(r"`([^`]+)`", lambda found: names.get(found[1], found[0]), message)


def read_labels(path: Path) -> tuple[str, ...]:
    """Reads class names from a text file that has one in each line.

    Raises:
        ConversionError: the file cannot be read, or is not text with something in every line.
    """
    try:
        labels = path.read_text("utf-8-sig").rstrip().splitlines()
    except OSError as error:
        raise ConversionError(f"--labels: {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConversionError(f"--labels: {path} is not a text file in UTF-8.") from error
    if not labels or not all(label.strip() and label.isprintable() for label in labels):
        raise ConversionError(f"--labels: {path} must hold one class name a line, and nothing else.")
    return tuple(labels)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Writes a Larq Compute Engine .tflite file of a binary network, and verifies that the file "
        "computes what the model computes.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source",
        type=Path,
        help=f"run folder of `{program('train')}`, or a .keras file; also .h5, a SavedModel folder, or "
        "package.module:function that returns a model",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        help="the .tflite file to write; its summary goes beside it as .json (default: model.tflite in the run folder, "
        "or beside the .keras file)",
    )
    _add_model_options(parser.add_argument_group("the model"))
    _add_file_options(parser.add_argument_group("what the file says of itself"))
    _add_verification_options(parser.add_argument_group("verification"))
    parser.add_argument(
        "--float",
        action="store_true",
        dest="peers",
        help="also write the float32 and int8 files of what one would deploy instead, for comparing size and speed",
    )
    add_verbose(parser)
    return parser


def _add_model_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--import",
        action="append",
        default=[],
        dest="imports",
        metavar="MODULE",
        help="import this module first, which registers layers or quantizers of the model's own; also from the "
        "current folder; may be repeated",
    )
    group.add_argument(
        "--unsafe",
        action="store_true",
        help="run Python code that the file holds (Lambda layers); only for files of someone you trust",
    )
    group.add_argument(
        "--image-size",
        type=image_size,
        metavar="N or HxW",
        help="height and width for a model that leaves them open",
    )
    group.add_argument(
        "--decouple",
        action="store_true",
        help="decouple a coupled model first; it computes the same, but is not fine-tuned",
    )
    group.add_argument(
        "--allow-float",
        action="store_true",
        help="let layers stay float that read a binary activation, but that LCE cannot run with binary kernels",
    )


def _add_file_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--labels", type=Path, help="text file, one class a line (default: those of the data set)")
    group.add_argument(
        "--range",
        nargs=2,
        type=float,
        metavar=("BLACK", "WHITE"),
        dest="limits",
        help="what the model takes black and white for (default: as the data set's images are scaled)",
    )
    group.add_argument(
        "--scores",
        choices=KINDS,
        help="what the output is: probabilities of classes of which one is right, or of independent ones, or the "
        "logits of either (default: as the last layers say)",
    )


def _add_verification_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--dataset",
        help="verify on the test images of this data set, or of the folder of pictures folder:PATH (default: that of "
        "the run)",
    )
    group.add_argument("--data-dir", type=Path, help=f"where the data set is, as for `{program('train')}`")
    group.add_argument(
        "--samples", type=int, help="verify on that many images (default: the whole test set, or 256 seeded inputs)"
    )
    group.add_argument("--seed", type=int, default=0, help="of the inputs where there is no data set (default: 0)")
    group.add_argument(
        "--min-agreement",
        type=float,
        default=0.99,
        help="share of images whose outputs must agree: scores by their arg max, maps and other values within a "
        "twentieth of their size (default: %(default)s)",
    )
