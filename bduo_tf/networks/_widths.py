"""How wide the networks are: the paper's widths, and those of a coupled network that is to weigh what another does."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from bduo_tf import _graph
from bduo_tf.backend import keras
from bduo_tf.networks._blocks import Form
from bduo_tf.quantizers import step_of

__all__ = ["choose_widths", "decoupled_weights", "duo_widths", "paper_widths"]

_PAPER: dict[str, dict[str, tuple[int, ...]]] = {
    "alexnet": {"coupled": (88, 192, 256, 256, 192, 2400, 4096), "baseline": (96, 256, 384, 384, 256, 4096, 4096)},
    "resnet18": {"coupled": (64, 90, 180, 360, 512), "baseline": (64, 128, 256, 512, 512)},
    "vgg7": {"coupled": (45, 45, 90, 90, 336, 512), "baseline": (64, 64, 128, 128, 512, 512)},
}
_PAPER["resnet18_block"] = _PAPER["resnet18"]  # other shortcuts, the same channels


def paper_widths(network: str, form: Form = "coupled", width: float = 1.0) -> tuple[int, ...]:
    """The channels of a network's layers, as its `widths`.

    Args:
        network: a key of `NETWORKS`.
        form: "coupled", or "baseline" or "float", which are as wide as each other.
        width: multiplies each; halves are rounded up, and none is below 1.

    Raises:
        ValueError: width is not positive, or there is no such network.

    Reference:
        Kim et al., "BinaryDuo", ICLR 2020, and the authors' code; AlexNet's baseline is the usual single tower.
    """
    if network not in _PAPER:
        raise ValueError(f"paper_widths: unknown network {network!r}; known: {', '.join(_PAPER)}.")
    return choose_widths(network, form, None, width)


def choose_widths(network: str, form: Form, widths: Sequence[int] | None, multiplier: float) -> tuple[int, ...]:
    """`widths`, or the paper's, times `multiplier`."""
    paper = _PAPER[network]["coupled" if form == "coupled" else "baseline"]
    widths = widths or paper
    if len(widths) != len(paper) or any(w < 1 for w in widths):
        raise ValueError(f"{network}: widths must be {len(paper)} positive integers, not {list(widths)}.")
    if not multiplier > 0:
        raise ValueError(f"{network}: width must be positive, not {multiplier}.")
    # round() goes to the even neighbour: 22.5 would become 22, narrower than the width asked for.
    return tuple(max(1, math.floor(w * multiplier + 0.5)) for w in widths)


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
