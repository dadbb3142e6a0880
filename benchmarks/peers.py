"""Writes the files that docs/runtime.md compares: a decoupled network, and what one would deploy instead of it.

python -m benchmarks.peers vgg7 resnet18 --folder runs/peers
python -m benchmarks.latency runs/peers/vgg7.tflite runs/peers/vgg7-*.tflite

For each network it writes NAME.tflite (decoupled, for LCE), NAME-float32.tflite and NAME-int8.tflite. The latter two
have ReLU and float kernels in the baseline's widths, which make the same number of weights and MACs. The weights are
not trained, since no latency depends on them.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bduo_terminal import add_verbose
from bduo_tf import decouple, networks, to_lce_graph
from bduo_tf.conversion.peers import peer_files
from bduo_tf.conversion.tflite import convert_lce

__all__ = ["main"]

_CALIBRATION = 8  # images, which are as random as the weights


def _files(network: str) -> dict[str, bytes]:
    build = networks.NETWORKS[network]
    peer = build(form="float")
    rng = np.random.default_rng(0)
    images = [rng.uniform(-1, 1, peer.input_shape[1:]).astype(np.float32) for _ in range(_CALIBRATION)]
    peers = {f"{network}-{name}": content for name, content in peer_files(peer, images).items()}
    return {network: convert_lce(to_lce_graph(decouple(build(form="coupled"))))} | peers


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description="Writes a network's file and those of its float peers."
    )
    parser.add_argument("networks", nargs="+", choices=sorted(networks.NETWORKS), metavar="NETWORK")
    parser.add_argument("--folder", type=Path, required=True, help="where to")
    add_verbose(parser)
    args = parser.parse_args(argv)
    args.folder.mkdir(parents=True, exist_ok=True)
    for network in args.networks:
        for name, content in _files(network).items():
            path = args.folder / f"{name}.tflite"
            path.write_bytes(content)
            print(f"{path}: {len(content):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
