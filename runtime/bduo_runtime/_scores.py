"""Turns the numbers that a classifier returns into probabilities of its classes."""

from dataclasses import dataclass

import numpy as np

from bduo_runtime import _graph

__all__ = ["KINDS", "Prediction", "guess", "of_classes", "of_operator"]

KINDS = ("softmax", "logits", "sigmoid", "sigmoid_logits")
"""The kinds of scores, in this order: probabilities that sum to 1; the logits of such, before the softmax;
probabilities of independent classes; the logits of these, before the sigmoid. A single unit tells two classes apart,
unless it is a softmax."""


@dataclass(frozen=True)
class Prediction:
    """A class of a classifier, and how probable it is for an image.

    Attributes:
        label: the name of the class, such as "class 3" where the model has no names.
        probability: the probability, from 0 to 1.
        score: the model's own output for the class. A single unit that tells two classes apart gives the score of
            class 1; class 0 then has 1 - score if that is a probability, and -score if it is a logit.
        index: the number of the class.
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
        Two arrays (classes,). There are as many classes as units, but two for a single unit that is no softmax.
    """
    if len(scores) == 1 and kind != "softmax":
        other = 1 - scores if kind == "sigmoid" else -scores
        scores = np.concatenate([other, scores])
        kind = "sigmoid" if kind == "sigmoid" else "sigmoid_logits"
    if kind in ("softmax", "sigmoid"):
        return np.clip(scores, 0, 1), scores  # rounding may leave a probability slightly outside of [0, 1]
    if kind == "logits":
        odds = np.exp(scores - scores.max())
        return odds / odds.sum(), scores
    return np.exp(-np.logaddexp(0, -scores)), scores  # the sigmoid, in a form that does not overflow


def of_operator(operator: int | None) -> str | None:
    """The kind of scores that an operator makes; None if the operator does not tell."""
    if operator == _graph.SOFTMAX:
        return "softmax"
    return "sigmoid" if operator == _graph.LOGISTIC else None


def guess(scores: np.ndarray, scale: float, operator: int | None) -> str:
    """Guesses the kind of scores of a file that neither says it nor ends in a softmax or sigmoid.

    Several values that sum to 1 are taken for probabilities, all others for logits. A single value from 0 to 1 could be
    either: it is taken for the output of a sigmoid unless a convolution or a dense layer makes it.

    Args:
        scores: (units,), floats.
        scale: the scale of a quantized output, by half of which each score may be off; 0 for floats.
        operator: the operator that makes the output, see `_graph.maker`.
    """
    within = scores.min() >= -scale / 2 and scores.max() <= 1 + scale / 2
    if len(scores) == 1:
        product = operator in (_graph.FULLY_CONNECTED, _graph.CONV_2D)
        return "sigmoid" if within and not product else "logits"
    return "softmax" if within and abs(scores.sum() - 1) <= len(scores) * scale / 2 + 0.01 else "logits"
