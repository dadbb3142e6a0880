"""Writes seed corpora: `PYTHONPATH=../tests python seeds.py folder` makes folder/delegate and folder/flexbuffer."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import flatbuffers
import lce_graphs
import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

FORMS = [
    "plain",
    "scaled",
    "activated",
    "chained",
    "pooled",
    "bit_pooled",
    "thresholds",
    "pooled_thresholds",
    "float_thresholds",
    "residual",
    "residual_thresholds",
    "read_twice",
    "signs",
    "grouped",
    "classifier",
]
INT8 = {
    "inference_input_type": tf.int8,
    "inference_output_type": tf.int8,
    "experimental_default_int8_range": (-3, 3),
}
TRAILER = bytes(4)  # the run's settings, see delegate.cc


def activations(rng: np.random.Generator, x: Any) -> Any:
    """Fused activations between, and operations behind a concatenation."""
    y = lce_graphs.conv(rng, x)
    n = y.shape[-1]
    constant = [tf.constant(rng.normal(size=n) * 3, tf.float32) for _ in range(4)]
    y = tf.concat([tf.nn.relu6(constant[0] - y) * constant[1], tf.nn.relu(y * constant[2]) - constant[3]], axis=-1)
    y = y * tf.constant(rng.normal(size=2 * n), tf.float32) + tf.constant(rng.normal(size=2 * n), tf.float32)
    return lce_graphs.conv(rng, y, padding="one")


def pooled_activations(rng: np.random.Generator, x: Any) -> Any:
    y = lce_graphs.conv(rng, x)
    n = y.shape[-1]
    y = tf.nn.relu(y * tf.constant(rng.normal(size=n), tf.float32) - tf.constant(rng.normal(size=n), tf.float32))
    return lce_graphs.conv(rng, lce_graphs.compared(rng, lce_graphs.pool(rng, y)), padding="one")


def deep(rng: np.random.Generator, x: Any) -> Any:
    """More channels than the kernels sum at once."""
    x = tf.concat([x[:, :2, :2]] * 256, axis=-1)
    return lce_graphs.conv(rng, x, padding="one", filters=1, kernel_size=3, strides=1, dilation_rate=1)


OWN_FORMS = {"activations": activations, "pooled_activations": pooled_activations, "deep": deep}


def packed(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def stripped(data: bytes) -> bytes:
    """Without what only people read: the smaller a file, the more of its mutations matter."""
    model = schema.ModelT.InitFromPackedBuf(data)
    model.description = None
    model.metadata = None
    model.signatureDefs = None
    for tensor in model.subgraphs[0].tensors:
        tensor.name = None
        tensor.shapeSignature = None
    return packed(model)


def retyped(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The model with other numbers on the far side of its bits: the converter makes no bool and seldom int8."""
    for kind in (schema.TensorType.INT8, schema.TensorType.BOOL):
        model = schema.ModelT.InitFromPackedBuf(data)
        graph = model.subgraphs[0]
        for op in graph.operators:
            name = model.operatorCodes[op.opcodeIndex].customCode
            if name in (b"LceQuantize", b"LceDequantize", b"LceBconv2d"):
                tensor = graph.tensors[op.inputs[0] if name == b"LceQuantize" else op.outputs[0]]
                if tensor.type == schema.TensorType.FLOAT32 and (
                    kind == schema.TensorType.INT8 or name != b"LceBconv2d"
                ):
                    tensor.type = kind
                    tensor.quantization = schema.QuantizationParametersT()
                    tensor.quantization.scale = np.float32([0.25])
                    tensor.quantization.zeroPoint = np.int64([3])
        yield "int8" if kind == schema.TensorType.INT8 else "bool", packed(model)


def options(data: bytes) -> list[bytes]:
    """The FlexBuffers of a model's operators."""
    operators = schema.ModelT.InitFromPackedBuf(data).subgraphs[0].operators
    return [np.asarray(op.customOptions, np.uint8).tobytes() for op in operators if op.customOptions is not None]


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def main(folder: Path) -> None:
    seen: set[bytes] = set()
    forms = {name: getattr(lce_graphs, name) for name in FORMS} | OWN_FORMS
    for name, form in forms.items():
        for seed in range(3):
            model = lce_graphs.model_of([form], seed, [(6, 6, 4), (5, 7, 8), (9, 5, 33)][seed])
            for kind, settings in (("float", {}), ("int8", INT8)):
                try:
                    data = stripped(lce_graphs.convert(model, **settings))
                except Exception as error:  # not every form has an int8 variant
                    print(name, seed, kind, "is not converted:", str(error).splitlines()[0][:80])
                    continue
                write(folder / "delegate" / f"{name}-{seed}-{kind}", data + TRAILER)
                for other, changed in retyped(data) if kind == "float" else ():
                    write(folder / "delegate" / f"{name}-{seed}-to-{other}", changed + TRAILER)
                for i, option in enumerate(options(data)):
                    if option not in seen:
                        write(folder / "flexbuffer" / f"{name}-{seed}-{kind}-{i}", option)
                        seen.add(option)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
