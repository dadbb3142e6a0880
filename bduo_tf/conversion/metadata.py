"""Writes into a .tflite what a device must know beside the graph: class names, scaling, what the outputs are.

Class names and scaling are written as TFLite Metadata (metadata_schema.fbs of tensorflow/tflite-support, version
1.0.0): a FlatBuffer of its own in a buffer of the model, and the class names as a text file in a ZIP archive behind the
model. TFLite Metadata has no place for how images are fitted to the input's size, and for what the outputs are. These
are written as JSON into a second buffer, which is named "bduo".
"""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np

from bduo_tf.fitting import Fit

__all__ = ["LABEL_FILE", "Metadata", "add_metadata"]

LABEL_FILE = "labels.txt"
"""The name of the file of class names in the archive."""

_ALIGNMENT = 16  # Kernels may rely on the content of a buffer to be aligned so.

# The places of fields in their tables, and the values of enumerations, in TFLite's schema.fbs ...
_MODEL_BUFFERS, _MODEL_METADATA, _MODEL_FIELDS = 4, 6, 8
# ... and in metadata_schema.fbs, for which no maintained package has generated code.
_IMAGE_PROPERTIES, _FEATURE_PROPERTIES = 2, 1
_NORMALIZATION_OPTIONS = 1
_TENSOR_AXIS_LABELS = 2
_COLOR_SPACE = {3: 1, 1: 2}  # by channels: RGB and grayscale; 0 stands for unknown


@dataclass(frozen=True)
class Metadata:
    """What is known of a model beside its graph.

    Attributes:
        name: the model's name.
        labels: the class names, in the order of the outputs; empty if they are not known.
        input_range: what the model takes a black and a white pixel for, linear between them; None if it is not known.
        channels: how many channels the model's images have.
        scores: for each output one of `bduo_tf.scores.KINDS`, or None where the kind is not known; empty if
            that is so for all.
        fit: how images are fitted to the input's size: `bduo_tf.fitting.Fit`, or any object with its attributes. None
            if it is not known.
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
        """(mean, std), such that the model takes (pixel - mean) / std for a pixel of 0 to 255."""
        if self.input_range is None:
            raise ValueError("the input's range is not known")
        black, white = self.input_range
        std = 255 / (white - black)
        return 0.0 - black * std, std


def add_metadata(file: bytes, metadata: Metadata) -> bytes:
    """Returns a .tflite file with metadata in it; the same file if the metadata say nothing.

    A FlatBuffer is written from its end to its beginning, and its tables refer to what lies behind them. So the whole
    old file stays as it is, byte for byte and as aligned as before. A new root is written before it, which refers to
    the subgraphs, operators and buffers of the old one.

    Args:
        file: the content of a .tflite file.
        metadata: what it is to say.
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
        """A position in the old file as the builder counts it: from the end."""
        return len(old) - position

    fields = {}
    for slot in range(1, _MODEL_FIELDS):  # All fields but the version, which is the first, refer to something.
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
    """The file with a ZIP archive behind it, which is not compressed, since readers may map the file."""
    if not labels:
        return file
    stream = io.BytesIO(file)
    with zipfile.ZipFile(stream, "a") as archive:
        # The entry has no date, so that the same model always makes the same file.
        archive.writestr(zipfile.ZipInfo(LABEL_FILE), "".join(f"{label}\n" for label in labels))
    return stream.getvalue()


def _flatbuffer(metadata: Metadata) -> bytes:
    """A table ModelMetadata of one subgraph: the inputs, of which only a single one can be an image, and an output."""
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
    """Writes a table.

    Args:
        builder: what to write with.
        offsets: what was written before, by the place of the field that refers to it.
        enums: values of enumerations of one byte, by the place of the field.
    """
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
