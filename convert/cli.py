"""The command line of conversion: options become a job, and errors become one line each."""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bduo_tf import data
from bduo_tf.backend import keras
from bduo_tf.conversion.errors import ConversionError
from bduo_tf.conversion.inputs import Inputs, first, of_dataset, seeded_inputs
from bduo_tf.conversion.inspection import cost
from bduo_tf.conversion.interpreters import interpreters, require_runnable
from bduo_tf.conversion.loading import import_modules
from bduo_tf.conversion.metadata import Metadata, add_metadata, read_labels
from bduo_tf.conversion.peers import float_peer, peer_files
from bduo_tf.conversion.preparation import as_float32, decoupled, deployed, explained, sized
from bduo_tf.conversion.report import Report
from bduo_tf.conversion.scores import output_kinds
from bduo_tf.conversion.signature import Names, names_of
from bduo_tf.conversion.source import Source, open_source
from bduo_tf.conversion.tflite import convert_lce
from bduo_tf.conversion.verification import Verification, verify
from bduo_tf.deployment import Deployment
from bduo_tf.files import replacing

from .options import check, parse

__all__ = ["main"]

_CALIBRATION = 128


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    args = parse(argv)
    try:
        return _convert(args)
    except (ConversionError, data.DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("error: interrupted.", file=sys.stderr)
        return 130  # as a shell has it for a program that Ctrl-C ended


@dataclass(frozen=True)
class _Job:
    """All that is known before the long work starts.

    Attributes:
        source: what was given.
        output: the file to write.
        names: of the model's inputs and outputs.
        decoupled: whether the model was decoupled here.
        deployment: of the model.
        inputs: to verify on.
        metadata: that the file is to carry.
        peer: the float network to convert beside it.
    """

    source: Source
    output: Path
    names: Names
    decoupled: bool
    deployment: Deployment
    inputs: Inputs
    metadata: Metadata
    peer: keras.Model | None


def _convert(args: argparse.Namespace) -> int:
    job = _job(args)
    print(f"Converting {job.source.path} ...", flush=True)
    file = add_metadata(convert_lce(job.deployment.graph, job.names), job.metadata)
    require_runnable(file)
    verifications = _verify(job, file, args.min_agreement)
    verified = not any(v.problems for v in verifications.values())
    peers = _peers(job) if verified else {}
    files = {"": file, **{f"-{name}": content for name, content in peers.items()}} if verified else {}
    report = _report(job, file, verifications, peers)
    _write(job.output, files, report)
    print(report.as_text())
    if not verified:
        print(f"error: verification failed, {job.output} was not written.", file=sys.stderr)
    return 0 if verified else 1


def _report(job: _Job, file: bytes, verifications: Mapping[str, Verification], peers: Mapping[str, bytes]) -> Report:
    return Report(
        source=str(job.source.path),
        output=str(job.output),
        size=len(file),
        cost=cost(file),
        decoupled=job.decoupled,
        floats={layer.name: layer.reason for layer in job.deployment.floats},
        inputs=job.names.inputs,
        outputs=dict(zip(job.names.outputs, job.metadata.scores, strict=True)),
        verified_on=job.inputs.described,
        verifications=verifications,
        peers={name: len(content) for name, content in peers.items()},
    )


def _write(output: Path, files: Mapping[str, bytes], report: Report) -> None:
    """Writes files, by what is added to the output's name, and the report beside them."""
    contents = {output.with_name(f"{output.stem}{end}.tflite"): content for end, content in files.items()}
    for path, content in {**contents, output.with_suffix(".json"): report.as_json().encode()}.items():
        with replacing(path) as temporary:
            temporary.write_bytes(content)


def _job(args: argparse.Namespace) -> _Job:
    """Reads everything and refuses what cannot be converted."""
    check(args)
    import_modules(args.imports)
    source = open_source(args.source, unsafe=args.unsafe)
    output = args.output or _default_output(args.source, source)
    _require_writable(output)
    peer = None
    if args.peers:
        with explained(f"{args.source}: its configuration names no network to compare with"):
            peer = float_peer(source)
    model = sized(as_float32(source.model), args.image_size)
    names = names_of(source.model)
    dataset = _dataset(args, source, model)
    metadata = _metadata(args, dataset, model, names)
    binary = decoupled(model) if args.decouple else model
    deployment = deployed(binary, allow_float=args.allow_float)
    scores = (args.scores,) if args.scores else output_kinds(deployment.binary)
    if dataset is None:
        inputs = seeded_inputs(deployment.binary, args.samples, args.seed, args.limits)
    else:
        inputs = of_dataset(dataset, args.samples)
    return _Job(
        source,
        output,
        names,
        binary is not model,
        deployment,
        inputs,
        replace(metadata, scores=scores),
        peer,
    )


def _default_output(given: Path, source: Source) -> Path:
    return given / "model.tflite" if source.path.parent == given else source.path.with_suffix(".tflite")


def _dataset(args: argparse.Namespace, source: Source, model: keras.Model) -> data.Dataset | None:
    """What to verify on; None if that is seeded inputs."""
    trained = source.config.settings if source.config else None
    name = args.dataset or (trained.dataset if trained else None)
    if name is None:
        return None
    inputs = ", ".join(f"{tuple(t.shape[1:])} of {t.dtype.name}" for t in model.inputs)
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4 or not model.inputs[0].dtype.is_floating:
        raise ConversionError(f"Model {model.name!r} takes {inputs}, not the scaled images of {name}: no --dataset.")
    shape = tuple(model.inputs[0].shape[1:])
    folder = args.data_dir or (trained.data_dir if trained and not args.dataset else None)
    dataset = data.load(name, shape[:2], folder)
    if dataset.input_shape != shape:
        raise ConversionError(f"Model {model.name!r} takes images of shape {shape}, {name} has {dataset.input_shape}.")
    return dataset


def _metadata(args: argparse.Namespace, dataset: data.Dataset | None, model: keras.Model, names: Names) -> Metadata:
    """What the file is to say of its inputs and outputs: what the data set says, and the options."""
    shape = tuple(model.inputs[0].shape[1:])
    image = len(model.inputs) == 1 and len(shape) == 3
    labels = dataset.class_names if dataset else ()
    limits = dataset.input_range if dataset else None
    if args.labels:
        labels = read_labels(args.labels)
    if labels:
        _require_classes(model, len(labels), str(args.labels or args.dataset or "the data set"))
    if args.scores and len(model.outputs) != 1:
        raise ConversionError(f"--scores is for one output, but model {model.name!r} has {len(model.outputs)}.")
    if args.limits:
        if limits:
            raise ConversionError(f"--range is for models without a data set, whose images are scaled to {limits}.")
        limits = (args.limits[0], args.limits[1])
        if not image:
            shapes = ", ".join(str(tuple(t.shape[1:])) for t in model.inputs)
            raise ConversionError(f"--range is for images, but model {model.name!r} takes inputs of shape {shapes}.")
    return Metadata(
        model.name,
        labels,
        limits,
        shape[-1] if image else 3,
        fit=dataset.fit if dataset else None,
        inputs=("image",) if len(names.inputs) == 1 else names.inputs,
    )


def _require_classes(model: keras.Model, count: int, origin: str) -> None:
    """Fails unless the model has one output for so many classes; one unit tells two apart."""
    if len(model.outputs) != 1:
        raise ConversionError(f"Model {model.name!r} has {len(model.outputs)} outputs, {origin} is for a classifier's.")
    outputs = tuple(model.outputs[0].shape[1:])
    if outputs != (count,) and not (outputs == (1,) and count == 2):
        raise ConversionError(f"Model {model.name!r} has outputs {outputs}, {origin} has {count} classes.")


def _verify(job: _Job, file: bytes, min_agreement: float) -> dict[str, Verification]:
    """Verifies the file in each interpreter."""
    verifications = {}
    for name, interpreter in interpreters().items():
        with explained(f"The file cannot be compared with Keras in {name}"):
            verifications[name] = verify(
                job.deployment,
                file,
                job.inputs.batches(),
                total=job.inputs.count,
                min_agreement=min_agreement,
                interpreter=interpreter,
                title=f"Verify ({name})",
                names=job.names.outputs,
                boundary=0.0 if job.metadata.scores[0] in ("logits", "sigmoid_logits") else 0.5,
            )
    return verifications


def _peers(job: _Job) -> dict[str, bytes]:
    """The files of the float peer, by name."""
    if job.peer is None:
        return {}
    found = peer_files(job.peer, first(job.inputs.batches(), _CALIBRATION))
    return {name: add_metadata(content, job.metadata) for name, content in found.items()}


def _require_writable(output: Path) -> None:
    """Fails before the long work, not after it."""
    if output.suffix != ".tflite":
        raise ConversionError(f"--output must end in .tflite, not {output}.")
    try:
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except OSError as error:
        raise ConversionError(f"--output: cannot write into {output.parent}: {error.strerror}.") from error
