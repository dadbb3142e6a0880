"""Does the file compute what the model computes? LCE's own interpreter against Keras."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

from bduo_tf._keras import keras
from bduo_tf.deployment import Deployment
from convert.inspection import expected_operators, operators
from convert.tflite import convert_lce

__all__ = ["Verification", "verify"]

# How many images' activations are compared one by one (beyond all images with another arg max).
_TRACED = 64
_BATCH = 32


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
    min_agreement: float = 0.9995,
) -> Verification:
    """Runs the file on every image and compares it with the binary model.

    The file fails if its operators are not those of the deployment graph, if fewer arg max agree than
    asked, if an image has another arg max without any activation having flipped, or if the logits of the
    median image differ by more than 1e-3 of their size. Float32 rounds a sum differently in different
    orders, so that an activation within rounding of its threshold may fall on either side: such flips
    are counted layer by layer.

    Args:
        deployment: what `bduo_tf.deployment.deploy` made of the model.
        file: the converted `deployment.graph`.
        batches: (images, labels or None), images of shape (batch, height, width, channels).
        total: number of images, for the progress bar.
        min_agreement: share of images whose arg max must agree.
    """
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    result = Verification(operators=operators(file))
    result.problems += expected_operators(deployment.graph, result.operators)

    interpreter = Interpreter(file)
    ours, theirs, labels = [], [], []
    to_trace: list[np.ndarray] = []
    disagreeing: dict[int, np.ndarray] = {}
    with tqdm(total=total, desc="Verify", unit="image", disable=None) as progress:
        for images, label in batches:
            expected = np.asarray(_predict(deployment.binary, images))
            computed = _as_batch(interpreter.predict(images), expected.shape)
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

    _compare_logits(result, np.concatenate(ours), np.concatenate(theirs))
    if labels:
        truth = np.concatenate(labels)
        result.accuracy = float(np.mean(np.concatenate(theirs).argmax(-1) == truth))
        result.keras_accuracy = float(np.mean(np.concatenate(ours).argmax(-1) == truth))
    _trace(result, deployment, np.concatenate(to_trace), disagreeing)
    if result.agreeing < min_agreement * result.images:
        result.problems.append(
            f"the arg max agrees on {result.agreeing} of {result.images} images, fewer than {min_agreement:.2%}"
        )
    return result


def _compare_logits(result: Verification, ours: np.ndarray, theirs: np.ndarray) -> None:
    difference = np.abs(ours - theirs).max(axis=-1)
    result.agreeing = int(np.sum(ours.argmax(-1) == theirs.argmax(-1)))
    result.largest_difference = float(difference.max())
    result.median_difference = float(np.median(difference))
    result.logit_scale = float(np.median(np.abs(ours).max(axis=-1)))
    if not result.median_difference <= 1e-3 * result.logit_scale:
        result.problems.append(
            f"the logits of the median image differ by {result.median_difference:.2g}, their size being "
            f"{result.logit_scale:.2g}"
        )


def _trace(
    result: Verification, deployment: Deployment, images: np.ndarray, disagreeing: dict[int, np.ndarray]
) -> None:
    """Finds the activations that flipped, by running the graph up to them in LCE's interpreter too."""
    if not deployment.readers:
        return
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    interpreter = Interpreter(convert_lce(deployment.probes()))

    def flips(some: np.ndarray) -> dict[str, tuple[int, int]]:
        probed = np.asarray(interpreter.predict(some))
        return deployment.count_flips(some, probed.reshape(len(some), -1))

    for start in range(0, len(images), _BATCH):
        for name, (flipped, total) in flips(images[start : start + _BATCH]).items():
            before, before_total = result.flips.get(name, (0, 0))
            result.flips[name] = (before + flipped, before_total + total)
    result.traced = len(images)
    for index, image in disagreeing.items():
        result.disagreements[index] = flips(image[None])
        if not any(flipped for flipped, _ in result.disagreements[index].values()):
            result.problems.append(f"image {index} has another arg max although no activation flipped")


def _predict(model: keras.Model, images: np.ndarray) -> Any:
    return model.predict_on_batch(images)


def _as_batch(outputs: Any, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(outputs).reshape(shape)
