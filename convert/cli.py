"""The command line of `python -m convert`."""

import argparse
import logging
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import data
from bduo_tf._keras import keras
from bduo_tf.deployment import deploy
from convert import report
from convert.errors import ConversionError
from convert.inspection import cost
from convert.metadata import Metadata, add_metadata, read_labels
from convert.peers import float_peer, peer_files
from convert.source import Source, open_source
from convert.tflite import convert_lce
from convert.verification import interpreters, verify
from data.files import replacing

__all__ = ["main"]

_BATCH = 64
_CALIBRATION = 128

_EPILOG = """examples:
  python -m convert runs/digits                       the model of a finished run, to runs/digits/model.tflite
  python -m convert runs/digits --float               and the float32 and int8 files of its float peer
  python -m convert my.keras -o my.tflite             any binary Keras model, verified on seeded inputs
  python -m convert my.keras --dataset fashion_mnist  the same, verified on a test set
  python -m convert my.keras --labels labels.txt --range 0 1
                                                      the same, with class names and the input's range in the file

exit status: 0 the file was written and verified; 1 it failed the verification and was not written; 2 wrong input."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m convert",
        description="Writes a Larq Compute Engine .tflite file of a binary network, and verifies that the file "
        "computes what the model computes.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, help="run folder of `python -m train`, or a .keras file")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        help="the .tflite file to write; its summary goes beside it as .json (default: model.tflite in the run folder, "
        "or beside the .keras file)",
    )
    parser.add_argument("--dataset", help="verify on the test images of this data set (default: that of the run)")
    parser.add_argument("--data-dir", type=Path, help="where the data set is, as for `python -m train`")
    parser.add_argument("--labels", type=Path, help="text file, one class a line (default: those of the data set)")
    parser.add_argument(
        "--range",
        nargs=2,
        type=float,
        metavar=("BLACK", "WHITE"),
        dest="limits",
        help="what the model takes black and white for (default: as the data set's images are scaled)",
    )
    parser.add_argument(
        "--samples", type=int, help="verify on that many images (default: the whole test set, or 256 seeded inputs)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the inputs where there is no data set (default: 0)")
    parser.add_argument(
        "--min-agreement",
        type=float,
        default=0.99,
        help="share of images whose arg max must agree (default: %(default)s)",
    )
    parser.add_argument(
        "--float",
        action="store_true",
        dest="peers",
        help="also write the float32 and int8 files of what one would deploy instead, for comparing size and speed",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    args = _parser().parse_args(argv)
    # Its advice on kernel constraints is for gradients that are clipped; ScaledSign's is not.
    logging.getLogger("larq.layers_base").setLevel(logging.ERROR)
    try:
        return _convert(args)
    except (ConversionError, data.DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _convert(args: argparse.Namespace) -> int:
    if args.samples is not None and args.samples < 1:
        raise ConversionError(f"--samples must be at least 1, not {args.samples}.")
    if not 0 <= args.min_agreement <= 1:
        raise ConversionError(f"--min-agreement is a share from 0 to 1, not {args.min_agreement}.")
    source = open_source(args.source)
    output = args.output or (
        args.source / "model.tflite" if args.source.is_dir() else source.path.with_suffix(".tflite")
    )
    _require_writable(output)
    peer = float_peer(source) if args.peers else None
    model = _single(source.model)
    dataset = _dataset(args, source, model)
    metadata = _metadata(args, dataset, model)
    batches, total, inputs = _inputs(args, dataset, model)

    try:
        deployment = deploy(model)
    except ValueError as error:
        raise ConversionError(str(error)) from error
    print(f"Converting {source.path} ...", flush=True)
    file = add_metadata(convert_lce(deployment.graph), metadata)
    verifications = {}
    for name, interpreter in interpreters().items():
        verifications[name] = verify(
            deployment,
            file,
            batches,
            total=total,
            min_agreement=args.min_agreement,
            interpreter=interpreter,
            title=f"Verify ({name})",
        )
        batches, _, _ = _inputs(args, dataset, model)
    verified = not any(v.problems for v in verifications.values())

    files = {output: file} if verified else {}
    peers: dict[str, bytes] = {}
    if peer is not None and verified:
        calibration, _, _ = _inputs(args, dataset, model)
        converted = peer_files(peer, _first(calibration, _CALIBRATION))
        peers = {name: add_metadata(content, metadata) for name, content in converted.items()}
        files |= {output.with_name(f"{output.stem}-{name}.tflite"): content for name, content in peers.items()}
    sizes = {name: len(content) for name, content in peers.items()}
    model_cost = cost(deployment.graph)
    summary = {
        "source": str(source.path),
        "output": str(output) if verified else None,
        "bytes": len(file),
        **model_cost.as_json(),
        "verified_on": inputs,
        "verification": {name: v.as_json() for name, v in verifications.items()},
        "peers": {name: {"bytes": size, "trained": False} for name, size in sizes.items()},
    }
    files[output.with_suffix(".json")] = report.as_json(summary).encode()
    for path, content in files.items():
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    print(report.as_text(str(output), len(file), model_cost, verifications, sizes, inputs))
    if not verified:
        print(f"error: verification failed, {output} was not written.", file=sys.stderr)
    return 0 if verified else 1


def _single(model: keras.Model) -> keras.Model:
    """`model`, if it is of the kind that images can be fed to."""
    if len(model.inputs or []) != 1 or len(model.outputs or []) != 1:
        raise ConversionError(
            f"Model {model.name!r} has {len(model.inputs or [])} inputs and {len(model.outputs or [])} outputs; only "
            "models with one of each can be verified. Use bduo_tf.to_lce_graph and "
            "larq_compute_engine.convert_keras_model directly."
        )
    if None in model.inputs[0].shape[1:]:
        raise ConversionError(f"Model {model.name!r} has inputs of unknown size: {model.inputs[0].shape}.")
    return model


def _dataset(args: argparse.Namespace, source: Source, model: keras.Model) -> data.Dataset | None:
    """What to verify on; None if that is seeded inputs."""
    shape = tuple(model.inputs[0].shape[1:])
    name = args.dataset or source.config.get("dataset")
    if name is None:
        return None
    folder = args.data_dir or (None if args.dataset else source.config.get("data_dir"))
    dataset = data.load(name, shape[:2], folder)
    if dataset.input_shape != shape:
        raise ConversionError(f"Model {model.name!r} takes images of shape {shape}, {name} has {dataset.input_shape}.")
    return dataset


def _metadata(args: argparse.Namespace, dataset: data.Dataset | None, model: keras.Model) -> Metadata:
    """What the file is to say of its input and output: what the data set says, and the options."""
    shape, outputs = tuple(model.inputs[0].shape[1:]), tuple(model.outputs[0].shape[1:])
    labels = dataset.class_names if dataset else ()
    limits = dataset.input_range if dataset else None
    if args.labels:
        labels = read_labels(args.labels)
    if labels and outputs != (len(labels),):
        origin = args.labels or args.dataset or "the data set"
        raise ConversionError(f"Model {model.name!r} has outputs {outputs}, {origin} has {len(labels)} classes.")
    if args.limits:
        if limits:
            raise ConversionError(f"--range is for models without a data set, whose images are scaled to {limits}.")
        limits = (args.limits[0], args.limits[1])
        if not np.isfinite(limits).all() or limits[0] == limits[1]:
            raise ConversionError(f"--range takes two different numbers, not {limits[0]:g} and {limits[1]:g}.")
        if len(shape) != 3:
            raise ConversionError(f"--range is for images, but model {model.name!r} takes inputs of shape {shape}.")
    return Metadata(model.name, labels, limits, shape[-1])


def _inputs(
    args: argparse.Namespace, dataset: data.Dataset | None, model: keras.Model
) -> tuple[Iterator[tuple[np.ndarray, np.ndarray | None]], int, str]:
    """Batches of (images, labels or None) to verify on, how many images they are, and what they are."""
    if dataset is None:
        count = args.samples or 256
        low, high = sorted(args.limits or (-1.0, 1.0))
        batches = _seeded(tuple(model.inputs[0].shape[1:]), count, args.seed, low, high)
        return batches, count, f"{count} inputs, uniform in [{low:g}, {high:g}], seed {args.seed}"
    count = min(args.samples or dataset.num_test, dataset.num_test)
    images = dataset.test.take(count).batch(_BATCH).as_numpy_iterator()
    return images, count, f"{count} test images of {dataset.name}"


def _seeded(
    shape: tuple[int, ...], count: int, seed: int, low: float, high: float
) -> Iterator[tuple[np.ndarray, None]]:
    rng = np.random.default_rng(seed)
    for start in range(0, count, _BATCH):
        yield rng.uniform(low, high, (min(_BATCH, count - start), *shape)).astype(np.float32), None


def _first(batches: Iterator[tuple[np.ndarray, Any]], count: int) -> list[np.ndarray]:
    images: list[np.ndarray] = []
    for batch, _ in batches:
        images.extend(batch[: count - len(images)])
        if len(images) == count:
            break
    return images


def _require_writable(output: Path) -> None:
    """Fails before the long work, not after it."""
    if output.suffix != ".tflite":
        raise ConversionError(f"--output must end in .tflite, not {output}.")
    try:
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except OSError as error:
        raise ConversionError(f"--output: cannot write into {output.parent}: {error.strerror}.") from error
