"""One run, trained and converted, in one table: accuracy, weights, MACs, file size and latency.

python -m benchmarks.summary runs/digits     after python -m train and python -m convert --float
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bduo_terminal import add_verbose
from bduo_tf.runs import RunError, RunFolder
from bduo_tf.training.methods import METHODS
from benchmarks.latency import Latency, measure, processor, runners
from benchmarks.tables import table

__all__ = ["main"]

_FILES = {"binary": "model", "float32": "model-float32", "int8": "model-int8"}


def _rows(
    accuracies: dict[str, float],
    conversion: dict[str, Any],
    latencies: dict[tuple[str, str], Latency],
    sizes: dict[str, int],
) -> list[list[str]]:
    rows = [["test accuracy", title, f"{accuracy:.2%}"] for title, accuracy in accuracies.items()]
    for name, verification in conversion["verification"].items():
        if verification["accuracy"] is not None:
            rows.append(["test accuracy", f"the .tflite in {name}", f"{verification['accuracy']:.2%}"])
    for name, verification in conversion["verification"].items():
        agreeing = f"{verification['agreeing']} of {verification['images']}"
        rows.append(["arg max as Keras'", f"the .tflite in {name}", agreeing])
    rows.append(["weights", "", f"{conversion['weights']:,}"])
    rows += [["MACs", bits, f"{count:,}"] for bits, count in conversion["macs"].items()]
    rows += [
        ["file size", name, f"{size:,} bytes" + (f", {size / sizes['binary']:.1f} x" if name != "binary" else "")]
        for name, size in sizes.items()
    ]
    first = next(iter(latencies.values()))
    rows += [
        ["latency", f"{name} ({engine})", f"{latency.median:.3f} ms, {latency.ratio_to(first):.2f} x"]
        for (name, engine), latency in latencies.items()
    ]
    return rows


def _accuracies(run: RunFolder) -> dict[str, float]:
    """The test accuracy of each model of a run, by what a reader calls the model.

    Raises:
        RunError: this is not the folder of a finished run.
    """
    run.config()
    run.final()
    models, titles = run.metrics().models, {name: method.title for name, method in METHODS.items()}
    titles |= {"coupled": "coupled", "decoupled": "decoupled, not fine-tuned"}
    titles["fine_tuned"] = "decoupled, fine-tuned" if "decoupled" in models else "fine-tuned"
    return {titles.get(name, name): model.accuracy for name, model in models.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.summary", description="The results of a run that was trained and converted."
    )
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--rounds", type=int, default=50, help="turns of each file, of about 20 ms (default: 50)")
    add_verbose(parser)
    args = parser.parse_args(argv)
    try:
        accuracies = _accuracies(RunFolder(args.run))
        conversion = json.loads((args.run / "model.json").read_text())
        if conversion["output"] is None:
            parser.error(
                f"the last conversion in {args.run} failed its verification: repeat python -m convert {args.run}"
            )
        files = {name: args.run / f"{stem}.tflite" for name, stem in _FILES.items()}
        files = {name: file for name, file in files.items() if file.is_file()}
        running = {(name, engine): run for name, file in files.items() for engine, run in runners(file).items()}
    except FileNotFoundError as error:
        parser.error(f"{error.filename} is missing: run python -m convert {args.run} --float first")
    except RunError as error:
        parser.error(str(error))
    latencies = measure(running, args.rounds)
    sizes = {name: file.stat().st_size for name, file in files.items()}
    print(table(_rows(accuracies, conversion, latencies, sizes)))
    print(
        f"Latency: median of {args.rounds} turns of about 20 ms, batch 1, one thread, {processor()}, "
        f"{time.strftime('%Y-%m-%d')}."
    )
    print(
        "float32 and int8: the same network with ReLU and float kernels in the baseline's widths (same weights and "
        "MACs), untrained."
    )
    print(f"Training curves: {RunFolder(args.run).curves}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
