"""The names and the order of a model's inputs and outputs, which TensorFlow's converter does not keep.

A SavedModel's signature maps names to tensors, and the converter orders both inputs and outputs as it likes. It writes
the signature into the file, however, and so they can be put back into the order of the Keras model.
"""

import keyword
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bduo_tf.backend import keras, tf
from bduo_tf.conversion.errors import ConversionError

__all__ = ["Names", "names_of", "save_with_signature", "with_order"]

_KEY = "serving_default"
_INPUTS, _OUTPUTS = 1, 2  # the places of these fields in the table SubGraph of schema.fbs


@dataclass(frozen=True)
class Names:
    """The names of a model's inputs and outputs, in the order of `model.inputs` and `model.outputs`."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def names_of(model: keras.Model) -> Names:
    """Returns the names by which the Keras model knows its inputs and outputs: keys of a dictionary, or layers' names.

    The inputs' names become the arguments of a function. So what is no letter, digit or underscore is replaced, and a
    name that occurs twice is numbered.
    """
    inputs = _keys(model._nested_inputs) or model.input_names
    outputs = _keys(model._nested_outputs) or model.output_names
    return Names(_unique(map(_identifier, inputs)), _unique(outputs))


def _keys(nested: Any) -> list[str] | None:
    """The keys of a dictionary of tensors in the order in which TensorFlow flattens it; None if it is no dictionary."""
    if not isinstance(nested, dict) or any(tf.nest.is_nested(value) for value in nested.values()):
        return None
    return sorted(nested)


def _identifier(name: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if not re.match(r"[A-Za-z]", name):
        name = f"input_{name}"
    return f"{name}_" if keyword.iskeyword(name) else name


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    """The names, numbered where they occurred before. TensorFlow does not tell capitals from small letters."""
    found: dict[str, str] = {}
    for name in names:
        candidate, number = name, 0
        while candidate.lower() in found:
            number += 1
            candidate = f"{name}_{number}"
        found[candidate.lower()] = candidate
    return tuple(found.values())


def save_with_signature(model: keras.Model, folder: str, names: Names, batch: int | None = None) -> None:
    """Writes a SavedModel of the graph of inference alone, whose signature has these names.

    Args:
        model: any graph.
        folder: where to write it.
        names: the names of its inputs and outputs.
        batch: the size of a batch where the model leaves it open; None leaves it open too.
    """
    # `lce.convert_keras_model` saves all that training would need, which takes four fifths of its time, as
    # benchmarks/conversion.py measures.
    archive = keras.export.ExportArchive()
    archive.track(model)

    def infer(*inputs: Any) -> dict[str, Any]:
        outputs = model(tf.nest.pack_sequence_as(model._nested_inputs, list(inputs)), training=False)
        return dict(zip(names.outputs, tf.nest.flatten(outputs), strict=True))

    specs = [
        tf.TensorSpec([batch if t.shape[0] is None else t.shape[0], *t.shape[1:]], t.dtype, name=name)
        for t, name in zip(model.inputs, names.inputs, strict=True)
    ]
    archive.add_endpoint(_KEY, tf.function(infer, input_signature=specs))
    archive.write_out(folder)


def with_order(file: bytes, names: Names) -> bytes:
    """Returns the file with its inputs and outputs in the order of `names`, by which its signature knows them."""
    from tensorflow.lite.python import schema_py_generated as schema

    content = bytearray(file)
    model = schema.Model.GetRootAs(content, 0)
    graph, signature = model.Subgraphs(0), model.SignatureDefs(0)
    inputs = {t.Name().decode(): t.TensorIndex() for t in map(signature.Inputs, range(signature.InputsLength()))}
    outputs = {t.Name().decode(): t.TensorIndex() for t in map(signature.Outputs, range(signature.OutputsLength()))}
    for place, tensors, wanted in ((_INPUTS, inputs, names.inputs), (_OUTPUTS, outputs, names.outputs)):
        order = [tensors[name] for name in wanted]
        field = graph._tab.Offset(4 + 2 * place)
        start, length = graph._tab.Vector(field), graph._tab.VectorLen(field)
        vector = np.frombuffer(content, "<i4", length, start)
        if sorted(vector) != sorted(order):
            what = "inputs" if place == _INPUTS else "outputs"
            raise ConversionError(f"The converter wrote other {what} than the model's {', '.join(wanted)}.")
        vector[:] = order
    return bytes(content)
