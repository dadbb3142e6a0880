"""The command line of bduo_runtime, with the commands info, bench and run."""

import argparse
import contextlib
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bduo_runtime import _operators, _scores
from bduo_runtime._errors import ModelError
from bduo_runtime._interpreter import Interpreter
from bduo_runtime._library import MOST_THREADS, OptionError
from bduo_runtime._metadata import Metadata, MetadataError, parse_labels, read_metadata
from bduo_runtime._timing import bench

__all__ = ["main"]

_INTERRUPTED, _NOT_READ = 130, 141
"""Exit codes by which a shell knows that a signal ended the command: 128 + SIGINT, 128 + SIGPIPE."""


class _UsageError(Exception):
    """The user can put right what is wrong; the message says what it is."""


_EXPECTED = (ModelError, OptionError, _UsageError, OSError, ImportError, MemoryError)

Shown = Callable[[tuple[type[Exception], ...]], AbstractContextManager[None]]


def main(argv: Sequence[str] | None = None, shown: Shown = contextlib.nullcontext) -> int:  # type: ignore[assignment]
    """Runs a command.

    Args:
        argv: the command's arguments; None stands for those of the process.
        shown: makes the context in which a command without --verbose is run, from the exceptions that become a line
            each. `_terminal.quiet` is meant for a process that does nothing but the command.

    Returns:
        The exit code: 0; 1 after a line on each thing that is wrong; 130 if the user interrupted the command; 141 if
        nobody reads what it prints.
    """
    try:
        try:
            args = _parser().parse_args(argv)
            with contextlib.nullcontext() if args.verbose else shown(_EXPECTED):
                return args.command(args)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # a failure to write shows here, not when Python ends
    except BrokenPipeError:  # a reader such as `head` has read all that it wants
        return _NOT_READ
    except KeyboardInterrupt:
        _say("interrupted")
        return _INTERRUPTED
    except _EXPECTED as e:
        return _complain(e)


def _complain(error: Exception) -> int:
    """Writes one line about an error to stderr; returns the exit code."""
    message = next(iter(str(error).splitlines()), type(error).__name__)
    if isinstance(error, OSError) and error.filename and error.strerror:
        message = f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError):
        message = "not enough memory" + (f": {error}" if str(error) else "")
    _say(f"error: {message}")
    return 1


def _say(message: str) -> None:
    """Writes one line to stderr."""
    if sys.stderr is not None:
        # A message may hold a name from the file, whose control characters must not steer the terminal.
        plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)
        print(f"python -m bduo_runtime: {plain}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bduo_runtime", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("model")
    verbose: dict[str, Any] = {"action": "store_true", "help": "show what LiteRT says, too"}
    parser.add_argument("-v", "--verbose", **verbose)
    common.add_argument("-v", "--verbose", **verbose, default=argparse.SUPPRESS)
    timed = argparse.ArgumentParser(add_help=False)
    timed.add_argument("--threads", type=_threads, default=1, help=f"1 to {MOST_THREADS}, default 1")

    info = commands.add_parser(
        "info", parents=[common], help="each operator of a model: who runs it, with which kernel, fused into what"
    )
    info.set_defaults(command=_info)

    bench = commands.add_parser(
        "bench", parents=[common, timed], help="how long one inference takes, and each step of it"
    )
    bench.add_argument("--vs", metavar="other.tflite", help="another model, timed in turns with the first")
    bench.add_argument("--rounds", type=_count, default=30, help="default 30")
    bench.set_defaults(command=_bench)

    run = commands.add_parser("run", parents=[common, timed], help="classify images")
    run.add_argument("images", nargs="+", metavar="image")
    run.add_argument("--labels", help="text file, one class a line; default: the model's own")
    run.add_argument("--top", type=_count, default=5, help="classes to show, default 5")
    run.add_argument(
        "--range", nargs=2, type=float, metavar=("BLACK", "WHITE"), dest="limits",
        help="what the model takes black and white for; default: as it says itself, else -1 1",
    )  # fmt: skip
    run.add_argument(
        "--scores", choices=_scores.KINDS, metavar="KIND",
        help=f"what the model gives: {', '.join(_scores.KINDS)}; default: as it says itself, else guessed",
    )  # fmt: skip
    run.set_defaults(command=_run)
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _threads(text: str) -> int:
    value = _count(text)
    if value > MOST_THREADS:
        raise argparse.ArgumentTypeError(f"must be at most {MOST_THREADS}")
    return value


def _info(args: argparse.Namespace) -> int:
    interpreter = Interpreter(args.model)
    steps = _operators.steps(args.model, 1, lambda _: None)
    by_node = {node: step for step in steps for node in step.nodes}
    operators = _operators.model_operators(args.model)
    print(f"{'operator':>8}  {'':24} {'output':28} run by")
    for op in operators:
        output = f"{op.type} {'x'.join(map(str, op.shape))}"
        step = by_node.get(op.index)
        runner = "LiteRT"
        if step is not None and op.index == step.nodes[-1]:
            runner = "bduo" + (f", {step.kernel}" if step.kernel else "")
            if len(step.nodes) > 1:
                runner += f", with {', '.join(str(n) for n in step.nodes[:-1])}: {step.title}"
        elif step is not None:
            runner = f"bduo, fused into {step.nodes[-1]}"
        print(f"{op.index:8}  {op.name:24} {output:28} {runner}")
    print(f"{len(by_node)} of {len(operators)} operators run in {len(steps)} steps of bduo, the others by LiteRT.")
    try:
        interpreter.metadata = read_metadata(Path(args.model).read_bytes())
        said = _described(interpreter.metadata)
    except MetadataError as e:
        interpreter.metadata = Metadata()
        said = f"Metadata that cannot be used: {e}."
    i = interpreter
    for name, dtype, shape in zip(i.input_names, i.input_types, i.input_shapes, strict=True):
        print(f"Input {name!r}: {dtype} {_sizes(shape)}.")
    for name, dtype, shape, kind in zip(i.output_names, i.output_types, i.output_shapes, i.output_kinds, strict=True):
        unknown = "not said whether logits or probabilities" if len(shape) == 2 else ""
        print(f"Output {name!r}: {', '.join(filter(None, [f'{dtype} {_sizes(shape)}', kind or unknown]))}.")
    print(said)
    return 0


def _sizes(shape: Sequence[int]) -> str:
    """A shape as a user reads it, such as 1x32x32x3."""
    return "x".join(map(str, shape)) or "scalar"


def _described(known: Metadata) -> str:
    """Says what a model's metadata are, in one line."""
    mean, std = (" ".join(f"{value:g}" for value in values) for values in (known.mean, known.std))
    scaling = f"pixels 0..255 are scaled by (pixel - {mean}) / {std}" if mean else "no scaling of pixels"
    labels = f"{len(known.labels)} labels, {known.labels[0]} to {known.labels[-1]}" if known.labels else "no labels"
    fit = ""
    if known.fit:
        how = "resized until they cover" if known.fit.whole else "cropped to the proportions of, and resized to,"
        fit = f"pictures are {how} {_sizes(known.fit.resize)}; "
    return f"Metadata: {fit}{scaling}; {labels}."


def _bench(args: argparse.Namespace) -> int:
    models = [args.model] + ([args.vs] if args.vs else [])
    interpreters = [Interpreter(model, args.threads) for model in models]
    for model, interpreter in zip(models, interpreters, strict=True):
        if not all(np.prod(shape) for shape in interpreter.input_shapes):
            raise _UsageError(f"{model} has an input without elements: there is nothing to time")
        _feed(interpreter)
    times = bench({i: interpreter.litert.invoke for i, interpreter in enumerate(interpreters)}, args.rounds)
    shape = _sizes(interpreters[0].input_shapes[0])
    print(f"threads {args.threads}, input {shape}, {args.rounds} rounds; ms for one inference")
    for i, model in enumerate(models):
        print(f"  median {times[i].median:9.3f}   min {times[i].minimum:9.3f}   {model}")
    if args.vs:
        print(f"  {args.vs} takes {times[1].ratio_to(times[0]):.2f} times as long (median of the rounds' ratios)")

    def use(interpreter: Interpreter) -> None:
        _feed(interpreter)
        bench({"steps": interpreter.litert.invoke}, rounds=10)

    steps = _operators.steps(args.model, args.threads, use)
    if not steps:
        print("No operator is run by bduo.")
        return 0
    print(f"{'operator':>8} {'us':>9} {'share':>6} {'MAC/ns':>7}  step")
    total = 1e3 * times[0].median  # microseconds
    for step in steps:
        speed = f"{step.macs / 1e3 / step.microseconds:7.1f}" if step.macs and step.microseconds else " " * 7
        share = step.microseconds / total
        kernel = f" ({step.kernel})" if step.kernel else ""
        print(f"{step.nodes[-1]:8} {step.microseconds:9.1f} {share:6.1%} {speed}  {step.title}{kernel}")
    ours = sum(step.microseconds for step in steps)
    print(f"{'bduo':>8} {ours:9.1f} {ours / total:6.1%}")
    others = max(0.0, total - ours)
    print(f"{'LiteRT':>8} {others:9.1f} {others / total:6.1%}  the operators that are its own")
    return 0


def _feed(interpreter: Interpreter) -> None:
    """Runs a model once on random inputs, which stay its inputs for the runs that are timed."""
    interpreter.predict(_operators.random_inputs(interpreter))


def _run(args: argparse.Namespace) -> int:
    interpreter = Interpreter(args.model, args.threads)
    interpreter.metadata = _metadata(args, interpreter)
    code = 0
    times = []
    for name in args.images:
        try:
            image = _read_image(name)
        except (_UsageError, OSError) as e:  # the other images may be good
            code = _complain(e)
            continue
        inputs = interpreter.preprocess(image)
        start = time.perf_counter()
        outputs = interpreter.predict(inputs)
        times.append(1e3 * (time.perf_counter() - start))
        ranking = interpreter.rank(outputs, args.top)
        print(f"{name}  {times[-1]:.2f} ms")
        for found in ranking:
            print(f"  {found.probability:6.1%}  {found.score:9.3f}  {found.label}")
    if len(times) > 1:
        print(f"{len(times)} images, median {np.median(times):.2f} ms")
    return code


def _metadata(args: argparse.Namespace, interpreter: Interpreter) -> Metadata:
    """The model's metadata with the changes that the options ask for.

    If the model's metadata are malformed, the options --labels and --range together can replace them.
    """
    try:
        known = interpreter.metadata
    except ModelError:
        if not (args.labels and args.limits):
            raise
        known = Metadata()
    if args.scores:
        known = replace(known, outputs=(args.scores,))
    if args.labels:
        try:
            known = replace(known, labels=parse_labels(Path(args.labels).read_bytes()))
        except MetadataError as e:
            raise _UsageError(f"--labels: {args.labels} {e}") from None
    if args.limits:
        try:
            known = known.with_range(*args.limits)
        except MetadataError as e:
            raise _UsageError(f"--range: {e}") from None
    return known


def _read_image(name: str) -> np.ndarray:
    """Reads a picture and turns it upright: uint8 (height, width, 3), or with 4 channels if it has transparency."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise ImportError("reading images needs Pillow: pip install 'bduo-runtime[images]'") from None
    with open(name, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(file) as opened:
                if opened.mode[0] in "IF":  # Pillow would cut the values off at 255
                    raise ValueError("more than 8 bits a channel")
                image = ImageOps.exif_transpose(opened)
                transparent = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
                return np.asarray(image.convert("RGBA" if transparent else "RGB"))
        except MemoryError:
            raise
        except Exception as e:  # Pillow's readers raise errors of any kind for damaged files
            reason = next(iter(str(e).splitlines()), type(e).__name__)
            raise _UsageError(f"{name} is not an image that Pillow can read: {reason}") from None
