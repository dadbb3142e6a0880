"""How long does one inference take? Several .tflite files side by side in one run.

python -m benchmarks.latency runs/digits/model.tflite runs/digits/model-float32.tflite runs/digits/model-int8.tflite

Files with LCE's operators run in bduo_runtime and in LCE's own interpreter, all others in LiteRT (ai-edge-litert,
XNNPACK). All take turns, one inference each, so that a change of the machine's speed meets all of them alike.
"""

import argparse
import platform
import sys
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from convert.inspection import operators

__all__ = ["Latency", "main", "measure", "processor", "runners"]

_WARM_UP = 10
_Name = TypeVar("_Name", bound=Hashable)


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one inference."""

    median: float
    minimum: float


def runners(file: Path, threads: int = 1) -> dict[str, Callable[[], object]]:
    """For each interpreter of `file`, by name: what runs it once on a fixed input (batch 1). The first is ours."""
    content = file.read_bytes()
    if not any(name.startswith("Lce") for name in operators(content)):
        from ai_edge_litert.interpreter import Interpreter

        litert = Interpreter(str(file), num_threads=threads)
        litert.allocate_tensors()
        return {"LiteRT, XNNPACK": _prepared(litert)}
    from larq_compute_engine.tflite.python.interpreter import Interpreter as LceInterpreter

    from bduo_runtime import Interpreter as RuntimeInterpreter

    lce = LceInterpreter(content, num_threads=threads)
    rng = np.random.default_rng(0)
    inputs = [rng.uniform(-1, 1, shape).astype(np.float32) for shape in lce.input_shapes]
    return {
        "bduo_runtime": _prepared(RuntimeInterpreter(file, threads).litert),
        # Below InterpreterBase.predict, whose loop over images is not the model's time.
        "LCE": lambda: lce.interpreter.predict(inputs),
    }


def _prepared(litert: Any) -> Callable[[], object]:
    rng = np.random.default_rng(0)
    for detail in litert.get_input_details():
        litert.set_tensor(detail["index"], rng.uniform(-1, 1, detail["shape"]).astype(detail["dtype"]))
    return litert.invoke


def measure(running: Mapping[_Name, Callable[[], object]], rounds: int) -> dict[_Name, Latency]:
    """Runs each in turn, `rounds` times; the median and the minimum of each."""
    times: dict[_Name, list[float]] = {name: [] for name in running}
    for i in range(_WARM_UP + rounds):
        for name, run in running.items():
            start = time.perf_counter()
            run()
            if i >= _WARM_UP:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: Latency(float(np.median(t)), min(t)) for name, t in times.items()}


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.latency", description="Times .tflite files side by side, batch 1."
    )
    parser.add_argument("files", type=Path, nargs="+", help="the .tflite files; ratios are to the first line")
    parser.add_argument("--threads", type=int, default=1, help="of each interpreter (default: 1)")
    parser.add_argument("--rounds", type=int, default=200, help="inferences counted of each (default: 200)")
    args = parser.parse_args(argv)
    if args.threads < 1 or args.rounds < 1:
        parser.error("--threads and --rounds must be at least 1")
    for file in args.files:
        if not file.is_file():
            parser.error(f"{file} does not exist")
    running = {(str(f), engine): run for f in args.files for engine, run in runners(f, args.threads).items()}
    latencies = measure(running, args.rounds)
    first = next(iter(latencies.values())).median
    print(f"{processor()}, {args.threads} thread(s), batch 1, {args.rounds} rounds, {time.strftime('%Y-%m-%d')}")
    print(f"{'median ms':>10} {'min ms':>8} {'ratio':>7}  file")
    for (name, engine), latency in latencies.items():
        ratio = latency.median / first
        print(f"{latency.median:10.3f} {latency.minimum:8.3f} {ratio:7.2f}  {name} ({engine})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
