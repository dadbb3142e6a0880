"""Where does the time of a conversion go, and how much memory does it take?

    python -m benchmarks.conversion resnet18

Times each step from a coupled network at its full size (224x224 for ImageNet, 32x32 for VGG-7) to a verified .tflite
file. Beside that it times the two steps of LCE's own converter, `lce.convert_keras_model`.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bduo_terminal import add_verbose
from bduo_tf import decouple, networks
from bduo_tf.backend import keras
from bduo_tf.conversion.tflite import convert_lce, quiet
from bduo_tf.conversion.verification import verify
from bduo_tf.deployment import deploy
from benchmarks.latency import processor
from benchmarks.tables import table

__all__ = ["main"]


def _peak_gib() -> float:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 2**30  # Linux counts in kilobytes


def _lce_converter(graph: keras.Model) -> dict[str, float]:
    """Times the two steps of `lce.convert_keras_model`, in seconds."""
    import larq_compute_engine as lce

    with tempfile.TemporaryDirectory() as folder, quiet():
        start = time.perf_counter()
        graph.save(folder, save_format="tf")
        saved = time.perf_counter()
        lce.convert_saved_model(folder)
        return {"Keras writes a SavedModel": saved - start, "LCE converts that": time.perf_counter() - saved}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 1 if the file does not compute what the network computes."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.conversion", description="Times each step of a conversion; untrained weights."
    )
    parser.add_argument("network", choices=tuple(networks.NETWORKS))
    parser.add_argument("--samples", type=int, default=8, help="seeded inputs to verify on (default: 8)")
    add_verbose(parser)
    args = parser.parse_args(argv)
    if args.samples < 1:
        parser.error("--samples must be at least 1")

    keras.utils.set_random_seed(0)
    seconds: dict[str, float] = {}

    def timed(name: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        result = function(*arguments, **options)
        seconds[name] = time.perf_counter() - start
        return result

    coupled = timed("build the coupled network", networks.NETWORKS[args.network])
    images = np.random.default_rng(0).uniform(-1, 1, (args.samples, *coupled.input_shape[1:])).astype(np.float32)
    binary = timed("decouple", decouple, coupled)
    deployment = timed("deploy (to_lce_graph)", deploy, binary)
    file = timed("convert", convert_lce, deployment.graph)
    batches = [(images[i : i + 8], None) for i in range(0, len(images), 8)]
    verification = timed(f"verify on {args.samples} inputs", verify, deployment, file, batches, min_agreement=0)
    peak = _peak_gib()
    alone = _lce_converter(deployment.graph)

    rows = [["step", "seconds"], *([name, f"{t:.1f}"] for name, t in seconds.items())]
    rows.append(["all", f"{sum(seconds.values()):.1f}"])
    rows += [["", ""], ["lce.convert_keras_model instead", f"{sum(alone.values()):.1f}"]]
    rows += [[f"  {name}", f"{t:.1f}"] for name, t in alone.items()]
    print(table(rows))
    print(
        f"{args.network}: {len(file):,} bytes, {verification.operators['LceBconv2d']} LceBconv2d, arg max agrees on "
        f"{verification.agreeing} of {verification.images} inputs; {peak:.1f} GiB of memory at most (all but the last "
        f"three rows). {processor()}, {os.cpu_count()} CPUs, {time.strftime('%Y-%m-%d')}."
    )
    for problem in verification.problems:
        print(f"FAILED: {problem}")
    return 1 if verification.problems else 0


if __name__ == "__main__":
    sys.exit(main())
