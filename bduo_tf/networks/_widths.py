"""How wide a coupled network must be for its decoupled one to weigh what the baseline weighs."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from bduo_tf import _graph
from bduo_tf._keras import keras
from bduo_tf.quantizers import step_of

__all__ = ["decoupled_weights", "duo_widths"]


def decoupled_weights(model: keras.Model) -> int:
    """The kernel weights of a network of `bduo_tf.networks` once it is decoupled: those that read activations of
    n levels count n times."""
    total = levels = 0
    for layer in model.layers:
        # An activation that is a layer of its own is read by the next layer with a kernel.
        step = step_of(_graph.activation_of(layer)) or step_of(getattr(layer, "input_quantizer", None))
        levels = step.levels if step else levels
        if hasattr(layer, "kernel"):
            total += max(levels, 1) * int(layer.kernel.shape.num_elements())
            levels = 0
    return total


def duo_widths(
    network: Callable[..., keras.Model],
    baseline: Sequence[int],
    *,
    levels: int = 2,
    multiple_of: int = 1,
    **arguments: Any,
) -> tuple[int, ...]:
    """The widths of a coupled network whose decoupled network has the weights of a baseline.

    The last width stays, as in the paper: what reads it is in full precision and not widened. The others
    become baseline / sqrt(levels), rounded down; then the one before the last, which holds most weights,
    becomes the largest with which the decoupled network is not heavier than the baseline.

    Args:
        network: a function of `bduo_tf.networks`.
        baseline: its widths in the baseline form.
        levels: binary activations coupled into one.
        multiple_of: round all but the last width to the nearest multiple of this; 32 fills LCE's words.
        **arguments: other arguments of `network`, such as input_shape.

    Returns:
        The widths for `network(form="coupled", levels=levels, widths=...)`.

    Raises:
        ValueError: no width is small enough.

    Reference:
        Kim et al., "BinaryDuo", ICLR 2020: 64, 64, 128, 128, 512, 512 become 45, 45, 90, 90, 336, 512.
    """
    if multiple_of < 1:
        raise ValueError(f"duo_widths: multiple_of must be at least 1, not {multiple_of}.")

    def rounded(width: float) -> int:
        return max(multiple_of, multiple_of * math.floor(width / multiple_of + (0.5 if multiple_of > 1 else 0)))

    *first, balance, last = baseline
    narrow = [rounded(w / math.sqrt(levels)) for w in first]

    def weights(width: int) -> int:
        widths = [*narrow, width, last]
        return decoupled_weights(network(form="coupled", levels=levels, widths=widths, **arguments))

    budget = decoupled_weights(network(form="baseline", widths=baseline, **arguments))
    # Weights grow with the width: search in halves between none and all of the baseline's.
    low, high = 0, max(1, balance // multiple_of)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if weights(middle * multiple_of) <= budget else (low, middle - 1)
    if low == 0:
        raise ValueError(f"duo_widths: even {multiple_of} channels before the last layer weigh more than the baseline.")
    return (*narrow, low * multiple_of, last)
