"""What the second pass of deployment knows of a tensor."""

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Activation", "Binary", "Bits", "Value"]


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor's content is scale * tensor + offset, not computed before it is needed.

    Attributes:
        tensor: of the deployment graph.
        name: of the layer that the content is the output of.
        scale: float64, (channels, copies); copy k of channel c is channel c * copies + k of the content. None: 1.
        offset: likewise; None: 0.
        terms: set where the tensor is a sum of that many +1 and -1: an integer of at most that size.
        spacing: of those integers: 2 where all terms are there, 1 where zeros of a padding take some away.
        lost: where a binary activation became these floats, for messages; empty if none did.
        shared: whether several layers read the tensor and its shape changes on the way to some.
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
        """scale and offset, those of the identity where none is pending."""
        if self.scale is not None and self.offset is not None:
            return self.scale, self.offset
        channels = self.tensor.shape[-1]
        return np.ones((channels, 1)), np.zeros((channels, 1))

    @property
    def copies(self) -> int:
        return 1 if self.scale is None else self.scale.shape[1]


@dataclass(frozen=True, eq=False)
class Activation:
    """A binary activation of the content of a value, not computed before it is known what for.

    Attributes:
        source: the value.
        name: of the layer that makes it.
        level: it is on where the content is at least that ...
        strict: ... or more than that.
        signs: whether on and off are +1 and -1, or 1 and 0.
    """

    source: Value
    name: str
    level: float
    strict: bool
    signs: bool


@dataclass(frozen=True, eq=False)
class Bits:
    """A binary activation as the sign of a tensor: what LCE's operators read.

    Attributes:
        tensor: of the deployment graph. With `signs` it is on where that is at least 0, otherwise on where that is
            negative: the zeros that pad 0/1 activations are then the +1 that LCE pads with.
        name: of the layer that makes the activation.
        order: int (channels,): the activation's channel that each channel of the tensor is.
        signs: whether on and off are +1 and -1, or 1 and 0.
    """

    tensor: Any
    name: str
    order: np.ndarray
    signs: bool


Binary = Activation | Bits
