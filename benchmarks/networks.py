"""What every network of the paper costs in every form: weights, multiply-accumulates, file size, latency.

    python -m benchmarks.networks                                 all of them
    python -m benchmarks.networks vgg7 --widths                   and decoupled in other widths than the paper's

Prints a table in Markdown. The networks have the inputs and classes of ImageNet, 224x224x3 and 1000, but VGG-7 those of
CIFAR-10, 32x32x3 and 10. Their weights are not trained, since nothing here depends on them.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bduo_terminal import add_verbose
from bduo_tf import decouple, networks, to_lce_graph
from bduo_tf.backend import keras
from bduo_tf.conversion.inspection import Cost, cost
from bduo_tf.conversion.tflite import convert_float32, convert_lce
from benchmarks.latency import Latency, measure, processor, runners
from benchmarks.tables import markdown

__all__ = ["forms", "main"]


def forms(network: str, widths: bool = False) -> dict[str, keras.Model]:
    """Builds the forms of a network, by their names; with `widths` decoupled networks of `duo_widths` instead."""
    build = networks.NETWORKS[network]
    if widths:
        models = {}
        for multiple in (1, 32):
            chosen = networks.duo_widths(build, networks.paper_widths(network, "baseline"), multiple_of=multiple)
            name = f"multiple of {multiple}: {', '.join(map(str, chosen))}"
            models[name] = decouple(build(form="coupled", widths=chosen))
        return models
    coupled = build(form="coupled")
    return {
        "float": build(form="float"),
        "binary baseline": build(form="baseline"),
        "coupled": coupled,
        "decoupled": decouple(coupled),
    }


def _row(name: str, model: keras.Model, folder: Path) -> tuple[Cost, int | None, Path | None]:
    """A network's cost, the bytes of its file and the file. A coupled network is not deployed, and has none."""
    if name == "coupled":
        return _coupled_cost(model), None, None
    content = convert_float32(model) if name == "float" else convert_lce(to_lce_graph(model))
    file = folder / f"{len(list(folder.iterdir()))}.tflite"
    file.write_bytes(content)
    return cost(content), len(content), file


def _coupled_cost(model: keras.Model) -> Cost:
    """The cost of a coupled network, whose MACs are half of those of its decoupled network with twice the channels."""
    macs = cost(convert_lce(to_lce_graph(decouple(model)))).macs
    kernels = [layer.kernel for layer in model._flatten_layers() if hasattr(layer, "kernel")]
    return Cost(sum(int(k.shape.num_elements()) for k in kernels), {2: macs[1] // 2, 32: macs[32]})


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.networks", description="Weights, MACs, file size and latency of the networks."
    )
    parser.add_argument(
        "networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(networks.NETWORKS)} (default: all)"
    )
    parser.add_argument(
        "--widths", action="store_true", help="decoupled networks of duo_widths, multiples of 1 and 32, instead"
    )
    parser.add_argument("--rounds", type=int, default=20, help="turns of each file, of about 20 ms (default: 20)")
    add_verbose(parser)
    args = parser.parse_args(argv)
    if args.rounds < 1:
        parser.error("--rounds must be at least 1")
    if unknown := set(args.networks) - set(networks.NETWORKS):
        parser.error(f"unknown network {', '.join(unknown)}; known: {', '.join(networks.NETWORKS)}")

    macs_heads = ["1-bit MACs", "2-bit MACs", "32-bit MACs"]
    rows = [["network", "form", "weights", *macs_heads, "file, bytes", "ms", "ratio", "LCE, ms"]]
    for network in args.networks or networks.NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            models = forms(network, args.widths)
            found = {name: _row(name, model, Path(folder)) for name, model in models.items()}
            runs = {(n, engine): run for n, (_, _, f) in found.items() if f for engine, run in runners(f).items()}
            latencies = measure(runs, args.rounds)
        first = next(iter(latencies.values()))
        for name, (costs, size, _) in found.items():
            macs = [_millions(costs.macs.get(bits, 0)) for bits in (1, 2, 32)]
            times = {engine: latency for (n, engine), latency in latencies.items() if n == name}
            rows.append(
                [network, name, f"{costs.weights:,}", *macs, f"{size:,}" if size else "-", *_times(times, first)]
            )
            print(f"{network}, {name}: done", file=sys.stderr)
    print(markdown(rows))
    print(
        f"\nms: median of {args.rounds} turns of about 20 ms, batch 1, one thread, the files of a network side by "
        f"side; ratio: to the network's first. Float networks on LiteRT's XNNPACK, others in bduo_runtime, and at last "
        f"in LCE's own interpreter. {processor()}, {time.strftime('%Y-%m-%d')}."
    )
    return 0


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f}M" if count else "-"


def _times(latencies: dict[str, Latency], first: Latency) -> list[str]:
    """The cells on one file: milliseconds in its first interpreter, their ratio to `first`, milliseconds in LCE."""
    if not latencies:
        return ["-", "-", "-"]
    best = next(iter(latencies.values()))
    lce = f"{latencies['LCE'].median:.1f}" if "LCE" in latencies else "-"
    return [f"{best.median:.2f}", f"{best.ratio_to(first):.2f}", lce]


if __name__ == "__main__":
    sys.exit(main())
