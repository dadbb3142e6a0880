"""The command line of conversion: reads, has `bduo_tf.to_tflite` convert, writes, and makes errors one line each."""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bduo_tf.backend import keras
from bduo_tf.conversion.errors import ConversionError, explained
from bduo_tf.conversion.inputs import first, of_dataset
from bduo_tf.conversion.keras_to_tflite import check_numbers, to_tflite
from bduo_tf.conversion.loading import import_modules
from bduo_tf.conversion.peers import float_peer, peer_files
from bduo_tf.conversion.preparation import input_shapes
from bduo_tf.conversion.report import Report
from bduo_tf.conversion.source import Source, open_source
from bduo_tf.files import replacing
from bduo_tf.messages import first_line
from bduo_tf.page import conversion_sections, subtitle, title, training_sections, write_page
from bduo_tf.runs import RunFolder

from .options import in_options, parse, read_labels

if TYPE_CHECKING:
    from bduo_tf.data import Dataset

__all__ = ["main"]

_CALIBRATION = 128  # images from which the int8 peer learns its ranges


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    args = parse(argv)
    try:
        return _convert(args)
    except ConversionError as error:
        print(f"error: {in_options(str(error), args)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("error: interrupted.", file=sys.stderr)
        return 130  # the status that a shell gives a program that Ctrl-C ended


def _convert(args: argparse.Namespace) -> int:
    check_numbers(args.samples, args.seed, args.min_agreement, args.limits)
    import_modules(args.imports)
    source = open_source(args.source, unsafe=args.unsafe)
    output = args.output or _default_output(args.source, source)
    _require_writable(output)
    peer = _peer(args, source)
    dataset = _dataset(args, source)
    labels = read_labels(args.labels) if args.labels else dataset.class_names if dataset else ()

    print(f"Converting {source.path} ...", flush=True)
    converted = to_tflite(
        source.model,
        of_dataset(dataset, args.samples) if dataset else None,
        decouple=args.decouple,
        allow_float=args.allow_float,
        image_size=args.image_size,
        class_names=labels,
        input_range=dataset.input_range if dataset else args.limits,
        fit=source.config.fit if source.config else dataset.fit if dataset else None,
        scores=args.scores,
        samples=args.samples,
        seed=args.seed,
        min_agreement=args.min_agreement,
    )
    verified = converted.report.verified
    peers = {}
    if peer is not None and verified:
        peers = peer_files(peer, first(converted.inputs.batches(), _CALIBRATION), converted.metadata)
    if verified and "bduo_runtime" in converted.report.verifications:
        try:
            converted = converted.timed(peers)
        except ConversionError as error:  # the file is good all the same
            print(f"  not timed: {error}", file=sys.stderr)
    files = {"": converted.file, **{f"-{name}": content for name, content in peers.items()}} if verified else {}
    sizes = {name: len(content) for name, content in peers.items()}
    report = replace(converted.report, title=str(output), peers=sizes)
    _write(output, files, _summary(source, output, report))
    page = _write_page(args.source, source, output, report)
    print(report)
    print(f"  all of it    {page}")
    if not verified:
        print(f"error: verification failed, {output} was not written.", file=sys.stderr)
    return 0 if verified else 1


def _default_output(given: Path, source: Source) -> Path:
    return given / "model.tflite" if source.path.parent == given else source.path.with_suffix(".tflite")


def _require_writable(output: Path) -> None:
    """Fails before the long work, not after it."""
    if output.suffix != ".tflite":
        raise ConversionError(f"--output must end in .tflite, not {output}.")
    try:
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except OSError as error:
        raise ConversionError(f"--output: cannot write into {output.parent}: {error.strerror}.") from error


def _peer(args: argparse.Namespace, source: Source) -> keras.Model | None:
    """The float network to convert beside the model, if that was asked for."""
    if not args.peers:
        return None
    with explained(f"{args.source}: its configuration names no network to compare with"):
        return float_peer(source)


def _dataset(args: argparse.Namespace, source: Source) -> "Dataset | None":
    """The data set to verify on; None if seeded inputs are to be drawn."""
    trained = source.config.settings if source.config else None
    name = args.dataset or (trained.dataset if trained else None)
    if name is None:
        return None
    model, shapes = source.model, input_shapes(source.model, args.image_size)
    if len(shapes) != 1 or len(shapes[0]) != 3 or not model.inputs[0].dtype.is_floating:
        inputs = ", ".join(f"{shape} of {t.dtype.name}" for shape, t in zip(shapes, model.inputs, strict=True))
        raise ConversionError(f"Model {model.name!r} takes {inputs}, not the scaled images of {name}: no --dataset.")
    [shape] = shapes
    folder = args.data_dir or (trained.data_dir if trained and not args.dataset else None)
    kind, _, pictures = name.partition(":")
    if kind == "folder" and not args.dataset and not Path(pictures).is_dir():
        raise ConversionError(
            f"The pictures of the run are not in {pictures} any more: say where they are by --dataset folder:PATH."
        )
    dataset = _loaded(name, shape[:2], folder)
    if source.config and not args.dataset and dataset.class_names != source.config.class_names:
        raise ConversionError(
            f"{name} has other classes than when the run was trained: name one that has them by --dataset."
        )
    if dataset.input_shape != shape:
        raise ConversionError(f"Model {model.name!r} takes images of shape {shape}, {name} has {dataset.input_shape}.")
    if args.limits:
        raise ConversionError(
            f"--range is for models without a data set, whose images are scaled to {dataset.input_range}."
        )
    return dataset


def _loaded(name: str, size: tuple[int, ...], folder: Path | str | None) -> "Dataset":
    try:
        from bduo_tf import data  # only now, since it needs TensorFlow Datasets
    except ImportError as error:
        raise ConversionError(
            f"Data set {name} cannot be read without the packages of training ({first_line(error)}): "
            "pip install bduo-tf[train]"
        ) from error
    try:
        return data.load(name, (size[0], size[1]), folder)
    except data.DataError as error:
        raise ConversionError(str(error)) from error


def _write_page(given: Path, source: Source, output: Path, report: Report) -> Path:
    """Writes the report page into the run folder, or beside the file where that is not from a run."""
    if source.config is None:
        path = output.with_suffix(".html")
        write_page(path, source.path.name, f"converted to {output.name}", conversion_sections(report))
        return path
    run = RunFolder(given)
    sections = training_sections(run)
    # What one deploys comes first, then how it was trained.
    write_page(
        run.page,
        title(source.config),
        subtitle(source.config),
        [*sections[:1], *conversion_sections(report), *sections[1:]],
    )
    return run.page


def _summary(source: Source, output: Path, report: Report) -> bytes:
    """What stands beside the file as JSON."""
    written = str(output) if report.verified else None
    return f"{json.dumps({'source': str(source.path), 'output': written, **report.as_json()}, indent=2)}\n".encode()


def _write(output: Path, files: Mapping[str, bytes], summary: bytes) -> None:
    """Writes the summary, and files by what each adds to the output's name."""
    contents = {output.with_name(f"{output.stem}{end}.tflite"): content for end, content in files.items()}
    for path, content in {**contents, output.with_suffix(".json"): summary}.items():
        with replacing(path) as temporary:
            temporary.write_bytes(content)
