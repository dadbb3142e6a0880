"""The command line: info, bench and run."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bduo_runtime import _operators
from bduo_runtime._interpreter import Interpreter, ModelError

__all__ = ["main"]


class _UsageError(Exception):
    """Something the user can put right; the message says what."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code: 0, or 1 after one line on what is wrong."""
    args = _parser().parse_args(argv)
    try:
        args.command(args)
    except (ModelError, _UsageError, OSError, UnicodeDecodeError) as e:
        message = f"{e.filename}: {e.strerror}" if isinstance(e, OSError) and e.filename and e.strerror else str(e)
        print(f"python -m bduo_runtime: error: {message}", file=sys.stderr)
        return 1
    return 0


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
    run.add_argument("--labels", help="text file, one class a line")
    run.add_argument("--top", type=_count, default=5, help="classes to show, default 5")
    run.add_argument("--threads", type=_count, default=1, help="default 1")
    run.add_argument(
        "--range", nargs=2, type=float, default=(-1.0, 1.0), metavar=("BLACK", "WHITE"), dest="limits",
        help="what the model takes black and white for, default -1 1",
    )  # fmt: skip
    run.set_defaults(command=_run)
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _info(args: argparse.Namespace) -> None:
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


def _bench(args: argparse.Namespace) -> None:
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
        return
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


def _feed(interpreter: Interpreter) -> None:
    arrays = _operators.random_inputs(interpreter)
    interpreter.predict(arrays if len(arrays) > 1 else arrays[0])


def _time(interpreter: Interpreter, runs: int) -> float:
    """Seconds of one inference, in the mean."""
    start = time.perf_counter()
    for _ in range(runs):
        interpreter.litert.invoke()
    return (time.perf_counter() - start) / runs


def _run(args: argparse.Namespace) -> None:
    interpreter = Interpreter(args.model, args.threads)
    if len(interpreter.input_shapes) != 1 or len(interpreter.input_shapes[0]) != 4:
        raise _UsageError(f"{args.model} does not take images")
    labels = Path(args.labels).read_text().splitlines() if args.labels else []
    for name in args.images:
        image = _read_image(name, interpreter, args.limits)
        start = time.perf_counter()
        scores = interpreter.predict(image)
        elapsed = time.perf_counter() - start
        if isinstance(scores, list) or scores.ndim != 2:
            raise _UsageError(f"{args.model} is not a classifier: its output is not (batch, classes)")
        detail = interpreter.litert.get_output_details()[0]
        scale, zero_point = detail["quantization"]
        values = (scores[0].astype(np.float64) - zero_point) * (scale or 1.0)
        probabilities = np.exp(values - values.max())
        probabilities /= probabilities.sum()
        print(f"{name}  {elapsed * 1e3:.2f} ms")
        for c in np.argsort(-values, kind="stable")[: args.top]:
            label = labels[c] if c < len(labels) else f"class {c}"
            print(f"  {probabilities[c]:6.1%}  {values[c]:9.3f}  {label}")


def _read_image(name: str, interpreter: Interpreter, limits: tuple[float, float]) -> np.ndarray:
    try:
        from PIL import Image
    except ImportError:
        raise _UsageError("reading images needs Pillow: pip install 'bduo-runtime[images]'") from None
    _, height, width, channels = interpreter.input_shapes[0]
    if channels not in (1, 3):
        raise _UsageError(f"the model takes {channels} channels; images have 1 or 3")
    try:
        with Image.open(name) as opened:
            image = opened.convert("L" if channels == 1 else "RGB").resize((width, height), Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, Image.DecompressionBombError) as e:
        if isinstance(e, FileNotFoundError):
            raise
        raise _UsageError(f"{name} is not an image that Pillow can read ({type(e).__name__})") from None
    pixels = np.asarray(image, np.float32).reshape(1, height, width, channels) / 255
    values = limits[0] + pixels * (limits[1] - limits[0])
    dtype = interpreter.input_types[0]
    if np.issubdtype(dtype, np.floating):
        return values.astype(dtype)
    scale, zero_point = interpreter.litert.get_input_details()[0]["quantization"]
    if not scale:
        raise _UsageError(f"the model takes {dtype} without saying how images become that")
    bounds = np.iinfo(dtype)
    return np.clip(np.round(values / scale) + zero_point, bounds.min, bounds.max).astype(dtype)
