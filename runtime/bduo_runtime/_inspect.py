"""The commands info and bench: what runs the operators of a model, and how long one inference takes."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bduo_runtime import _operators
from bduo_runtime._interpreter import Interpreter
from bduo_runtime._messages import UsageError
from bduo_runtime._metadata import Metadata, MetadataError, read_metadata
from bduo_runtime._timing import bench

__all__ = ["show_info", "show_times"]


def show_info(args: argparse.Namespace) -> int:
    """Runs the command info; returns its exit code."""
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


def show_times(args: argparse.Namespace) -> int:
    """Runs the command bench; returns its exit code."""
    models = [args.model] + ([args.vs] if args.vs else [])
    interpreters = [Interpreter(model, args.threads) for model in models]
    for model, interpreter in zip(models, interpreters, strict=True):
        if not all(np.prod(shape) for shape in interpreter.input_shapes):
            raise UsageError(f"{model} has an input without elements: there is nothing to time")
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
