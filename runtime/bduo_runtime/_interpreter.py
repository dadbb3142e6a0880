"""A thin interpreter over LiteRT's, which it loads the delegate into."""

import os
import threading
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import interpreter as litert

from bduo_runtime import _graph, _images, _library, _scores
from bduo_runtime._errors import ModelError, one_line
from bduo_runtime._metadata import Metadata, MetadataError, read_metadata
from bduo_runtime._scores import Prediction

__all__ = ["Interpreter"]


class Interpreter:
    """Runs a .tflite file: this package's delegate runs LCE's operators, LiteRT all others.

    ```python
    interpreter = bduo_runtime.Interpreter("model.tflite", num_threads=2)
    logits = interpreter.predict(images)  # (batch, height, width, channels), any batch
    best, *_ = interpreter.classify(frame)  # a picture: uint8 (height, width, 3), any size
    print(best.label, best.probability)
    ```

    Several threads may use one interpreter: calls of `predict`, and so of `classify`, wait for each other. To run
    them side by side give each thread an interpreter.

    Args:
        path: the file, or its content as bytes, bytearray or memoryview (which is copied).
        num_threads: the number of threads of the delegate and of LiteRT, 1 to 256.
        report: a file to which a line of JSON is appended for each step of the delegate when the interpreter is
            deleted. `python -m bduo_runtime bench` prints what stands there. Steps are timed only if it is given.

    Attributes:
        litert: LiteRT's interpreter, its tensors allocated, for everything that `predict` does not offer. If inputs
            are resized and allocated again there, their new shapes hold here too.

    Raises:
        FileNotFoundError: there is no such file.
        ModelError: it is not a TFLite model or cannot be run.
        ValueError: num_threads is not 1 to 256, or BDUO_RUNTIME_ISA names an instruction set that is not there.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | bytes | bytearray | memoryview,
        num_threads: int = 1,
        *,
        report: str | None = None,
    ) -> None:
        self._lock = threading.RLock()  # LiteRT's interpreter serves one thread at a time, even if asked for shapes
        delegate = _library.load(num_threads, report)
        if isinstance(path, (bytes, bytearray, memoryview)):
            self._name, self._content = "the model", bytes(path)
        else:
            self._name, self._content = os.fspath(path), Path(path).read_bytes()
        if self._content[4:8] != b"TFL3":
            raise ModelError(f"{self._name} is not a TFLite model")
        try:
            self.litert = litert.Interpreter(
                model_content=self._content, num_threads=num_threads, experimental_delegates=[delegate]
            )
            self.litert.allocate_tensors()
            _graph.check_versions(self._content)
            inputs, outputs = self._inputs, self._outputs
        except (ValueError, RuntimeError) as e:
            raise ModelError(f"{self._name}: {one_line(e)}") from None
        of_inputs, of_outputs = _graph.signature_names(self._content)
        self._input_names, self._output_names = _named(inputs, of_inputs), _named(outputs, of_outputs)

    @property
    def _inputs(self) -> list[dict[str, Any]]:
        """LiteRT's description of each input. It is never kept, since the user may resize inputs through `litert`."""
        with self._lock:
            return self.litert.get_input_details()

    @property
    def _outputs(self) -> list[dict[str, Any]]:
        """LiteRT's description of each output, never kept either."""
        with self._lock:
            return self.litert.get_output_details()

    @property
    def input_names(self) -> list[str]:
        """The name of each input: that of the file's signature, or where there is no signature that of the tensor."""
        return list(self._input_names)

    @property
    def output_names(self) -> list[str]:
        """The name of each output, found as `input_names` are."""
        return list(self._output_names)

    @property
    def input_shapes(self) -> list[tuple[int, ...]]:
        """The shape of each input, the file's own batch included."""
        return [_shape(d) for d in self._inputs]

    @property
    def output_shapes(self) -> list[tuple[int, ...]]:
        """The shape of each output, the file's own batch included."""
        return [_shape(d) for d in self._outputs]

    @property
    def input_types(self) -> list[np.dtype]:
        """The type of each input."""
        return [np.dtype(d["dtype"]) for d in self._inputs]

    @property
    def output_types(self) -> list[np.dtype]:
        """The type of each output."""
        return [np.dtype(d["dtype"]) for d in self._outputs]

    @property
    def output_kinds(self) -> list[str | None]:
        """The kind of scores of each output, such as "softmax" (see `Metadata.outputs`); None if it is not known.

        The metadata tell, or else the operator that makes the output.

        Raises:
            ModelError: the metadata are malformed, or for another number of outputs.
        """
        said, count = self.metadata.outputs, len(self._output_names)
        if said and len(said) != count:
            raise ModelError(f"{self._name} has {count} outputs, but there are metadata for {len(said)}")
        pairs = zip(said or (None,) * count, self._makers, strict=True)
        return [kind or _scores.of_operator(maker) for kind, maker in pairs]

    def predict(self, batch: Any) -> Any:
        """Runs the model on a batch of any size.

        The model is run as often as the batch needs, each time on a batch of the file's own size, mostly 1.

        Args:
            batch: array (batch, ...) of the input's shape and type (floats of any width). A model with several inputs
                takes a list of such arrays in the order of `input_names`, or a dict by name.

        Returns:
            Array (batch, ...). A model with several outputs returns a list of such arrays in the order of
            `output_names`.

        Raises:
            ValueError: a shape, type or name is not the model's.
            ModelError: the model cannot be run on these inputs.
        """
        with self._lock:
            inputs = self._inputs
            arrays = self._checked(self._arrays(batch, inputs), inputs)
            if all(a.shape == _shape(d) for a, d in zip(arrays, inputs, strict=True)):
                outputs = self._run(arrays, inputs)
            else:
                outputs = self._run_in_parts(arrays, inputs)
        return outputs if len(outputs) != 1 else outputs[0]

    @cached_property
    def metadata(self) -> Metadata:
        """What the file says of its images and classes. Assign another `Metadata` if it says nothing or is wrong.

        Raises:
            ModelError: the file's metadata is malformed.
        """
        try:
            return read_metadata(self._content)
        except MetadataError as e:
            raise ModelError(f"{self._name} has metadata that cannot be used: {e}") from None

    def classify(self, image: Any, top: int = 5) -> list[Prediction]:
        """Classifies a picture: calls `preprocess`, `predict` and `rank` one after the other.

        Args:
            image: as for `preprocess`.
            top: the number of classes to return.

        Returns:
            The likeliest classes, the likeliest first.

        Raises:
            ModelError, ValueError, ImportError: see the three methods.
        """
        return self.rank(self.predict(self.preprocess(image)), top)

    def preprocess(self, image: Any) -> np.ndarray:
        """Makes an input for `predict` of a picture.

        The picture is made grey or coloured as the model needs it, and transparent parts black. Then it is brought to
        the model's size and scaled as the file's metadata say. If they do not say, it is cropped about its centre to
        the proportions and resized (or gets a margin, if only a few pixels are missing), and black becomes -1, white 1.

        Args:
            image: uint8 array of any size: (height, width, 3) for red, green, blue, or (height, width); with
                transparency (height, width, 4) or (height, width, 2). A model of 4 channels is given red, green, blue
                and alpha unchanged.

        Returns:
            Array (1, height, width, channels) of the input's size and type.

        Raises:
            ValueError: `image` is no such array.
            ModelError: the model does not take images.
            ImportError: the picture has to be resized, and Pillow is not installed.
        """
        shapes = self.input_shapes
        if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] not in (1, 3, 4) or not all(shapes[0]):
            described = ", ".join("x".join(map(str, s)) for s in shapes)
            raise ModelError(f"{self._name} does not take images of 1, 3 or 4 channels: its input is {described}")
        _, height, width, channels = shapes[0]
        image = _images.checked(np.asarray(image))
        known = self.metadata if self.metadata.mean else self.metadata.with_range(-1, 1)
        if not {len(known.mean), len(known.std)} <= {1, channels}:
            raise ModelError(f"{self._name} has a normalization for other than its {channels} channels")
        pixels = _images.fit(_images.with_channels(image, channels), (height, width), known.fit)
        values = _images.normalize(pixels, known.mean, known.std)[None]
        detail = self._inputs[0]
        if np.issubdtype(detail["dtype"], np.floating):
            return values.astype(detail["dtype"], copy=False)
        if not detail["quantization"][0]:
            kind = np.dtype(detail["dtype"])
            raise ModelError(f"{self._name} takes {kind} without saying how images become that")
        return _images.quantize(values, detail["dtype"], detail["quantization"])

    def rank(self, outputs: Any, top: int = 5) -> list[Prediction]:
        """Sorts the classes of one image by their scores.

        The kind of scores (docs/runtime.md) stands in the file's metadata, or in those that were assigned to
        `metadata`. If it does not, a softmax and a sigmoid are recognized by their operators; else scores that sum to 1
        are taken for probabilities, all others for logits. A single unit tells two classes apart. If its kind is not
        known, a value from 0 to 1 could be either, and is taken for a probability unless a convolution or a dense layer
        makes it.

        Args:
            outputs: what `predict` returned for the image, (1, units).
            top: the number of classes to return.

        Returns:
            The likeliest classes, the likeliest first.

        Raises:
            ModelError: the model is not a classifier, or has labels for another number of classes.
        """
        if isinstance(outputs, list) or outputs.ndim != 2 or len(outputs) != 1 or outputs.size == 0:
            raise ModelError(f"{self._name} is not a classifier: its output is not (batch, classes)")
        scale, zero_point = self._outputs[0]["quantization"]
        scores = (outputs[0].astype(np.float64) - zero_point) * (scale or 1.0)
        kind = self.output_kinds[0] or _scores.guess(scores, scale, self._makers[0])
        probabilities, scores = _scores.of_classes(scores, kind)
        labels = self.metadata.labels
        if labels and len(labels) != len(scores):
            raise ModelError(f"{self._name} has {len(scores)} classes, but there are {len(labels)} labels")
        return [
            Prediction(labels[i] if labels else f"class {i}", float(probabilities[i]), float(scores[i]), int(i))
            for i in np.argsort(-scores, kind="stable")[:top]
        ]

    @cached_property
    def _makers(self) -> list[int | None]:
        """The operator that makes each output, see `_graph.maker`."""
        return [_graph.maker(self._content, d["index"]) for d in self._outputs]

    def _arrays(self, batch: Any, inputs: list[dict[str, Any]]) -> list[np.ndarray]:
        """The argument of `predict` as a list of arrays in the order of the inputs."""
        if not inputs:
            raise ModelError(f"{self._name} has no inputs")
        if isinstance(batch, Mapping):
            batch = self._by_name(batch)
        elif not isinstance(batch, (list, tuple)) or (len(inputs) == 1 and not _holds_one(batch, inputs[0])):
            batch = [batch]
        if len(batch) != len(inputs):
            raise ValueError(f"the model has {len(inputs)} inputs, not {len(batch)}")
        return [np.asarray(array) for array in batch]

    def _by_name(self, arrays: Mapping[str, Any]) -> list[Any]:
        """The arrays of a dict in the order of the inputs; raises a ValueError unless it has each of them once."""
        names = self._input_names
        known = f"the model's inputs are {', '.join(map(repr, names))}"
        if len(set(names)) < len(names):
            raise ValueError(f"{known}: a list tells those of one name apart, a dict does not")
        for name in arrays:
            if name not in names:
                raise ValueError(f"there is no input {name!r}: {known}")
        for name in names:
            if name not in arrays:
                raise ValueError(f"the input {name!r} is missing: {known}")
        return [arrays[name] for name in names]

    def _checked(self, arrays: list[np.ndarray], inputs: list[dict[str, Any]]) -> list[np.ndarray]:
        """The arrays, floats in the width of the input; raises a ValueError if a shape or type is not the input's."""
        arrays = [_as_float(a, d["dtype"]) for a, d in zip(arrays, inputs, strict=True)]
        for array, detail, name in zip(arrays, inputs, self._input_names, strict=True):
            shape = _shape(detail)
            if array.ndim != len(shape) or array.shape[1:] != shape[1:]:
                wanted = ", ".join(["batch", *map(str, shape[1:])][: len(shape)])
                raise ValueError(f"input {name!r} must have the shape ({wanted}), not {array.shape}")
            if array.dtype != detail["dtype"]:
                raise ValueError(f"input {name!r} must be {np.dtype(detail['dtype'])}, not {array.dtype}")
        return arrays

    def _run_in_parts(self, arrays: list[np.ndarray], inputs: list[dict[str, Any]]) -> list[np.ndarray]:
        """Runs a batch of another size than the file's in parts of that size; returns their outputs put together."""
        own = {_shape(detail)[:1] for detail in inputs}
        if len(own) > 1 or own & {(), (0,)}:
            raise ModelError(f"{self._name} has inputs without a common batch: give arrays of just their shapes")
        size, step = len(arrays[0]), own.pop()[0]
        if any(len(array) != size for array in arrays):
            raise ValueError("all inputs must have the same batch")
        parts: list[list[np.ndarray]] = [[] for _ in self._output_names]
        for start in range(0, size, step):
            outputs = self._run([_filled(a[start : start + step], step) for a in arrays], inputs)
            for part, output in zip(parts, outputs, strict=True):
                if output.shape[:1] != (step,):
                    raise ModelError(
                        f"{self._name} has outputs without a batch: give arrays of just its inputs' shapes"
                    )
                part.append(output)
        if size:
            return [np.concatenate(part)[:size] for part in parts]
        return [np.empty((0, *_shape(detail)[1:]), detail["dtype"]) for detail in self._outputs]

    def _run(self, arrays: list[np.ndarray], inputs: list[dict[str, Any]]) -> list[np.ndarray]:
        """Runs the model once on arrays of just its inputs' shapes and types."""
        try:
            for array, detail in zip(arrays, inputs, strict=True):
                self.litert.set_tensor(detail["index"], np.asarray(array, order="C"))
            self.litert.invoke()
        except (ValueError, RuntimeError) as e:
            raise ModelError(f"{self._name}: {one_line(e)}") from None
        try:
            return [self.litert.get_tensor(detail["index"]) for detail in self._outputs]
        except ValueError:
            raise ModelError(f"{self._name} has an output that nothing is written to") from None


def _shape(detail: dict[str, Any]) -> tuple[int, ...]:
    return tuple(detail["shape"].tolist())


def _named(details: list[dict[str, Any]], signature: _graph.Names) -> list[str]:
    """Names the inputs or outputs that `details` describe, each differently.

    The signature names them. A tensor that it does not name has its own name, and so have all if two names are equal.
    """
    left: dict[int, Iterator[str]] = {tensor: iter(names) for tensor, names in signature.items()}
    names = [next(left.get(d["index"], iter(())), "") or d["name"] for d in details]
    return names if len(set(names)) == len(names) else [d["name"] for d in details]


def _holds_one(batch: Any, detail: dict[str, Any]) -> bool:
    """Whether a list, given to a model with one input, holds the input's array, rather than being that array."""
    return len(batch) == 1 and np.ndim(batch[0]) == len(detail["shape"])


def _filled(array: np.ndarray, size: int) -> np.ndarray:
    """Fills up the last part of a batch with zeros to the size of the file's batch."""
    missing = size - len(array)
    return np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)]) if missing else array


def _as_float(array: np.ndarray, dtype: Any) -> np.ndarray:
    """Converts floats of another width, such as NumPy's float64, to the model's; returns all other arrays unchanged."""
    both = np.issubdtype(array.dtype, np.floating) and np.issubdtype(dtype, np.floating)
    return array.astype(dtype, copy=False) if both else array
