"""Chooses how many channels each group gets, so that the decoupled network costs no more than the original one."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bduo_tf.coupling._channels import Channels, resolved

__all__ = ["Product", "choose_widths"]


@dataclass
class Product:
    """The products with one kernel, counted from the widths of what it reads and makes.

    Attributes:
        layer: the name of the layer.
        reads: the groups of input channels, each with the number of copies that decoupling makes of it.
        makes: the groups of output channels; empty if each output channel depends on one input channel alone.
        size: the number of weights for each pair of an input and an output channel of the same group of a convolution,
            or for each input channel if `makes` is empty.
        groups: the number of groups of the convolution.
        positions: how often each weight is used for one input of the network.
    """

    layer: str
    reads: Sequence[tuple[Channels, int]]
    makes: Sequence[Channels]
    size: int
    groups: int = 1
    positions: int = 0

    @property
    def original(self) -> int:
        """The number of weights in the original network."""
        inputs, outputs = sum(c.size for c, _ in self.reads), sum(c.size for c in self.makes)
        return self.size * inputs * (outputs if self.makes else 1) // self.groups

    @property
    def decoupled(self) -> int:
        """The number of weights in the decoupled network with the present widths."""
        inputs = sum(copies * c.width for group, copies in self.reads for c in resolved([group]))
        outputs = sum(c.width for c in resolved(self.makes))
        return self.size * inputs * (outputs if self.makes else 1) // self.groups

    @property
    def channels(self) -> set[Channels]:
        """All groups on whose widths the number of weights depends."""
        return set(resolved([*(group for group, _ in self.reads), *self.makes]))


def choose_widths(products: Sequence[Product], levels: int) -> None:
    """Sets the widths of all groups that coupled activations read.

    Each becomes its size divided by sqrt(levels), rounded down. A kernel that reads and makes such channels then has at
    most as many weights as before, but one that makes channels that nothing coupled reads has sqrt(levels) times as
    many. So if the whole network has too many weights or multiply-accumulates, the group on which most of them depend
    is narrowed until it has not, then the next one. If it has too few weights, that group is widened instead.

    Args:
        products: the kernels of the network.
        levels: the number of binary activations that are coupled into one.

    Raises:
        ValueError: channels that must be scaled cannot be, or no widths are small enough.

    Reference:
        Kim et al., "BinaryDuo", ICLR 2020: 64, 64, 128, 128, 512, 512 become 45, 45, 90, 90, 336, 512.
    """
    scaled = [c for c in dict.fromkeys(c for p in products for c in sorted(p.channels, key=_size)) if c.read]
    for group in scaled:
        width = _rounded(group, group.size / math.sqrt(levels))
        if group.held is not None and width < group.size:
            raise ValueError(
                f"couple: the {group.size} channels of {group.maker!r} are read by a binary activation and would "
                f"have to be scaled, but {group.held}."
            )
        group.width = width

    limits = {"weights": _weights(products, original=True), "MACs": _macs(products, original=True)}

    def fits(*measures: str) -> bool:
        counts = {"weights": _weights, "MACs": _macs}
        return all(counts[measure](products) <= limits[measure] for measure in measures)

    for measure in ("weights", "MACs"):
        for group in _heaviest(scaled, products, measure):
            if fits(measure):
                break
            # At one level-th of the channels a kernel costs what it cost before, whatever it makes of them.
            _widest(group, _rounded(group, group.size / levels), group.width, lambda: fits(measure))  # noqa: B023
        if not fits(measure):
            raise ValueError(
                f"couple: even the narrowest coupled network has, decoupled, more {measure} than the original, because "
                "a layer has at least one channel for each group. Give the original more channels, or use fewer levels."
            )
    for group in _heaviest(scaled, products, "weights"):
        _widest(group, group.width, group.size, lambda: fits("weights", "MACs"))
        if group.width < group.size:
            break


def _size(group: Channels) -> int:
    return group.size


def _rounded(group: Channels, channels: float) -> int:
    """The largest number of channels that the group may have up to a limit, or the least that it may have at all."""
    return min(group.size, max(group.multiple, math.floor(channels / group.multiple) * group.multiple))


def _weights(products: Iterable[Product], original: bool = False) -> int:
    return sum(p.original if original else p.decoupled for p in products)


def _macs(products: Iterable[Product], original: bool = False) -> int:
    return sum((p.original if original else p.decoupled) * p.positions for p in products)


def _heaviest(scaled: Iterable[Channels], products: Iterable[Product], measure: str) -> list[Channels]:
    """The groups in the order of what depends on their widths, the most first."""
    count = {"weights": _weights, "MACs": _macs}[measure]
    return sorted(scaled, key=lambda group: -count([p for p in products if group in p.channels]))


def _widest(group: Channels, low: int, high: int, fits: Callable[[], bool]) -> None:
    """Gives the group the largest width from `low` to `high` that fits, or `low` if none does."""
    # What is counted grows with the width, so that a binary search finds the largest one.
    first, last = low // group.multiple, high // group.multiple
    while first < last:
        middle = (first + last + 1) // 2
        group.width = middle * group.multiple
        first, last = (middle, last) if fits() else (first, middle - 1)
    group.width = first * group.multiple
