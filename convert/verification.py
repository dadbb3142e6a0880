"""Does the file compute what the model computes? LCE's own interpreter, and bduo_runtime's, against Keras."""

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from bduo_tf._keras import keras
from bduo_tf.deployment import Deployment
from convert.inspection import expected_operators, operators
from convert.tflite import convert_lce

__all__ = ["Interpreter", "Verification", "interpreters", "lce_interpreter", "verify"]

# How many images' activations are compared one by one (beyond all images with another arg max).
_TRACED = 64
_BATCH = 32


class Interpreter(Protocol):
    """What runs a file: predict(images of shape (batch, height, width, channels)) gives logits (batch, classes)."""

    def predict(self, images: np.ndarray) -> Any: ...


def lce_interpreter(file: bytes) -> Interpreter:
    """LCE's own."""
    from larq_compute_engine.tflite.python.interpreter import Interpreter as LceInterpreter

    return LceInterpreter(file)


def _runtime_interpreter(file: bytes) -> Interpreter:
    from bduo_runtime import Interpreter as RuntimeInterpreter

    return RuntimeInterpreter(file)


def interpreters() -> Mapping[str, Callable[[bytes], Interpreter]]:
    """Those to verify with, by name: LCE's, and bduo_runtime's where it is installed."""
    installed = importlib.util.find_spec("bduo_runtime") is not None
    return {"LCE": lce_interpreter} | ({"bduo_runtime": _runtime_interpreter} if installed else {})


@dataclass
class Verification:
    """The result of a verification; `problems` is empty if the file may be called done.

    Attributes:
        images: how many were compared.
        agreeing: of how many the arg max was the same.
        largest_difference: of a logit, over all images.
        median_difference: the median over images of the largest difference of a logit.
        logit_scale: the median over images of the largest logit, to hold the differences against.
        operators: of the file.
        flips: for each binary layer (flipped, total) activations over the images traced.
        traced: how many images that was.
        clean: on how many of them no activation flipped.
        disagreements: index of each image with another arg max, and its flips in all layers.
        accuracy: of the file, where labels are known.
        keras_accuracy: of the model on the same images.
        problems: one line each.
    """

    images: int = 0
    agreeing: int = 0
    largest_difference: float = 0.0
    median_difference: float = 0.0
    logit_scale: float = 0.0
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
    batches: Iterable[tuple[np.ndarray, np.ndarray | None]],
    *,
    total: int | None = None,
    min_agreement: float = 0.99,
    interpreter: Callable[[bytes], Interpreter] = lce_interpreter,
    title: str = "Verify",
) -> Verification:
    """Runs the file on every image and compares it with the binary model.

    Float32 rounds a sum differently in different orders, so that an activation within rounding of its
    threshold may fall on either side, and on a float stream each that does moves those after it. Such flips
    are counted layer by layer on some images. The file fails if

    - its operators are not those of the deployment graph,
    - more activations of a layer flipped than rounding and the flips before it explain,
    - logits differ by more than 1e-3 of their size on an image on which no activation flipped,
    - an image has another arg max without any activation having flipped,
    - fewer arg max agree than asked.

    Args:
        deployment: what `bduo_tf.deployment.deploy` made of the model.
        file: the converted `deployment.graph`.
        batches: (images, labels or None), images of shape (batch, height, width, channels).
        total: number of images, for the progress bar.
        min_agreement: share of images whose arg max must agree.
        interpreter: makes, of a file's content, what runs it.
        title: of the progress bar.
    """
    result = Verification(operators=operators(file))
    result.problems += expected_operators(deployment.graph, result.operators)

    running = interpreter(file)
    ours, theirs, labels = [], [], []
    to_trace: list[np.ndarray] = []
    disagreeing: dict[int, np.ndarray] = {}
    with tqdm(total=total, desc=title, unit="image", disable=None) as progress:
        for images, label in batches:
            expected = np.asarray(_predict(deployment.binary, images))
            computed = _as_batch(running.predict(images), expected.shape)
            for i in np.flatnonzero(expected.argmax(-1) != computed.argmax(-1)):
                disagreeing[result.images + int(i)] = images[i]
            if sum(map(len, to_trace)) < _TRACED:
                to_trace.append(images[: _TRACED - sum(map(len, to_trace))])
            ours.append(expected)
            theirs.append(computed)
            if label is not None:
                labels.append(label)
            result.images += len(images)
            progress.update(len(images))
    if result.images == 0:
        result.problems.append("there was no image to compare")
        return result

    differences = _compare_logits(result, np.concatenate(ours), np.concatenate(theirs))
    if labels:
        truth = np.concatenate(labels)
        result.accuracy = float(np.mean(np.concatenate(theirs).argmax(-1) == truth))
        result.keras_accuracy = float(np.mean(np.concatenate(ours).argmax(-1) == truth))
    tolerance = 1e-3 * result.logit_scale
    # Two logits that are as close as rounding may change places.
    apart = ~(differences <= tolerance)
    clean = _trace(result, deployment, interpreter, np.concatenate(to_trace), disagreeing, apart)
    result.clean = int(clean.sum())
    largest = differences[: len(clean)][clean].max(initial=0.0)
    if not largest <= tolerance:
        result.problems.append(
            f"the logits differ by {largest:.2g}, their size being {result.logit_scale:.2g}, on an image on which no "
            "activation flipped"
        )
    if result.agreeing < min_agreement * result.images:
        result.problems.append(
            f"the arg max agrees on {result.agreeing} of {result.images} images, fewer than {min_agreement:.2%}"
        )
    return result


def _compare_logits(result: Verification, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """The largest difference of a logit, for each image."""
    difference = np.abs(ours - theirs).max(axis=-1)
    result.agreeing = int(np.sum(ours.argmax(-1) == theirs.argmax(-1)))
    result.largest_difference = float(difference.max())
    result.median_difference = float(np.median(difference))
    result.logit_scale = float(np.median(np.abs(ours).max(axis=-1)))
    return difference


def _trace(
    result: Verification,
    deployment: Deployment,
    interpreter: Callable[[bytes], Interpreter],
    images: np.ndarray,
    disagreeing: dict[int, np.ndarray],
    apart: np.ndarray,
) -> np.ndarray:
    """Finds the activations that flipped, by running the graph up to them in the same interpreter too.

    Args:
        result: to add to.
        deployment: what is verified.
        interpreter: makes one of a file.
        images: to count flips on.
        disagreeing: images with another arg max, by index.
        apart: for each of all images whether its logits differ by more than rounding.

    Returns:
        For each of `images` whether none did.
    """
    if not deployment.readers:
        return np.ones(len(images), bool)
    running = interpreter(convert_lce(deployment.probes()))

    def flips(some: np.ndarray) -> dict[str, tuple[np.ndarray, int]]:
        probed = np.asarray(running.predict(some))
        return deployment.flips_by_image(some, probed.reshape(len(some), -1))

    clean = []
    for start in range(0, len(images), _BATCH):
        found = flips(images[start : start + _BATCH])
        for name, (flipped, total) in found.items():
            before, before_total = result.flips.get(name, (0, 0))
            result.flips[name] = (before + int(flipped.sum()), before_total + total * len(flipped))
        clean.append(sum(flipped for flipped, _ in found.values()) == 0)
    result.traced = len(images)
    result.problems += _unexplained(result.flips)
    for index, image in disagreeing.items():
        result.disagreements[index] = {name: (int(n.sum()), total) for name, (n, total) in flips(image[None]).items()}
        if apart[index] and not any(flipped for flipped, _ in result.disagreements[index].values()):
            result.problems.append(f"image {index} has another arg max although no activation flipped")
    return np.concatenate(clean)


def _unexplained(flips: dict[str, tuple[int, int]]) -> list[str]:
    """Layers with more flips than a few by rounding, or ten times the share of any layer before them."""
    problems = []
    before = 0.0
    for name, (flipped, total) in flips.items():
        if flipped > 3 + (1e-4 + 10 * before) * total or flipped > 0.05 * total + 3:
            problems.append(
                f"{flipped} of {total} activations of layer {name} flipped, at most {before:.2g} of those of a layer "
                "before it: more than rounding explains"
            )
        before = max(before, flipped / total)
    return problems


def _predict(model: keras.Model, images: np.ndarray) -> Any:
    return model.predict_on_batch(images)


def _as_batch(outputs: Any, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(outputs).reshape(shape)
