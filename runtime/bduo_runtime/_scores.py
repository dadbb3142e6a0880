"""What the numbers that a classifier gives mean: probabilities of its classes."""

from dataclasses import dataclass

import numpy as np

from bduo_runtime import _graph

__all__ = ["KINDS", "Prediction", "guess", "of_classes", "of_operator"]

KINDS = ("softmax", "logits", "sigmoid", "sigmoid_logits")
"""What scores can be: probabilities that sum to 1, what a softmax makes such of, probabilities each of its own, what a
sigmoid makes such of. A single unit tells two classes apart, unless it is a softmax."""


@dataclass(frozen=True)
class Prediction:
    """A class of a classifier, and what an image has of it.

    Attributes:
        label: the class name, "class 3" where the model has none.
        probability: from 0 to 1.
        score: the model's own output. Where a single unit tells two classes apart it is that of class 1; class 0 has
            1 - score of a sigmoid, -score of a logit.
        index: of the class.
    """

    label: str
    probability: float
    score: float
    index: int


def of_classes(scores: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """The probability and the score of each class.

    Args:
        scores: (units,), floats.
        kind: one of KINDS.

    Returns:
        Two arrays (classes,). There are as many classes as units; two of a single unit that is no softmax.
    """
    if len(scores) == 1 and kind != "softmax":
        other = 1 - scores if kind == "sigmoid" else -scores
        scores = np.concatenate([other, scores])
        kind = "sigmoid" if kind == "sigmoid" else "sigmoid_logits"
    if kind in ("softmax", "sigmoid"):
        return np.clip(scores, 0, 1), scores  # rounding may lead out of it
    if kind == "logits":
        odds = np.exp(scores - scores.max())
        return odds / odds.sum(), scores
    return np.exp(-np.logaddexp(0, -scores)), scores  # the sigmoid, which would overflow as it is usually written


def of_operator(operator: int | None) -> str | None:
    """The kind of scores that an operator certainly makes, None if there is none."""
    if operator == _graph.SOFTMAX:
        return "softmax"
    return "sigmoid" if operator == _graph.LOGISTIC else None


def guess(scores: np.ndarray, scale: float, operator: int | None) -> str:
    """The kind of scores of a file that neither says it nor ends in a softmax or sigmoid.

    The values tell: several that sum to 1 are probabilities, all others are logits. A single value from 0 to 1 may be
    either, and is taken for a sigmoid's unless a layer's product makes it.

    Args:
        scores: (units,), floats.
        scale: of the quantized output, 0 of floats: each score may be off by half of it.
        operator: what makes the output, `_graph.maker`.
    """
    within = scores.min() >= -scale / 2 and scores.max() <= 1 + scale / 2
    if len(scores) == 1:
        product = operator in (_graph.FULLY_CONNECTED, _graph.CONV_2D)
        return "sigmoid" if within and not product else "logits"
    return "softmax" if within and abs(scores.sum() - 1) <= len(scores) * scale / 2 + 0.01 else "logits"
