"""Reads what a .tflite file says of its images and classes. The file may be damaged or hostile.

It is said in two entries of the file's metadata. The entry TFLITE_METADATA is TFLite Metadata (metadata_schema.fbs of
tensorflow/tflite-support): a FlatBuffer, with label files in a ZIP archive behind the model. That has no place for how
images were fitted and what the outputs are. These stand in the entry bduo, which is JSON in UTF-8:

    {"version": 1, "fit": {"resize": [256, 256], "whole": true}, "outputs": ["softmax"]}

"fit" holds the fields of the class Fit, "outputs" one of KINDS (or null) for each output. Both may be missing.
"""

import io
import json
import struct
import zipfile
import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from flatbuffers import number_types

from bduo_runtime._flatbuffer import MALFORMED, Table, root
from bduo_runtime._images import Fit
from bduo_runtime._scores import KINDS

__all__ = ["Metadata", "MetadataError", "parse_labels", "read_metadata"]

# Numbers of fields in schema.fbs' tables Model, SubGraph, Buffer and Metadata.
_MODEL_SUBGRAPHS, _MODEL_BUFFERS, _MODEL_METADATA = 2, 4, 6
_SUBGRAPH_OUTPUTS = 2
_BUFFER_DATA = 0
_ENTRY_NAME, _ENTRY_BUFFER = 0, 1
# Numbers of fields in the tables of metadata_schema.fbs, and values of its enumerations.
_SUBGRAPHS = 3
_INPUTS, _OUTPUTS = 2, 3
_PROCESS_UNITS, _ASSOCIATED_FILES = 4, 6
_UNIT_TYPE, _UNIT_OPTIONS = 0, 1
_NORMALIZATION = 1
_MEAN, _STD = 0, 1
_FILE_NAME, _FILE_TYPE = 0, 2
_TENSOR_AXIS_LABELS = 2

_MOST_LABEL_BYTES = 1 << 20
"""The greatest size of a label file: more than any needs, and too little to fill the memory."""

_VERSION = 1  # the latest version of the entry bduo that is understood
_MOST_JSON_BYTES = 1 << 16  # the greatest size of that entry
_MOST_PIXELS = 1 << 15  # the greatest height and width in it


class MetadataError(ValueError):
    """Metadata make no sense; the message is one line."""


@dataclass(frozen=True)
class Metadata:
    """What is known of a classifier of images beside its graph.

    Attributes:
        labels: the class names in the order of the outputs; empty if they are not known.
        mean: the model takes (pixel - mean) / std of pixels 0..255; one number, or one for each channel. Empty if it is
            not known.
        std: see `mean`.
        fit: how the images that the model was trained on were brought to its size; None if it is not known.
        outputs: the kind of scores of each output: "softmax", "logits", "sigmoid" or "sigmoid_logits"
            (docs/runtime.md), or None where it is not known. Empty if no kind is known.

    Raises:
        ValueError: `fit` or `outputs` is something else.
    """

    labels: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    fit: Fit | None = None
    outputs: tuple[str | None, ...] = ()

    def __post_init__(self) -> None:
        if not (self.fit is None or isinstance(self.fit, Fit)):
            raise MetadataError(f"fit must be a bduo_runtime.Fit or None, not {self.fit!r:.99}")
        if not isinstance(self.outputs, tuple) or not all(kind is None or kind in KINDS for kind in self.outputs):
            raise MetadataError(f"outputs must be a tuple of {', '.join(KINDS)} and None, not {self.outputs!r:.99}")

    def with_range(self, black: float, white: float) -> "Metadata":
        """The same metadata for a model that takes the number `black` for the pixel 0, and `white` for 255.

        Raises:
            MetadataError: the two are equal, or not finite.
        """
        if black == white or not np.isfinite([black, white]).all():
            raise MetadataError(f"black and white must be two different numbers, not {black:g} and {white:g}")
        std = 255 / (white - black)
        return replace(self, mean=(0.0 - black * std,), std=(std,))


def read_metadata(model: bytes) -> Metadata:
    """Reads the metadata in the content of a .tflite file.

    Returns:
        The metadata; `Metadata()` if there are none.

    Raises:
        MetadataError: there are metadata, but they are malformed.
    """
    try:
        known = _described(_content(model, "bduo"))
        count = root(model).item(_MODEL_SUBGRAPHS, 0).length(_SUBGRAPH_OUTPUTS) if known.outputs else 0
        if count != len(known.outputs):
            raise MetadataError(f"its entry bduo tells of {len(known.outputs)} outputs, the file has {count}")
        content = _content(model, "TFLITE_METADATA")
        if content is None:
            return known
        if content[4:8] != b"M001":
            raise MetadataError("it is not of the version M001")
        subgraph = next(root(content).tables(_SUBGRAPHS), None)
        image = next(subgraph.tables(_INPUTS), None) if subgraph else None
        scores = next(subgraph.tables(_OUTPUTS), None) if subgraph else None
        mean, std = _normalization(image) if image else ((), ())
        return replace(known, labels=_labels(model, scores) if scores else (), mean=mean, std=std)
    except MALFORMED as e:
        raise MetadataError(f"it is damaged ({type(e).__name__})") from None


def parse_labels(content: bytes) -> tuple[str, ...]:
    """Reads the class names in the content of a text file that has one in each line.

    Raises:
        MetadataError: it is no such file; the message continues a sentence that begins with the file's name.
    """
    try:
        labels = content.decode("utf-8-sig").rstrip().replace("\t", " ").splitlines()
    except UnicodeDecodeError:
        raise MetadataError("is not a text file in UTF-8") from None
    if not labels or not all(label.isprintable() for label in labels):
        raise MetadataError("is not a text file with one class name a line")
    return tuple(labels)


def _content(model: bytes, name: str) -> bytes | None:
    """The content of an entry of the model's metadata; None if there is no entry of that name."""
    file = root(model)
    for entry in file.tables(_MODEL_METADATA):
        if entry.string(_ENTRY_NAME) == name:
            return file.item(_MODEL_BUFFERS, entry.number(_ENTRY_BUFFER, number_types.Uint32Flags)).bytes(_BUFFER_DATA)
    return None


def _described(content: bytes | None) -> Metadata:
    """Reads the entry bduo: how images were fitted, and what the outputs are."""
    if content is None:
        return Metadata()
    if len(content) > _MOST_JSON_BYTES:
        raise MetadataError(f"its entry bduo has more than {_MOST_JSON_BYTES} bytes")
    try:
        said: Any = json.loads(content.decode())
    except (ValueError, RecursionError) as e:
        raise MetadataError(f"its entry bduo is no JSON ({type(e).__name__})") from None
    version = said.get("version") if isinstance(said, dict) else None
    if type(version) is not int or version < 1:
        raise MetadataError("its entry bduo has no version")
    if version > _VERSION:
        raise MetadataError(f"its entry bduo is newer than version {_VERSION}, which bduo-runtime knows: update it")
    outputs = said.get("outputs")
    if not (outputs is None or isinstance(outputs, list)):
        raise MetadataError("the outputs in its entry bduo are no list")
    try:
        return Metadata(fit=_fit(said.get("fit")), outputs=tuple(outputs or ()))
    except ValueError as e:
        raise MetadataError(f"in its entry bduo {e}") from None


def _fit(said: Any) -> Fit | None:
    """The fitting that the entry bduo describes; raises a ValueError if it is malformed."""
    if said is None:
        return None
    if not isinstance(said, dict) or not isinstance(said.get("resize"), list):
        raise ValueError("fit must have a list resize")
    fit = Fit(tuple(said["resize"]), said.get("whole"))  # type: ignore[arg-type]
    if max(fit.resize) > _MOST_PIXELS:
        raise ValueError(f"resize must be at most {_MOST_PIXELS}")
    return fit


def _normalization(image: Table) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation from the description of an input; empty if it does not say."""
    for unit in image.tables(_PROCESS_UNITS):
        options = unit.table(_UNIT_OPTIONS)
        if unit.number(_UNIT_TYPE, number_types.Uint8Flags) == _NORMALIZATION and options:
            mean, std = (options.numbers(field, number_types.Float32Flags) for field in (_MEAN, _STD))
            if not mean or not std or not np.isfinite([*mean, *std]).all() or not all(std):
                raise MetadataError("its normalization is not one of finite numbers")
            return mean, std
    return (), ()


def _labels(model: bytes, scores: Table) -> tuple[str, ...]:
    """The class names in the label file that the description of an output names; empty if it names none."""
    for file in scores.tables(_ASSOCIATED_FILES):
        if file.number(_FILE_TYPE, number_types.Int8Flags) == _TENSOR_AXIS_LABELS:
            name = file.string(_FILE_NAME)
            try:
                return parse_labels(_associated_file(model, name))
            except MetadataError as e:
                raise MetadataError(f"its label file {name!r} {e}") from None
    return ()


def _associated_file(model: bytes, name: str) -> bytes:
    """The content of a file in the archive behind the model; raises a MetadataError above _MOST_LABEL_BYTES."""
    try:
        with zipfile.ZipFile(io.BytesIO(model)) as archive:
            info = archive.getinfo(name)
            # To unpack other compressions may take much memory, however small the file.
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise MetadataError("is compressed in another way than 'deflate'")
            with archive.open(info) as file:
                content = file.read(_MOST_LABEL_BYTES + 1)
    except KeyError:
        raise MetadataError("is missing") from None
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError, struct.error) as e:
        if isinstance(e, MetadataError):
            raise
        raise MetadataError(f"cannot be read ({type(e).__name__})") from None
    if len(content) > _MOST_LABEL_BYTES:
        raise MetadataError(f"has more than {_MOST_LABEL_BYTES} bytes")
    return content
