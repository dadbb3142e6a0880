"""What the second pass of deployment knows of a tensor: numbers with a pending scale and offset, or an activation."""

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Activation", "Binary", "Bits", "Value"]


@dataclass(frozen=True, eq=False)
class Value:
    """Numbers whose computation is put off: scale * tensor + offset, called the content.

    Attributes:
        tensor: a tensor of the deployment graph.
        name: the name of the layer whose output the content is.
        scale: float64, (channels, copies); copy k of channel c is channel c * copies + k of the content. None stands
            for a scale of 1 and an offset of 0.
        offset: float64, (channels, copies), or None.
        terms: set where the tensor is a sum of that many numbers +1 and -1, hence an integer of at most that size.
        spacing: the distance of such integers from each other: 2 where all terms are there, 1 where the zeros of a
            padding take the place of some.
        lost: for messages: how these floats stem from a binary activation; empty if they do not.
        shared: whether several layers read the tensor, and its shape changes on the way to some of them.
    """

    tensor: Any
    name: str = ""
    scale: np.ndarray | None = None
    offset: np.ndarray | None = None
    terms: int | None = None
    spacing: int = 2
    lost: str = ""
    shared: bool = False

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """Scale and offset, both (channels, copies); 1 and 0 where nothing is put off."""
        if self.scale is not None and self.offset is not None:
            return self.scale, self.offset
        channels = self.tensor.shape[-1]
        return np.ones((channels, 1)), np.zeros((channels, 1))

    @property
    def copies(self) -> int:
        """How many copies of each of the tensor's channels the content has."""
        return 1 if self.scale is None else self.scale.shape[1]


@dataclass(frozen=True, eq=False)
class Activation:
    """A binary activation of the content of a value, put off until it is known which kind of layer reads it.

    Attributes:
        source: the value.
        name: the name of the layer that makes the activation.
        level: the threshold on the content.
        strict: whether the activation is on only above the threshold, or also where the content is equal to it.
        signs: whether on and off are +1 and -1, or 1 and 0.
    """

    source: Value
    name: str
    level: float
    strict: bool
    signs: bool


@dataclass(frozen=True, eq=False)
class Bits:
    """A binary activation as the sign of a tensor, which is what LCE's operators read.

    Attributes:
        tensor: a tensor of the deployment graph. With `signs` the activation is on where it is at least 0. Otherwise
            it is on where the tensor is negative; an activation that is off, such as the zeros of a padding, is then
            the +1 that LCE pads with.
        name: the name of the layer that makes the activation.
        order: int (channels,): channel i of the tensor is channel order[i] of the activation.
        signs: whether on and off are +1 and -1, or 1 and 0.
    """

    tensor: Any
    name: str
    order: np.ndarray
    signs: bool


Binary = Activation | Bits
