"""Does the file compute what the model computes? An interpreter against Keras, on every input."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

from bduo_tf.backend import keras, tf
from bduo_tf.conversion.comparison import Comparison, OutputComparison
from bduo_tf.conversion.errors import ConversionError
from bduo_tf.conversion.inspection import expected_operators, operators
from bduo_tf.conversion.interpreters import Interpreter, in_batches, interpreters, lce_interpreter
from bduo_tf.conversion.signature import names_of
from bduo_tf.conversion.tracing import TRACED, Tracer, unexplained
from bduo_tf.deployment import Deployment

__all__ = ["Interpreter", "Verification", "interpreters", "lce_interpreter", "verify"]


@dataclass
class Verification:
    """The result of a verification; `problems` is empty if the file may be called done.

    Of a model of several outputs the differences are those of the output that differs most for its size.

    Attributes:
        images: how many were compared.
        agreeing: on how many of them all outputs agree: scores by their arg max, see `OutputComparison` for others.
        agreement: what agrees: "arg max" of a classifier, else "outputs".
        largest_difference: of a logit, over all images.
        median_difference: the median over images of the largest difference of a logit.
        logit_scale: the median over images of the largest logit, to hold the differences against.
        outputs: of a model of several outputs what is known of each, by name; empty for others.
        operators: of the file.
        flips: for each binary layer (flipped, total) activations over the images traced.
        traced: how many images that was.
        clean: on how many of them no activation flipped.
        disagreements: index of each image that does not agree, and its flips in all layers.
        accuracy: of the file, where labels are known.
        keras_accuracy: of the model on the same images.
        problems: one line each.
    """

    images: int = 0
    agreeing: int = 0
    agreement: str = "arg max"
    largest_difference: float = 0.0
    median_difference: float = 0.0
    logit_scale: float = 0.0
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    operators: dict[str, int] = field(default_factory=dict)
    flips: dict[str, tuple[int, int]] = field(default_factory=dict)
    traced: int = 0
    clean: int = 0
    disagreements: dict[int, dict[str, tuple[int, int]]] = field(default_factory=dict)
    accuracy: float | None = None
    keras_accuracy: float | None = None
    problems: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


def verify(
    deployment: Deployment,
    file: bytes,
    batches: Iterable[tuple[Any, np.ndarray | None]],
    *,
    total: int | None = None,
    min_agreement: float = 0.99,
    interpreter: Callable[[bytes], Interpreter] = lce_interpreter,
    title: str = "Verify",
    names: Sequence[str] = (),
    boundary: float = 0.5,
) -> Verification:
    """Runs the file on every image and compares it with the binary model.

    Float32 rounds a sum differently in different orders, so that an activation within rounding of its
    threshold may fall on either side, and on a float stream each that does moves those after it. Such flips
    are counted layer by layer on some images. The file fails if

    - its operators are not those of the deployment graph,
    - more activations of a layer flipped than rounding and the flips before it explain,
    - an output differs by more than 1e-3 of its size on an image on which no activation flipped,
    - an image does not agree without any activation having flipped,
    - fewer images agree than asked.

    Args:
        deployment: what `bduo_tf.deployment.deploy` made of the model.
        file: the converted `deployment.graph`.
        batches: (images, labels or None), images of shape (batch, height, width, channels); of a model of several
            inputs a list of what it takes.
        total: number of images, for the progress bar.
        min_agreement: share of images that must agree.
        interpreter: makes, of a file's content, what runs it.
        title: of the progress bar.
        names: of the outputs; the model's own if empty.
        boundary: of a single output of one unit, what separates class 0 from class 1, for the accuracy.
    """
    result = Verification(operators=operators(file))
    floats = [layer.name for layer in deployment.floats]
    result.problems += expected_operators(deployment.graph, result.operators, floats)

    compared = Comparison(tuple(names) or names_of(deployment.binary).outputs)
    running = interpreter(file)
    accuracy = _Accuracy(boundary)
    to_trace: list[list[np.ndarray]] = []
    suspects: dict[int, list[np.ndarray]] = {}
    with tqdm(total=total, desc=title, unit="image", disable=None) as progress:
        for images, labels in batches:
            inputs = as_list(images)
            count = len(inputs[0])
            expected = _of_keras(deployment.binary, inputs)
            computed = [_like(y, e) for y, e in zip(as_list(running.predict(images)), expected, strict=True)]
            for i in np.flatnonzero(compared.add(expected, computed)):
                suspects[result.images + int(i)] = [x[i : i + 1] for x in inputs]
            if result.images < TRACED:
                to_trace.append([x[: TRACED - result.images] for x in inputs])
            if labels is not None and len(expected) == 1:
                accuracy.add(expected[0], computed[0], labels)
            result.images += count
            progress.update(count)
    if result.images == 0:
        result.problems.append("there was no image to compare")
        return result

    result.accuracy, result.keras_accuracy = accuracy.of_file, accuracy.of_keras
    agrees = compared.agrees()
    _summarize(result, compared, agrees)
    inputs = [np.concatenate(parts) for parts in zip(*to_trace, strict=True)]
    disagreeing = {index: suspect for index, suspect in suspects.items() if not agrees[index]}
    clean = _trace(result, Tracer(deployment, interpreter), inputs, disagreeing, compared.apart())
    result.problems += _unexplained_differences(compared, clean)
    if result.agreeing < min_agreement * result.images:
        what = "the arg max agrees" if compared.by_arg_max else "the outputs agree"
        result.problems.append(f"{what} on {result.agreeing} of {result.images} images, fewer than {min_agreement:.2%}")
    return result


def as_list(tensors: Any) -> list[np.ndarray]:
    """Of one input or output a list of one."""
    return [np.asarray(x) for x in tensors] if isinstance(tensors, (list, tuple)) else [np.asarray(tensors)]


def _of_keras(model: keras.Model, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """The outputs of the model, one by one in the order of `model.outputs`."""

    def predict(some: list[np.ndarray]) -> list[np.ndarray]:
        nested = tf.nest.pack_sequence_as(model._nested_inputs, some)
        return [np.asarray(y) for y in tf.nest.flatten(model.predict_on_batch(nested))]

    fixed = model.inputs[0].shape[0]
    outputs = predict(inputs) if fixed is None else in_batches(predict, inputs, fixed)
    for output in outputs:
        if output.ndim == 0 or len(output) != len(inputs[0]):
            raise ConversionError(
                f"Model {model.name!r} has an output of the shape {output.shape} for {len(inputs[0])} images: without "
                "an axis of the batch it cannot be compared image by image."
            )
    return outputs


def _like(computed: np.ndarray, expected: np.ndarray) -> np.ndarray:
    if computed.size != expected.size:
        raise ValueError(f"an output is of the shape {computed.shape}, Keras' of {expected.shape}")
    return computed.reshape(expected.shape)


class _Accuracy:
    """Of a classifier, (batch, classes), or of one unit that tells two classes apart."""

    def __init__(self, boundary: float) -> None:
        self._boundary = boundary
        self._right: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, expected: np.ndarray, computed: np.ndarray, labels: np.ndarray) -> None:
        two = expected.shape[1:] in ((), (1,)) and np.isin(labels, (0, 1)).all()
        if two or (expected.ndim == 2 and expected.shape[1] >= 2):
            ours, theirs = (self._classes(x) == labels for x in (expected, computed))
            self._right.append((ours, theirs))

    def _classes(self, outputs: np.ndarray) -> np.ndarray:
        if outputs.ndim == 2 and outputs.shape[1] >= 2:
            return outputs.argmax(-1)
        return (outputs.reshape(-1) > self._boundary).astype(int)

    @property
    def of_keras(self) -> float | None:
        return float(np.mean(np.concatenate([ours for ours, _ in self._right]))) if self._right else None

    @property
    def of_file(self) -> float | None:
        return float(np.mean(np.concatenate([theirs for _, theirs in self._right]))) if self._right else None


def _summarize(result: Verification, compared: Comparison, agrees: np.ndarray) -> None:
    found = {output.name: output.summary() for output in compared.outputs}
    worst = max(found.values(), key=lambda difference: np.nan_to_num(difference.relative, nan=np.inf))
    result.agreeing = int(agrees.sum())
    result.agreement = "arg max" if compared.by_arg_max else "outputs"
    result.largest_difference, result.median_difference = worst.largest, worst.median
    result.logit_scale = worst.scale
    if len(found) > 1:
        result.outputs = {name: difference.as_json() for name, difference in found.items()}


def _trace(
    result: Verification,
    tracer: Tracer,
    inputs: list[np.ndarray],
    disagreeing: dict[int, list[np.ndarray]],
    apart: np.ndarray,
) -> np.ndarray:
    """Finds the activations that flipped.

    Args:
        result: to add to.
        tracer: of what is verified.
        inputs: images to count flips on.
        disagreeing: images that do not agree, by index.
        apart: for each of all images whether its outputs differ by more than rounding.

    Returns:
        For each of `inputs` whether no activation flipped.
    """
    flips = tracer.count(inputs)
    clean = np.ones(len(inputs[0]), bool)
    for name, (flipped, total) in flips.items():
        result.flips[name] = (int(flipped.sum()), total * len(flipped))
        clean &= flipped == 0
    result.clean = int(clean.sum())
    if flips:
        result.traced = len(clean)
    result.problems += unexplained(flips)
    what = "another arg max" if result.agreement == "arg max" else "other outputs"
    for index, image in disagreeing.items():
        result.disagreements[index] = tracer.of_image(image)
        if apart[index] and not any(flipped for flipped, _ in result.disagreements[index].values()):
            result.problems.append(f"image {index} has {what} although no activation flipped")
    return clean


def _unexplained_differences(compared: Comparison, clean: np.ndarray) -> list[str]:
    """Outputs that differ by more than rounding on an image on which nothing flipped."""
    problems = []
    for output in compared.outputs:
        apart = output.apart()[: len(clean)] & clean
        if apart.any():
            largest = output.differences()[: len(clean)][apart].max()
            problems.append(
                f"{_called(output, compared)} by {largest:.2g}, their size being {output.scale():.2g}, on an image on "
                "which no activation flipped"
            )
    return problems


def _called(output: OutputComparison, compared: Comparison) -> str:
    if len(compared.outputs) > 1:
        return f"the values of output {output.name!r} differ"
    return "the logits differ" if output.scores else "the outputs differ"
