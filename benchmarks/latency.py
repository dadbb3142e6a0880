"""How long does one inference take? Several .tflite files side by side in one run.

python -m benchmarks.latency runs/digits/model.tflite runs/digits/model-float32.tflite runs/digits/model-int8.tflite

Files with LCE's operators run in LCE's own interpreter, all others in LiteRT (ai-edge-litert, XNNPACK). The files
take turns, one inference each, so that a change of the machine's speed meets all of them alike.
"""

import argparse
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.inspection import operators

__all__ = ["Latency", "main", "measure", "processor", "runner"]

_WARM_UP = 10


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one inference."""

    median: float
    minimum: float


def runner(file: Path, threads: int = 1) -> tuple[str, Callable[[], object]]:
    """The name of the interpreter that runs `file`, and a function that runs it once on a fixed input (batch 1)."""
    content = file.read_bytes()
    rng = np.random.default_rng(0)
    if any(name.startswith("Lce") for name in operators(content)):
        from larq_compute_engine.tflite.python.interpreter import Interpreter as LceInterpreter

        lce = LceInterpreter(content, num_threads=threads)
        inputs = [rng.uniform(-1, 1, shape).astype(np.float32) for shape in lce.input_shapes]
        # Below InterpreterBase.predict, whose loop over images is not the model's time.
        return "LCE", lambda: lce.interpreter.predict(inputs)
    from ai_edge_litert.interpreter import Interpreter

    litert = Interpreter(str(file), num_threads=threads)
    litert.allocate_tensors()
    for detail in litert.get_input_details():
        litert.set_tensor(detail["index"], rng.uniform(-1, 1, detail["shape"]).astype(detail["dtype"]))
    return "LiteRT, XNNPACK", litert.invoke


def measure(runners: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Latency]:
    """Runs each in turn, `rounds` times; the median and the minimum of each."""
    times: dict[str, list[float]] = {name: [] for name in runners}
    for i in range(_WARM_UP + rounds):
        for name, run in runners.items():
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
    parser.add_argument("files", type=Path, nargs="+", help="the .tflite files; ratios are to the first")
    parser.add_argument("--threads", type=int, default=1, help="of each interpreter (default: 1)")
    parser.add_argument("--rounds", type=int, default=200, help="inferences counted of each (default: 200)")
    args = parser.parse_args(argv)
    if args.threads < 1 or args.rounds < 1:
        parser.error("--threads and --rounds must be at least 1")
    for file in args.files:
        if not file.is_file():
            parser.error(f"{file} does not exist")
    engines = {}
    runners = {}
    for file in args.files:
        engines[str(file)], runners[str(file)] = runner(file, args.threads)
    latencies = measure(runners, args.rounds)
    first = latencies[str(args.files[0])].median
    print(f"{processor()}, {args.threads} thread(s), batch 1, {args.rounds} rounds, {time.strftime('%Y-%m-%d')}")
    print(f"{'median ms':>10} {'min ms':>8} {'ratio':>7}  file")
    for name, latency in latencies.items():
        ratio = latency.median / first
        print(f"{latency.median:10.3f} {latency.minimum:8.3f} {ratio:7.2f}  {name} ({engines[name]})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
