"""How long .tflite files take on this machine, side by side in one run."""

import datetime
import platform
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bduo_tf.conversion.errors import explained, required
from bduo_tf.conversion.inspection import operators

__all__ = ["Timing", "processor", "runners", "time_files"]

_ROUNDS = 15
_TURN = 10.0  # milliseconds


@dataclass(frozen=True)
class Timing:
    """How long files took, batch 1.

    Attributes:
        processor: the name of the processor.
        threads: the number of threads.
        date: the day, as YYYY-MM-DD.
        milliseconds: the median time of an inference, by the name of the file and of what runs it. The first one is
            the file itself in bduo_runtime.
        ratios: how many times as long as that first one each of them takes: the median of the ratios in all rounds.
        operators: the milliseconds of operators of the first file that bduo_runtime runs, by their numbers. Of
            operators that it runs together the last one has the time of all.
    """

    processor: str
    threads: int
    date: str
    milliseconds: Mapping[str, float]
    ratios: Mapping[str, float]
    operators: Mapping[int, float] = field(repr=False, default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "operators"}


def time_files(files: Mapping[str, bytes], threads: int = 1) -> Timing:
    """Times files in turns, so that what slows the machine down slows all of them.

    It takes about half a second for each file, and is as noisy as so short a measurement is. `benchmarks.latency`
    takes longer.

    Args:
        files: the contents of .tflite files by name, the binary one first.
        threads: the number of threads of each interpreter.

    Raises:
        ConversionError: bduo_runtime is not installed.
    """
    runtime = required("bduo_runtime")
    running = {
        f"{name}, {engine}": run for name, file in files.items() for engine, run in runners(file, threads).items()
    }
    with explained("The file cannot be timed"):
        found = runtime.bench(running, _ROUNDS, _TURN)
        first = next(iter(found.values()))
        steps = _steps(next(iter(files.values())), threads)
    return Timing(
        processor=processor(),
        threads=threads,
        date=datetime.date.today().isoformat(),
        milliseconds={name: latency.median for name, latency in found.items()},
        ratios={name: latency.ratio_to(first) for name, latency in found.items()},
        operators=steps,
    )


def _steps(file: bytes, threads: int) -> dict[int, float]:
    """The milliseconds of the operators that bduo_runtime runs."""
    from bduo_runtime import Interpreter, bench, steps

    def use(interpreter: Interpreter) -> None:
        bench({"": _prepared(interpreter.litert)}, _ROUNDS, _TURN)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(file)
        return {step.nodes[-1]: step.microseconds / 1e3 for step in steps(str(path), threads, use)}


def runners(file: bytes, threads: int = 1) -> dict[str, Callable[[], Any]]:
    """Returns what runs a file once on a fixed input (batch 1), by the name of the interpreter. The first is ours.

    Files with LCE's operators run in bduo_runtime and in LCE's own interpreter, all others in LiteRT with XNNPACK.
    """
    if not any(name.startswith("Lce") for name in operators(file)):
        from ai_edge_litert.interpreter import Interpreter

        litert = Interpreter(model_content=file, num_threads=threads)
        litert.allocate_tensors()
        return {"LiteRT, XNNPACK": _prepared(litert)}
    from larq_compute_engine.tflite.python.interpreter import Interpreter as LceInterpreter

    from bduo_runtime import Interpreter as RuntimeInterpreter

    lce = LceInterpreter(file, num_threads=threads)
    inputs = [_drawn(shape, dtype) for shape, dtype in zip(lce.input_shapes, lce.input_types, strict=True)]
    return {
        "bduo_runtime": _prepared(RuntimeInterpreter(file, threads).litert),
        # This is called directly, since the loop over images in `InterpreterBase.predict` is not the model's time.
        "LCE": lambda: lce.interpreter.predict(inputs),
    }


def _prepared(litert: Any) -> Callable[[], object]:
    for detail in litert.get_input_details():
        litert.set_tensor(detail["index"], _drawn(detail["shape"], detail["dtype"]))
    return litert.invoke


def _drawn(shape: Any, dtype: Any) -> np.ndarray:
    """A random input; integers are 0 or 1, which are indices into whatever is looked up."""
    rng, kind = np.random.default_rng(0), np.dtype(dtype).kind
    return (rng.uniform(-1, 1, shape) if kind == "f" else rng.integers(0, 2, shape)).astype(dtype)


def processor() -> str:
    """Returns the processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
