"""The command line: info, bench and run."""

import argparse
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bduo_runtime import _operators
from bduo_runtime._interpreter import Interpreter, ModelError
from bduo_runtime._metadata import Metadata, MetadataError, parse_labels, read_metadata

__all__ = ["main"]


class _UsageError(Exception):
    """Something the user can put right; the message says what."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code: 0, or 1 after a line on each thing that is wrong."""
    args = _parser().parse_args(argv)
    try:
        return args.command(args)
    except (ModelError, _UsageError, OSError, ImportError) as e:
        return _complain(e)


def _complain(error: Exception) -> int:
    """One line on stderr; returns the exit code."""
    named = isinstance(error, OSError) and error.filename and error.strerror
    message = f"{error.filename}: {error.strerror}" if named else str(error)  # type: ignore[attr-defined]
    print(f"python -m bduo_runtime: error: {message}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bduo_runtime", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    info = commands.add_parser("info", help="each operator of a model: who runs it, with which kernel, fused into what")
    info.add_argument("model")
    info.set_defaults(command=_info)

    bench = commands.add_parser("bench", help="how long one inference takes, and each step of it")
    bench.add_argument("model")
    bench.add_argument("--vs", metavar="other.tflite", help="another model, timed in turns with the first")
    bench.add_argument("--threads", type=_count, default=1, help="default 1")
    bench.add_argument("--rounds", type=_count, default=30, help="default 30")
    bench.set_defaults(command=_bench)

    run = commands.add_parser("run", help="classify images")
    run.add_argument("model")
    run.add_argument("images", nargs="+", metavar="image")
    run.add_argument("--labels", help="text file, one class a line; default: the model's own")
    run.add_argument("--top", type=_count, default=5, help="classes to show, default 5")
    run.add_argument("--threads", type=_count, default=1, help="default 1")
    run.add_argument(
        "--range", nargs=2, type=float, metavar=("BLACK", "WHITE"), dest="limits",
        help="what the model takes black and white for; default: as it says itself, else -1 1",
    )  # fmt: skip
    run.set_defaults(command=_run)
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _info(args: argparse.Namespace) -> int:
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
    print(_described(args.model))
    return 0


def _described(model: str) -> str:
    """The line on a model's metadata."""
    try:
        known = read_metadata(Path(model).read_bytes())
    except MetadataError as e:
        return f"Metadata that cannot be used: {e}."
    mean, std = (" ".join(f"{value:g}" for value in values) for values in (known.mean, known.std))
    scaling = f"pixels 0..255 are scaled by (pixel - {mean}) / {std}" if mean else "no scaling of pixels"
    labels = f"{len(known.labels)} labels, {known.labels[0]} to {known.labels[-1]}" if known.labels else "no labels"
    return f"Metadata: {scaling}; {labels}."


def _bench(args: argparse.Namespace) -> int:
    models = [args.model] + ([args.vs] if args.vs else [])
    interpreters = [Interpreter(model, args.threads) for model in models]
    for interpreter in interpreters:
        _feed(interpreter)
    # Rounds of about 20 ms, the models taking turns: what disturbs one disturbs the other.
    repeats = [max(1, int(0.02 / _time(interpreter, 3))) for interpreter in interpreters]
    times = np.array([[_time(i, n) for i, n in zip(interpreters, repeats, strict=True)] for _ in range(args.rounds)])
    batch = interpreters[0].input_shapes[0][0]
    print(f"threads {args.threads}, batch {batch}, {args.rounds} rounds; ms for one inference")
    for model, series in zip(models, times.T * 1e3, strict=True):
        print(f"  median {np.median(series):9.3f}   min {series.min():9.3f}   {model}")
    if args.vs:
        ratio = np.median(times[:, 1] / times[:, 0])
        print(f"  {args.vs} takes {ratio:.2f} times as long (median of the rounds' ratios)")

    def use(interpreter: Interpreter) -> None:
        _feed(interpreter)
        _time(interpreter, 10 * repeats[0])

    steps = _operators.steps(args.model, args.threads, use)
    if not steps:
        print("No operator is run by bduo.")
        return 0
    print(f"{'operator':>8} {'us':>9} {'share':>6} {'MAC/ns':>7}  step")
    total = np.median(times[:, 0]) * 1e6
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
    arrays = _operators.random_inputs(interpreter)
    interpreter.predict(arrays if len(arrays) > 1 else arrays[0])


def _time(interpreter: Interpreter, runs: int) -> float:
    """Seconds of one inference, in the mean."""
    start = time.perf_counter()
    for _ in range(runs):
        interpreter.litert.invoke()
    return (time.perf_counter() - start) / runs


def _run(args: argparse.Namespace) -> int:
    interpreter = Interpreter(args.model, args.threads)
    interpreter.metadata = _metadata(args, interpreter)
    code = 0
    times = []
    for name in args.images:
        try:
            image = _read_image(name)
        except (_UsageError, OSError) as e:  # the others may be good
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
    """The model's, or what the options say; those suffice where the model's is malformed."""
    known = Metadata() if args.labels and args.limits else interpreter.metadata
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
    """The picture in a file, upright: uint8, (height, width, 3)."""
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
                return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
        except Exception as e:  # of damaged files Pillow's readers raise whatever befalls them
            reason = next(iter(str(e).splitlines()), type(e).__name__)
            raise _UsageError(f"{name} is not an image that Pillow can read: {reason}") from None
