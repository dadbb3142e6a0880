"""Does `python -m convert` convert networks that others published, those of Larq's zoo, and how fast are they then?

    pip install --no-deps larq-zoo zookeeper click typeguard
    python -m benchmarks.published --folder runs/published
    python -m benchmarks.published QuickNet XNORNet --folder runs/published

Each network takes images of 224 pixels. Its trained weights are on the authors' servers; here it has seeded weights and
seeded statistics of batch norms. It is converted, and verified on seeded inputs. Then its file is timed in bduo_runtime
and in LCE's interpreter, beside the float32 file of the same network without its quantizers on XNNPACK.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bduo_tf.backend import keras
from bduo_tf.conversion.tflite import convert_float32
from bduo_tf.files import replacing
from benchmarks import latency
from benchmarks.tables import markdown
from convert import cli

__all__ = ["NETWORKS", "build", "convert", "float_peer", "main"]

NETWORKS: dict[str, tuple[str, ...]] = {
    "BinaryAlexNet": (),
    "BiRealNet": (),
    "BinaryResNetE18": (),
    "BinaryDenseNet28": (),
    "BinaryDenseNet37": (),
    "BinaryDenseNet37Dilated": (),
    "BinaryDenseNet45": (),
    "QuickNetSmall": (),
    "QuickNet": (),
    "QuickNetLarge": (),
    "MeliusNet22": (),
    "RealToBinaryNet": (),
    "XNORNet": (),
    "DoReFaNet": ("--decouple",),  # activations of two bits
}
"""The zoo's classifiers, and the options with which `python -m convert` takes each."""

_QUANTIZERS = ("input_quantizer", "kernel_quantizer", "depthwise_quantizer", "pointwise_quantizer")


def build(name: str, size: int = 224) -> keras.Model:
    """Builds a network of the zoo with seeded weights and seeded statistics of its batch norms."""
    import larq_zoo

    keras.utils.set_random_seed(0)
    families = (larq_zoo.literature, larq_zoo.sota)
    make: Callable[..., keras.Model] = next(getattr(f, name) for f in families if hasattr(f, name))
    model = make(weights=None, input_shape=(size, size, 3))
    rng = np.random.default_rng(0)
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    for norm in norms:
        channels = norm.moving_mean.shape
        norm.moving_mean.assign(rng.normal(0, 0.3, channels))
        norm.moving_variance.assign(rng.uniform(0.5, 1.5, channels))
        if norm.scale:
            norm.gamma.assign(rng.normal(1, 0.3, channels))
        if norm.center:
            norm.beta.assign(rng.normal(0, 0.3, channels))
    return model


def convert(name: str, folder: Path, size: int = 224, samples: int = 4) -> tuple[int, dict[str, Any]]:
    """Runs `python -m convert` on a network of the zoo.

    The command is given the function that makes the network, `benchmarks.published:NAME`. Keras cannot load all of
    these networks from files, because some have Lambda layers around functions.

    Returns:
        The command's exit status, and the summary that it wrote.
    """
    file = folder / f"{name}.tflite"
    arguments = ["-o", str(file), "--samples", str(samples), *NETWORKS[name]]
    status = cli.main([f"benchmarks.published:{name}", *arguments])
    summary = file.with_suffix(".json")
    return status, json.loads(summary.read_text()) if summary.exists() else {}


def __getattr__(name: str) -> Callable[[], keras.Model]:
    """Makes each network's name a function of this module that builds it, as `python -m convert` takes it."""
    if name in NETWORKS:
        return lambda: build(name)
    raise AttributeError(name)


def float_peer(model: keras.Model) -> keras.Model:
    """Builds the same network without its quantizers, so with float kernels and float activations."""

    def plain(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras.layers.Lambda):
            return keras.layers.Lambda(layer.function, name=layer.name)
        config = layer.get_config()
        config |= {quantizer: None for quantizer in _QUANTIZERS if quantizer in config}
        if config.get("pad_values"):
            config["pad_values"] = 0.0
        return type(layer).from_config(config)

    return keras.models.clone_model(model, clone_function=plain)


def _row(name: str, folder: Path, rounds: int, samples: int) -> list[str]:
    status, summary = convert(name, folder, samples=samples)
    if status != 0:
        return [name, "no", *["-"] * 6]
    path = folder / f"{name}.tflite"
    peer = folder / f"{name}-float32.tflite"
    with replacing(peer) as temporary:
        temporary.write_bytes(convert_float32(float_peer(build(name))))
    running = {**latency.runners(path), **latency.runners(peer)}
    times = latency.measure(running, rounds)
    ours = times["bduo_runtime"]
    verified = summary["verification"]["LCE"]
    flipped = [sum(counts) for counts in zip(*verified["flips"].values(), strict=True)]
    return [
        name,
        f"yes: arg max of {verified['agreeing']} of {verified['images']}",
        f"{verified['operators']['LceBconv2d']}",
        f"{flipped[0]:,} of {flipped[1]:,}",
        f"{summary['bytes']:,}",
        f"{ours.median:.2f}",
        f"{times['LCE'].ratio_to(ours):.1f}",
        f"{times['LiteRT, XNNPACK'].ratio_to(ours):.1f}",
    ]


_HEAD = [
    *("network", "verified", "binary convolutions", "flips", "file, bytes", "bduo_runtime, ms"),
    *("LCE takes", "float32 takes"),
]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 1 if a network could not be converted."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.published", description="Converts and times the networks of Larq's zoo."
    )
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"(default: all) {', '.join(NETWORKS)}")
    parser.add_argument("--folder", type=Path, required=True, help="where files go")
    parser.add_argument("--samples", type=int, default=4, help="seeded inputs to verify on (default: 4)")
    parser.add_argument("--rounds", type=int, default=20, help="turns of each interpreter, of 20 ms (default: 20)")
    args = parser.parse_args(argv)
    if unknown := set(args.networks) - set(NETWORKS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(NETWORKS)}")
    if min(args.samples, args.rounds) < 1:
        parser.error("--samples and --rounds must be at least 1")
    args.folder.mkdir(parents=True, exist_ok=True)
    rows = [_row(name, args.folder, args.rounds, args.samples) for name in args.networks or NETWORKS]
    print(f"\n{latency.processor()}, one thread, batch 1, {time.strftime('%Y-%m-%d')}\n")
    print(markdown([_HEAD, *rows]))
    return int(any(row[1] == "no" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
