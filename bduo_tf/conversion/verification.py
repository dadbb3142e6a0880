"""Does a file compute what its model computes? Interpreters against Keras, on every input."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from bduo_tf.backend import keras, tf
from bduo_tf.conversion.comparison import Comparison, OutputComparison
from bduo_tf.conversion.errors import ConversionError, explained
from bduo_tf.conversion.inspection import expected_operators, operators
from bduo_tf.conversion.interpreters import Interpreter, in_batches, lce_interpreter
from bduo_tf.conversion.signature import names_of
from bduo_tf.conversion.tflite import convert_lce
from bduo_tf.conversion.tracing import TRACED, Tracer, unexplained
from bduo_tf.deployment import Deployment

__all__ = ["Verification", "as_list", "verify", "verify_in_each"]

Batches = Iterable[tuple[Any, np.ndarray | None]]


@dataclass(frozen=True)
class Verification:
    """How the outputs of a file in one interpreter compare with Keras'.

    Where a model has several outputs, the differences are those of the output that differs most for its size.

    Attributes:
        images: how many images were compared.
        agreeing: on how many of them all outputs agree: scores by their arg max, others as `OutputComparison` says.
        agreement: what is said to agree: "arg max" for a classifier, else "outputs".
        largest_difference: the largest difference of a logit over all images.
        median_difference: the median over images of the largest difference of a logit.
        logit_scale: the median over images of the largest logit, to hold the differences against.
        outputs: for a model of several outputs the `Difference` of each as JSON, by name; empty for others.
        operators: how often each operator occurs in the file.
        flips: for each layer that reads binary activations (flipped, total) over the images that were traced.
        traced: on how many images the activations were compared one by one.
        clean: on how many of these no activation flipped.
        disagreements: the activations that flipped in each image that does not agree, by the image's index.
        accuracy: the accuracy of the file, where labels are known.
        keras_accuracy: the accuracy of the Keras model on the same images.
        problems: one line for each reason why the file must not be called verified; empty if it is verified.
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
    batches: Batches,
    *,
    interpreter: Callable[[bytes], Interpreter] = lce_interpreter,
    **options: Any,
) -> Verification:
    """Verifies a file in one interpreter; see `verify_in_each` for the arguments and for what is verified."""
    [verification] = verify_in_each(deployment, file, batches, {"the interpreter": interpreter}, **options).values()
    return verification


def verify_in_each(
    deployment: Deployment,
    file: bytes,
    batches: Batches,
    interpreters: Mapping[str, Callable[[bytes], Interpreter]],
    *,
    total: int | None = None,
    min_agreement: float = 0.99,
    names: Sequence[str] = (),
    boundary: float = 0.5,
) -> dict[str, Verification]:
    """Runs a file on every image in each interpreter, and compares the outputs with those of the binary model.

    Float32 rounds a sum differently in different orders, so that an activation within rounding of its threshold may
    fall on either side, and on a stream of floats each one that does moves those after it. Such flips are counted
    layer by layer on some images. The file fails if

    - its operators are not those of the deployment graph,
    - more activations of a layer flipped than rounding and the flips before it explain,
    - an output differs by more than 1e-3 of its size on an image on which no activation flipped,
    - an image does not agree without any activation having flipped,
    - fewer images agree than asked.

    Args:
        deployment: what `bduo_tf.deployment.deploy` made of the model.
        file: the converted `deployment.graph`.
        batches: pairs of images (batch, height, width, channels), or whatever else the model takes, and labels
            (batch,) or None. A model of several inputs takes a list of arrays.
        interpreters: what makes an interpreter of a file's content, by the interpreter's name.
        total: how many images there are, for the progress bar.
        min_agreement: the share of images that must agree.
        names: the names of the outputs; if empty, those that the model gives them.
        boundary: the value that separates class 0 from class 1 in an output of one unit, for the accuracy.

    Returns:
        What was found in each interpreter, by the interpreter's name.

    Raises:
        ConversionError: an interpreter fails, or an output has no axis of the batch.
    """
    counted = operators(file)
    problems = expected_operators(deployment.graph, counted, [layer.name for layer in deployment.floats])
    outputs = tuple(names) or names_of(deployment.binary).outputs
    of_keras = _Accuracy(boundary)
    runs: dict[str, _Run] = {}
    for name, make in interpreters.items():
        with explained(_cannot_compare(name)):
            runs[name] = _Run(make(file), Comparison(outputs), _Accuracy(boundary))
    traced = _compare(deployment.binary, batches, runs, of_keras, total)
    if not traced:
        nothing = Verification(operators=counted, problems=[*problems, "there was no image to compare"])
        return dict.fromkeys(interpreters, nothing)

    probes = convert_lce(deployment.probes()) if deployment.readers else None
    found = {}
    for name, make in interpreters.items():
        with explained(_cannot_compare(name)):
            tracer = Tracer(deployment, None if probes is None else make(probes))
            judged = _judged(runs[name], tracer, traced, min_agreement)
        found[name] = replace(
            judged, operators=counted, keras_accuracy=of_keras.share, problems=[*problems, *judged.problems]
        )
    return found


def _compare(
    model: keras.Model, batches: Batches, runs: Mapping[str, "_Run"], accuracy: "_Accuracy", total: int | None
) -> list[np.ndarray]:
    """Runs every batch in Keras and in each interpreter, whose `_Run` and whose accuracy take the outputs.

    Only the inputs of some images are kept, so that a data set may be larger than memory.

    Returns:
        The inputs of the first images, on which activations are to be compared; empty if there were no images.
    """
    first: list[list[np.ndarray]] = []
    images = 0
    with tqdm(total=total, desc="Verify", unit="image", disable=None) as progress:
        for batch, labels in batches:
            inputs = as_list(batch)
            expected = _keras_outputs(model, inputs)
            if labels is not None:
                accuracy.add(expected, labels)
            for name, run in runs.items():
                with explained(_cannot_compare(name)):
                    run.add(inputs, expected, labels)
            if images < TRACED:
                first.append([x[: TRACED - images] for x in inputs])
            images += len(inputs[0])
            progress.update(len(inputs[0]))
    return [np.concatenate(parts) for parts in zip(*first, strict=True)] if images else []


def _cannot_compare(name: str) -> str:
    return f"The file cannot be compared with Keras in {name}"


def as_list(tensors: Any) -> list[np.ndarray]:
    """Returns arrays as a list, which has one element where there is one input or output."""
    return [np.asarray(x) for x in tensors] if isinstance(tensors, (list, tuple)) else [np.asarray(tensors)]


def _keras_outputs(model: keras.Model, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """The outputs of the Keras model, in the order of `model.outputs`."""

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


class _Accuracy:
    """The share of labels that the outputs of a classifier hit.

    The outputs are the scores of classes, (batch, classes), or one unit that tells two classes apart. All others have
    no accuracy.
    """

    def __init__(self, boundary: float) -> None:
        self._boundary = boundary
        self._right: list[np.ndarray] = []

    def add(self, outputs: list[np.ndarray], labels: np.ndarray) -> None:
        if len(outputs) != 1:
            return
        [scores] = outputs
        if scores.ndim == 2 and scores.shape[1] >= 2:
            self._right.append(scores.argmax(-1) == labels)
        elif scores.shape[1:] in ((), (1,)) and np.isin(labels, (0, 1)).all():
            self._right.append((scores.reshape(-1) > self._boundary).astype(int) == labels)

    @property
    def share(self) -> float | None:
        return float(np.mean(np.concatenate(self._right))) if self._right else None


class _Run:
    """One interpreter's outputs beside Keras', gathered batch by batch."""

    def __init__(self, interpreter: Interpreter, comparison: Comparison, accuracy: _Accuracy) -> None:
        self.comparison = comparison
        self.accuracy = accuracy
        self.suspects: dict[int, list[np.ndarray]] = {}  # inputs of the images that may turn out to disagree, by index
        self._interpreter = interpreter
        self._images = 0

    def add(self, inputs: list[np.ndarray], expected: list[np.ndarray], labels: np.ndarray | None) -> None:
        images = inputs if len(inputs) > 1 else inputs[0]
        outputs = as_list(self._interpreter.predict(images))
        computed = [_like(y, e) for y, e in zip(outputs, expected, strict=True)]
        for i in np.flatnonzero(self.comparison.add(expected, computed)):
            self.suspects[self._images + int(i)] = [x[i : i + 1] for x in inputs]
        if labels is not None:
            self.accuracy.add(computed, labels)
        self._images += len(inputs[0])


def _like(computed: np.ndarray, expected: np.ndarray) -> np.ndarray:
    if computed.size != expected.size:
        raise ValueError(f"an output is of the shape {computed.shape}, Keras' of {expected.shape}")
    return computed.reshape(expected.shape)


def _judged(run: _Run, tracer: Tracer, traced: list[np.ndarray], min_agreement: float) -> Verification:
    """What one interpreter's outputs come to, once all images were compared.

    Args:
        run: the outputs of all images.
        tracer: of the same interpreter.
        traced: the inputs of the images on which to count the activations that flipped, (images, ...) each.
        min_agreement: the share of images that must agree.
    """
    compared = run.comparison
    agrees = compared.agrees()
    flips = tracer.count(traced)
    clean = np.all([np.ones(len(traced[0]), bool), *(flipped == 0 for flipped, _ in flips.values())], axis=0)
    disagreements = {index: tracer.of_image(image) for index, image in run.suspects.items() if not agrees[index]}
    differences = {output.name: output.summary() for output in compared.outputs}
    worst = max(differences.values(), key=lambda difference: np.nan_to_num(difference.relative, nan=np.inf))
    several = len(differences) > 1
    return Verification(
        images=len(agrees),
        agreeing=int(agrees.sum()),
        agreement="arg max" if compared.by_arg_max else "outputs",
        largest_difference=worst.largest,
        median_difference=worst.median,
        logit_scale=worst.scale,
        outputs={name: difference.as_json() for name, difference in differences.items()} if several else {},
        flips={name: (int(flipped.sum()), total * len(flipped)) for name, (flipped, total) in flips.items()},
        traced=len(clean) if flips else 0,
        clean=int(clean.sum()),
        disagreements=disagreements,
        accuracy=run.accuracy.share,
        problems=[
            *unexplained(flips),
            *_unexplained_disagreements(compared, disagreements),
            *_unexplained_differences(compared, clean),
            *_too_few(compared, agrees, min_agreement),
        ],
    )


def _unexplained_disagreements(compared: Comparison, found: Mapping[int, dict[str, tuple[int, int]]]) -> list[str]:
    """The images that do not agree, and not by rounding, although no activation flipped in them."""
    apart = compared.apart()
    what = "another arg max" if compared.by_arg_max else "other outputs"
    return [
        f"image {index} has {what} although no activation flipped"
        for index, flips in found.items()
        if apart[index] and not any(flipped for flipped, _ in flips.values())
    ]


def _unexplained_differences(compared: Comparison, clean: np.ndarray) -> list[str]:
    """The outputs that differ by more than rounding on an image in which nothing flipped.

    Args:
        compared: the outputs of all images.
        clean: for each of the first images whether no activation flipped in it, bool (images,).
    """
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


def _too_few(compared: Comparison, agrees: np.ndarray, min_agreement: float) -> list[str]:
    if agrees.sum() >= min_agreement * len(agrees):
        return []
    what = "the arg max agrees" if compared.by_arg_max else "the outputs agree"
    return [f"{what} on {agrees.sum()} of {len(agrees)} images, fewer than {min_agreement:.2%}"]
