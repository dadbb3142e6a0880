"""A thin interpreter: LiteRT's, with the delegate loaded."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import interpreter as litert
from flatbuffers import number_types

from bduo_runtime import _images
from bduo_runtime._flatbuffer import root
from bduo_runtime._library import delegate_path
from bduo_runtime._metadata import Metadata, MetadataError, read_metadata

__all__ = ["Interpreter", "ModelError", "Prediction"]

# Places in schema.fbs' Model and OperatorCode.
_MODEL_OPERATOR_CODES = 1
_CUSTOM_CODE, _VERSION = 1, 2


class ModelError(ValueError):
    """A file that is no TFLite model, or one that cannot be run; the message is one line."""


@dataclass(frozen=True)
class Prediction:
    """A class of a classifier, and what an image has of it.

    Attributes:
        label: the class name, "class 3" where the model has none.
        probability: from 0 to 1.
        score: the model's own output.
        index: of the class.
    """

    label: str
    probability: float
    score: float
    index: int


class Interpreter:
    """Runs a .tflite file: LCE's operators by this package's delegate, all others by LiteRT.

    ```python
    interpreter = bduo_runtime.Interpreter("model.tflite", num_threads=2)
    logits = interpreter.predict(images)  # (batch, height, width, channels), any batch
    best, *_ = interpreter.classify(frame)  # a picture: uint8 (height, width, 3), any size
    print(best.label, best.probability)
    ```

    Args:
        path: the file, or its content as bytes.
        num_threads: of the delegate and of LiteRT, at least 1.
        report: a file to append a line of JSON to for each step of the delegate, when the interpreter goes; what
            `python -m bduo_runtime bench` prints comes from there. Steps are timed only with it.

    Attributes:
        litert: LiteRT's interpreter, its tensors allocated, for everything that `predict` does not offer.

    Raises:
        FileNotFoundError: there is no such file.
        ModelError: it is not a TFLite model or cannot be run.
        ValueError: num_threads is less than 1.
    """

    def __init__(
        self, path: str | os.PathLike[str] | bytes, num_threads: int = 1, *, report: str | None = None
    ) -> None:
        if num_threads < 1:
            raise ValueError(f"num_threads must be at least 1, not {num_threads}")
        self._name = name = "the model" if isinstance(path, bytes) else os.fspath(path)
        self._content = content = path if isinstance(path, bytes) else Path(path).read_bytes()
        if content[4:8] != b"TFL3":
            raise ModelError(f"{name} is not a TFLite model")
        options: dict[str, int | str] = {"num_threads": num_threads}
        if report is not None:
            options["report"] = report
        delegate = litert.load_delegate(delegate_path(), options)
        try:
            self.litert = litert.Interpreter(
                model_content=content, num_threads=num_threads, experimental_delegates=[delegate]
            )
            self.litert.allocate_tensors()
            _check_versions(content)
        except (ValueError, RuntimeError) as e:
            raise ModelError(f"{name}: {_one_line(e)}") from None
        self._inputs = self.litert.get_input_details()
        self._outputs = self.litert.get_output_details()

    @property
    def input_shapes(self) -> list[tuple[int, ...]]:
        """The shape of each input as the file has it, the batch first."""
        return [tuple(d["shape"].tolist()) for d in self._inputs]

    @property
    def input_types(self) -> list[np.dtype]:
        """The type of each input."""
        return [np.dtype(d["dtype"]) for d in self._inputs]

    def predict(self, batch: Any) -> Any:
        """Runs the model on a batch of any size.

        Args:
            batch: array (batch, ...) of the input's shape and type (floats of any width), or a list of such, one an
                input. The model's own batch (mostly 1) is run as often as needed.

        Returns:
            Array (batch, ...) or, of a model of several outputs, a list of such.

        Raises:
            ValueError: the shape or type is not the model's.
        """
        several = isinstance(batch, (list, tuple)) and len(self._inputs) > 1
        arrays = self._checked([np.asarray(a) for a in batch] if several else [np.asarray(batch)])
        size = arrays[0].shape[0]
        step = self.input_shapes[0][0]
        parts = [self._run([a[i : i + step] for a in arrays], step) for i in range(0, size, step)]
        outputs = []
        for i, detail in enumerate(self._outputs):
            empty = np.empty((0, *detail["shape"][1:]), detail["dtype"])
            outputs.append(np.concatenate([empty, *(part[i] for part in parts)])[:size])
        return outputs if len(outputs) > 1 else outputs[0]

    @cached_property
    def metadata(self) -> Metadata:
        """What the file says of its images and classes; assign another `Metadata` where it says nothing, or wrong.

        Raises:
            ModelError: the file's metadata is malformed.
        """
        try:
            return read_metadata(self._content)
        except MetadataError as e:
            raise ModelError(f"{self._name} has metadata that cannot be used: {e}") from None

    def classify(self, image: Any, top: int = 5) -> list[Prediction]:
        """The likeliest classes of a picture, the likeliest first: `rank` of `predict` of `preprocess`.

        Args:
            image: as for `preprocess`.
            top: how many classes.
        """
        return self.rank(self.predict(self.preprocess(image)), top)

    def preprocess(self, image: Any) -> np.ndarray:
        """A picture as the model takes it, for `predict`.

        It is made grey or coloured, fitted to the model's size as the training images were (cropped about its
        centre to the proportions, then resized; a margin where only a few pixels are missing), and scaled as
        the metadata says; black to -1 and white to 1 where that says nothing.

        Args:
            image: uint8 array (height, width, 3), red, green, blue, or (height, width), of any size.

        Returns:
            Array (1, height, width, channels) of the input's size and type.

        Raises:
            ValueError: it is no such array.
            ModelError: the model does not take images.
            ImportError: it has to be resized, and Pillow is not installed.
        """
        shape, detail = self.input_shapes[0], self._inputs[0]
        if len(self._inputs) != 1 or len(shape) != 4 or shape[3] not in (1, 3):
            described = ", ".join("x".join(map(str, s)) for s in self.input_shapes)
            raise ModelError(f"{self._name} does not take images of 1 or 3 channels: its input is {described}")
        image = np.asarray(image)
        if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3))):
            raise ValueError(
                f"an image must be uint8 of shape (height, width, 3) or (height, width), not {image.dtype} of shape "
                f"{image.shape}"
            )
        if image.size == 0:
            raise ValueError(f"an image must have pixels, not the shape {image.shape}")
        known = self.metadata if self.metadata.mean else self.metadata.with_range(-1, 1)
        if not {len(known.mean), len(known.std)} <= {1, shape[3]}:
            raise ModelError(f"{self._name} has a normalization for other than its {shape[3]} channels")
        image = image[..., None] if image.ndim == 2 else image
        pixels = _images.fit(_images.with_channels(image, shape[3]), (shape[1], shape[2]))
        values = _images.normalize(pixels, known.mean, known.std)[None]
        if np.issubdtype(detail["dtype"], np.floating):
            return values.astype(detail["dtype"], copy=False)
        if not detail["quantization"][0]:
            kind = np.dtype(detail["dtype"])
            raise ModelError(f"{self._name} takes {kind} without saying how images become that")
        return _images.quantize(values, detail["dtype"], detail["quantization"])

    def rank(self, outputs: Any, top: int = 5) -> list[Prediction]:
        """The likeliest classes of one image, the likeliest first.

        Args:
            outputs: what `predict` returned for it, (1, classes). Probabilities are taken as they are (not
                negative, sum 1), all else for logits.
            top: how many classes.

        Raises:
            ModelError: the model is not a classifier, or has labels for another number of classes.
        """
        if isinstance(outputs, list) or outputs.ndim != 2 or len(outputs) != 1:
            raise ModelError(f"{self._name} is not a classifier: its output is not (batch, classes)")
        labels = self.metadata.labels
        if labels and len(labels) != outputs.shape[1]:
            raise ModelError(f"{self._name} has {outputs.shape[1]} classes, but there are {len(labels)} labels")
        scale, zero_point = self._outputs[0]["quantization"]
        scores = (outputs[0].astype(np.float64) - zero_point) * (scale or 1.0)
        probabilities = scores
        if scores.min() < 0 or abs(scores.sum() - 1) > 0.01:
            probabilities = np.exp(scores - scores.max())
            probabilities /= probabilities.sum()
        return [
            Prediction(labels[i] if labels else f"class {i}", float(probabilities[i]), float(scores[i]), int(i))
            for i in np.argsort(-scores, kind="stable")[:top]
        ]

    def _checked(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """The arrays in the inputs' types, if they fit."""
        if len(arrays) != len(self._inputs):
            raise ValueError(f"the model has {len(self._inputs)} inputs, not {len(arrays)}")
        arrays = [_as_float(a, d["dtype"]) for a, d in zip(arrays, self._inputs, strict=True)]
        for array, detail, shape in zip(arrays, self._inputs, self.input_shapes, strict=True):
            if array.ndim != len(shape) or array.shape[1:] != shape[1:]:
                wanted = ", ".join(["batch", *map(str, shape[1:])])
                raise ValueError(f"input {detail['name']!r} must have the shape ({wanted}), not {array.shape}")
            if array.dtype != detail["dtype"]:
                raise ValueError(f"input {detail['name']!r} must be {np.dtype(detail['dtype'])}, not {array.dtype}")
            if array.shape[0] != arrays[0].shape[0]:
                raise ValueError("all inputs must have the same batch")
        return arrays

    def _run(self, arrays: list[np.ndarray], step: int) -> list[np.ndarray]:
        for array, detail in zip(arrays, self._inputs, strict=True):
            if len(array) < step:  # the last part: filled up, what comes of that is cut off
                array = np.concatenate([array, np.zeros((step - len(array), *array.shape[1:]), array.dtype)])
            self.litert.set_tensor(detail["index"], np.ascontiguousarray(array))
        try:
            self.litert.invoke()
        except (ValueError, RuntimeError) as e:
            raise ModelError(_one_line(e)) from None
        return [self.litert.get_tensor(detail["index"]) for detail in self._outputs]


def _as_float(array: np.ndarray, dtype: Any) -> np.ndarray:
    """Floats of another width, such as NumPy's float64, in the model's; all else as it is."""
    both = np.issubdtype(array.dtype, np.floating) and np.issubdtype(dtype, np.floating)
    return array.astype(dtype, copy=False) if both else array


def _check_versions(content: bytes) -> None:
    """Refuses LCE's operators of a later version; LiteRT does not tell a delegate which one a file is for.

    Raises:
        ValueError: the file has one.
    """
    for code in root(content).tables(_MODEL_OPERATOR_CODES):
        name = code.string(_CUSTOM_CODE)
        version = code.number(_VERSION, number_types.Int32Flags, default=1)
        if name.startswith("Lce") and version > 1:
            raise ValueError(f"{name} of version {version} is newer than bduo_runtime, which knows version 1")


def _one_line(error: Exception) -> str:
    """The first thing that went wrong: LiteRT strings the messages of all that failed after it together."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    first, unresolved, operator = lines[0].partition("Encountered unresolved custom op: ")
    if unresolved and not first:
        return f"neither LiteRT nor bduo_runtime knows the operator {operator.split('.')[0]}"
    return first
