"""How many channels the networks have: the paper's widths, and those that give a wanted number of weights."""

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
    # QuickNet's coupled widths are those of `duo_widths` at 224x224 pixels and 1000 classes: no paper has any.
    "quicknet": {"coupled": (45, 90, 181, 343, 512), "baseline": (64, 128, 256, 512, 512)},
    "quicknet_large": {"coupled": (45, 90, 181, 350, 512), "baseline": (64, 128, 256, 512, 512)},
    "quicknet_small": {"coupled": (22, 45, 181, 343, 512), "baseline": (32, 64, 256, 512, 512)},
    "resnet18": {"coupled": (64, 90, 180, 360, 512), "baseline": (64, 128, 256, 512, 512)},
    "vgg7": {"coupled": (45, 45, 90, 90, 336, 512), "baseline": (64, 64, 128, 128, 512, 512)},
}
_PAPER["resnet18_block"] = _PAPER["resnet18"]  # its shortcuts differ, its channels do not


def paper_widths(network: str, form: Form = "coupled", width: float = 1.0) -> tuple[int, ...]:
    """The channels of a network's layers in the paper, as its argument `widths` takes them.

    Args:
        network: a key of `NETWORKS`.
        form: "coupled", "baseline" or "float"; the last two have the same widths.
        width: a factor for each width; halves are rounded up, and no width is below 1.

    Returns:
        The widths, in the order in which the network's docstring lists them.

    Raises:
        ValueError: width is not positive, or there is no such network.

    Reference:
        Kim et al., "BinaryDuo", ICLR 2020, and the authors' code; AlexNet's baseline is the usual single tower.
        QuickNet's baseline is that of Bannink et al., MLSys 2021; its coupled widths are those of `duo_widths`.
    """
    if network not in _PAPER:
        raise ValueError(f"paper_widths: unknown network {network!r}; known: {', '.join(_PAPER)}.")
    return choose_widths(network, form, None, width)


def choose_widths(network: str, form: Form, widths: Sequence[int] | None, multiplier: float) -> tuple[int, ...]:
    """Returns `widths`, or the paper's if None are given, each multiplied by `multiplier` and rounded."""
    paper = _PAPER[network]["coupled" if form == "coupled" else "baseline"]
    widths = widths or paper
    if len(widths) != len(paper) or any(w < 1 for w in widths):
        raise ValueError(f"{network}: widths must be {len(paper)} positive integers, not {list(widths)}.")
    if not multiplier > 0:
        raise ValueError(f"{network}: width must be positive, not {multiplier}.")
    # round() goes to the even neighbour: 22.5 would become 22, narrower than the width asked for.
    return tuple(max(1, math.floor(w * multiplier + 0.5)) for w in widths)


def decoupled_weights(model: keras.Model) -> int:
    """Counts the kernel weights that a network of `bduo_tf.networks` has once it is decoupled.

    A kernel that reads activations of n levels is repeated n times, so that its weights count n times.
    """
    total = levels = 0
    for layer in model.layers:
        # In these networks an activation that is a layer is read by the next layer with a kernel.
        step = step_of(_graph.activation_of(layer)) or step_of(getattr(layer, "input_quantizer", None))
        levels = step.levels if step else levels
        kernel = getattr(layer, "kernel", getattr(layer, "depthwise_kernel", None))
        if kernel is not None:
            total += max(levels, 1) * int(kernel.shape.num_elements())
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
    """The widths of a coupled network that, once decoupled, has about as many weights as a baseline.

    The last width stays as it is, as in the paper: the layer that reads it is in full precision and not
    widened. The others become baseline / sqrt(levels), rounded down. Then the width before the last, on
    which most weights depend, becomes the largest with which the decoupled network has no more weights
    than the baseline.

    Args:
        network: a function of `bduo_tf.networks`.
        baseline: its widths in the baseline form.
        levels: the number of binary activations coupled into one.
        multiple_of: all widths but the last are rounded to the nearest multiple of this number; 32 fills
            the words in which LCE packs channels.
        **arguments: other arguments of `network`, such as input_shape.

    Returns:
        The widths for `network(form="coupled", levels=levels, widths=...)`.

    Raises:
        ValueError: even with the least width before the last the network has more weights than the baseline.

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
    if weights(multiple_of) > budget:
        raise ValueError(f"duo_widths: even {multiple_of} channels before the last layer weigh more than the baseline.")
    # The number of weights grows with the width, so that a binary search finds the largest one.
    low, high = 1, max(1, balance // multiple_of)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if weights(middle * multiple_of) <= budget else (low, middle - 1)
    return (*narrow, low * multiple_of, last)
