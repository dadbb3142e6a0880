"""What a device must know beside the graph: class names, the input's scaling, what outputs are, inside the .tflite.

Class names and scaling are written as TFLite Metadata (metadata_schema.fbs of tensorflow/tflite-support, version
1.0.0): a FlatBuffer of its own in a buffer of the model, and the class names as a text file in a ZIP archive behind the
model. That has no place for how images are fitted to the input's size, and for what the outputs are: these are JSON in
a buffer of their own, named "bduo".
"""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np

from bduo_tf.conversion.errors import ConversionError
from bduo_tf.data import Fit

__all__ = ["LABEL_FILE", "Metadata", "add_metadata", "read_labels"]

LABEL_FILE = "labels.txt"
"""The name of the class names' file in the archive."""

_ALIGNMENT = 16  # of a buffer's content, which kernels may rely on

# Places of fields in their tables, and values of enumerations, from schema.fbs ...
_MODEL_BUFFERS, _MODEL_METADATA, _MODEL_FIELDS = 4, 6, 8
# ... and metadata_schema.fbs, of which no maintained package has generated code.
_IMAGE_PROPERTIES, _FEATURE_PROPERTIES = 2, 1
_NORMALIZATION_OPTIONS = 1
_TENSOR_AXIS_LABELS = 2
_COLOR_SPACE = {3: 1, 1: 2}  # RGB, grayscale; others are 0, unknown


@dataclass(frozen=True)
class Metadata:
    """What is known of a model beside its graph.

    Attributes:
        name: of the model.
        labels: the class names, in the order of the outputs; empty if not known.
        input_range: what the model takes a black and a white pixel for, linear between them; None if not known.
        channels: of its images.
        scores: for each output one of `convert.scores.KINDS`, None where it is not known; empty if none is.
        fit: how images are fitted to the input's size; None if not known.
        inputs: the names of the inputs.
    """

    name: str
    labels: tuple[str, ...] = ()
    input_range: tuple[float, float] | None = None
    channels: int = 3
    scores: tuple[str | None, ...] = ()
    fit: Fit | None = None
    inputs: tuple[str, ...] = ("image",)

    @property
    def normalization(self) -> tuple[float, float]:
        """(mean, std) with which (pixel - mean) / std is what the model takes, of pixels 0..255."""
        if self.input_range is None:
            raise ValueError("the input's range is not known")
        black, white = self.input_range
        std = 255 / (white - black)
        return 0.0 - black * std, std


def read_labels(path: Path) -> tuple[str, ...]:
    """The class names in a text file, one a line.

    Raises:
        ConversionError: it cannot be read, or is not text with something in every line.
    """
    try:
        labels = path.read_text("utf-8-sig").rstrip().splitlines()
    except OSError as error:
        raise ConversionError(f"--labels: {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConversionError(f"--labels: {path} is not a text file in UTF-8.") from error
    if not labels or not all(label.strip() and label.isprintable() for label in labels):
        raise ConversionError(f"--labels: {path} must hold one class name a line, and nothing else.")
    return tuple(labels)


def add_metadata(file: bytes, metadata: Metadata) -> bytes:
    """A .tflite file with `metadata` in it; the same file if that says nothing.

    A FlatBuffer is written from its end to its beginning, and its tables refer to what lies behind them. So
    the whole old file stays as it is, byte for byte and as aligned as before, and a new root is written
    before it, which refers to the old one's subgraphs, operators and buffers.
    """
    new = _entries(metadata)
    if not new:
        return file
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.Model.GetRootAs(file, 0)
    builder = flatbuffers.Builder(len(file) + 4096)
    old = file + bytes(-len(file) % _ALIGNMENT)
    builder.Prep(_ALIGNMENT, len(old))
    builder.head -= len(old)
    builder.Bytes[builder.head : builder.head + len(old)] = old

    def place(position: int) -> int:
        """In the terms of the builder, which counts from the end."""
        return len(old) - position

    fields = {}
    for slot in range(1, _MODEL_FIELDS):  # all but the version refer to something
        field = model._tab.Offset(4 + 2 * slot)
        if field:
            fields[slot] = place(model._tab.Indirect(model._tab.Pos + field))
    buffers = [place(model.Buffers(i)._tab.Pos) for i in range(model.BuffersLength())]
    entries = [place(model.Metadata(i)._tab.Pos) for i in range(model.MetadataLength())]

    for entry, content in new.items():
        builder.Prep(_ALIGNMENT, len(content))
        data = builder.CreateByteVector(content)
        name = builder.CreateString(entry)
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        buffers.append(schema.BufferEnd(builder))
        schema.MetadataStart(builder)
        schema.MetadataAddName(builder, name)
        schema.MetadataAddBuffer(builder, len(buffers) - 1)
        entries.append(schema.MetadataEnd(builder))
    fields[_MODEL_BUFFERS] = _vector(builder, buffers)
    fields[_MODEL_METADATA] = _vector(builder, entries)
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, model.Version())
    for slot, offset in fields.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    return _with_labels(bytes(builder.Output()), metadata.labels)


def _entries(metadata: Metadata) -> dict[str, bytes]:
    """The contents of the new buffers, by the names of their entries."""
    entries = {}
    if metadata.labels or metadata.input_range is not None:
        entries["TFLITE_METADATA"] = _flatbuffer(metadata)
    said: dict[str, Any] = {}
    if metadata.fit is not None:
        said["fit"] = {"resize": list(metadata.fit.resize), "whole": metadata.fit.whole}
    if any(metadata.scores):
        said["outputs"] = list(metadata.scores)
    if said:
        entries["bduo"] = json.dumps({"version": 1, **said}).encode()
    return entries


def _with_labels(file: bytes, labels: Sequence[str]) -> bytes:
    """The file with a ZIP archive behind it, uncompressed, as readers that map it expect."""
    if not labels:
        return file
    stream = io.BytesIO(file)
    with zipfile.ZipFile(stream, "a") as archive:
        # Without a date: the same model is the same file.
        archive.writestr(zipfile.ZipInfo(LABEL_FILE), "".join(f"{label}\n" for label in labels))
    return stream.getvalue()


def _flatbuffer(metadata: Metadata) -> bytes:
    """ModelMetadata, with a subgraph of its inputs (of which only a single one is an image) and one output."""
    builder = flatbuffers.Builder(1024)
    image, files = {}, {}
    if metadata.input_range is not None:
        properties = _table(builder, {}, {0: _COLOR_SPACE.get(metadata.channels, 0)})
        mean, std = (_floats(builder, [value]) for value in metadata.normalization)
        options = _table(builder, {0: mean, 1: std})
        unit = _table(builder, {1: options}, {0: _NORMALIZATION_OPTIONS})
        low, high = (_floats(builder, [limit(metadata.input_range)]) for limit in (min, max))
        image = {
            3: _table(builder, {1: properties}, {0: _IMAGE_PROPERTIES}),  # content
            4: _vector(builder, [unit]),  # process_units
            5: _table(builder, {0: high, 1: low}),  # stats
        }
    if metadata.labels:
        file = _table(builder, {0: builder.CreateString(LABEL_FILE)}, {2: _TENSOR_AXIS_LABELS})
        files = {6: _vector(builder, [file])}  # associated_files
    features = _table(builder, {1: _table(builder, {})}, {0: _FEATURE_PROPERTIES})
    names = [builder.CreateString(name) for name in metadata.inputs]
    inputs = [_table(builder, {0: name, **image}) for name in names]
    outputs = _table(builder, {0: builder.CreateString("scores"), 3: features, **files})
    subgraph = _table(builder, {2: _vector(builder, inputs), 3: _vector(builder, [outputs])})
    root = {
        0: builder.CreateString(metadata.name),
        3: _vector(builder, [subgraph]),
        7: builder.CreateString("1.0.0"),  # min_parser_version
    }
    builder.Finish(_table(builder, root), b"M001")
    return bytes(builder.Output())


def _table(builder: flatbuffers.Builder, offsets: dict[int, int], enums: dict[int, int] | None = None) -> int:
    """A table of the fields given by their places: offsets of what was written before, and enumerations of a byte."""
    enums = enums or {}
    builder.StartObject(1 + max([*offsets, *enums], default=-1))
    for place, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(place, offset, 0)
    for place, value in enums.items():
        builder.PrependInt8Slot(place, value, 0)
    return builder.EndObject()


def _vector(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _floats(builder: flatbuffers.Builder, values: Sequence[float]) -> int:
    return builder.CreateNumpyVector(np.asarray(values, np.float32))
