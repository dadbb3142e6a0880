"""What the documentation of all networks has in common, written once and put into the docstring of each."""

from collections.abc import Callable
from typing import TypeVar

__all__ = ["documented"]

_Network = TypeVar("_Network", bound=Callable[..., object])

_SHARED = {
    "form": """\
        form: "coupled" (activations of `levels` + 1 levels: the form to train first), "baseline"
            (binary activations 0/1: the network that BinaryDuo is compared with) or "float" (ReLU and
            float kernels in the baseline's widths: what a user would deploy instead).
""",
    "options": """\
        levels: the number of binary activations coupled into one; only the coupled form uses it.
        width: a factor by which every width is multiplied.
        binary_weights: whether the kernels of the layers with quantized activations are binary,
            sign(W) * mean|W|, or float. Deployment needs binary ones.
        per_channel: whether a binary kernel has one scale for each output channel, or one for the layer.
        gradient: the backward pass of the activations, see `CoupledStep`.

    Returns:
        An uncompiled model from (batch, height, width, channels) float images to (batch, classes) logits.

    Raises:
        ValueError: the input is too small or its size unknown, or an option has no such value.
""",
}


def documented(network: _Network) -> _Network:
    """Completes the docstring of a network, so that `help` shows what every argument means.

    The line {form} stands for the argument of that name. The line {options} stands for the other arguments that all
    networks understand alike, and for what the networks return and raise.
    """
    if network.__doc__ is not None:  # Python run with -OO has no docstrings
        for name, text in _SHARED.items():
            network.__doc__ = network.__doc__.replace(f"        {{{name}}}\n", text)
    return network
