"""How long does one inference take? Several .tflite files side by side in one run.

python -m benchmarks.latency runs/digits/model.tflite runs/digits/model-float32.tflite runs/digits/model-int8.tflite

Files with LCE's operators run in bduo_runtime and in LCE's own interpreter, all others in LiteRT (ai-edge-litert) with
XNNPACK. The interpreters take turns of about 20 ms (`bduo_runtime.bench`), so that a change of the machine's speed
meets all of them alike. A ratio is the median of the ratios in all rounds.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bduo_runtime import Latency
from bduo_runtime import bench as measure
from bduo_terminal import add_verbose
from bduo_tf.conversion import timing
from bduo_tf.conversion.timing import processor

__all__ = ["Latency", "main", "measure", "processor", "runners"]

_TURN = 20.0  # milliseconds


def runners(file: Path, threads: int = 1) -> dict[str, Callable[[], Any]]:
    """Returns what runs a file once, as `bduo_tf.conversion.timing.runners` does for a file's content."""
    return timing.runners(file.read_bytes(), threads)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.latency", description="Times .tflite files side by side, batch 1."
    )
    parser.add_argument("files", type=Path, nargs="+", help="the .tflite files; ratios are to the first line")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1], help="of each interpreter; several are compared (default: 1)"
    )
    parser.add_argument("--rounds", type=int, default=50, help="turns of each, of about 20 ms (default: 50)")
    parser.add_argument(
        "--turn",
        type=float,
        default=_TURN,
        metavar="MS",
        help="length of a turn; 0: one inference, whose data the others have driven from the caches (default: 20)",
    )
    add_verbose(parser)
    args = parser.parse_args(argv)
    if min(args.threads) < 1 or args.rounds < 1 or args.turn < 0:
        parser.error("--threads and --rounds must be at least 1, --turn at least 0")
    for file in args.files:
        if not file.is_file():
            parser.error(f"{file} does not exist")
    running = {
        (str(f), engine, threads): run
        for f in args.files
        for threads in args.threads
        for engine, run in runners(f, threads).items()
    }
    latencies = measure(running, args.rounds, args.turn)
    first = next(iter(latencies.values()))
    print(f"{processor()}, batch 1, {args.rounds} rounds, {time.strftime('%Y-%m-%d')}")
    print(f"{'median ms':>10} {'min ms':>8} {'ratio':>7} {'threads':>8}  file")
    for (name, engine, threads), latency in latencies.items():
        ratio = latency.ratio_to(first)
        print(f"{latency.median:10.3f} {latency.minimum:8.3f} {ratio:7.2f} {threads:8}  {name} ({engine})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
