"""Groups of channels that must have one width: which tensors share them, what holds them, and how many they become."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Channels", "hold", "resolved", "tie", "width"]


@dataclass(eq=False)
class Channels:
    """Neighbouring channels of one or more tensors, whose number is scaled as one.

    The channels of a tensor are a sequence of such groups. Tensors that are added have the same sequence, for which
    groups are merged, and split where their borders differ.

    Attributes:
        size: how many they are in the original network.
        maker: the name of the layer that first makes them.
        multiple: their number must be a multiple of this, because a convolution with groups reads or makes them.
        held: why their number cannot change; None if it can.
        read: whether an activation that is to be coupled reads them, so that they are to be scaled.
        width: how many they become.
        parts: the groups that took the place of this one; None while it stands for itself.
    """

    size: int
    maker: str
    multiple: int = 1
    held: str | None = None
    read: bool = False
    width: int = 0
    parts: tuple["Channels", ...] | None = None

    def __post_init__(self) -> None:
        self.width = self.size

    def hold(self, reason: str) -> None:
        """Records why their number cannot change, unless a reason is known already."""
        self.held = self.held or reason

    def become(self, other: "Channels") -> None:
        """Gives up this group for another one of the same size, which takes over what is known of this one."""
        other.multiple = math.lcm(other.multiple, self.multiple)
        other.held = other.held or self.held
        other.read = other.read or self.read
        self.parts = (other,)

    def split(self, size: int) -> None:
        """Splits the group into its first `size` channels and the rest."""
        first, rest = (Channels(n, self.maker, self.multiple, self.held, self.read) for n in (size, self.size - size))
        if size % self.multiple or rest.size % self.multiple:
            for part in (first, rest):
                part.hold(f"a part of the channels of layer {self.maker!r} is not divisible by {self.multiple} groups")
        self.parts = (first, rest)


def resolved(channels: Iterable[Channels]) -> Iterator[Channels]:
    """The groups that now stand for those that are given, in order."""
    for group in channels:
        if group.parts is None:
            yield group
        else:
            yield from resolved(group.parts)


def tie(first: Sequence[Channels], second: Sequence[Channels]) -> None:
    """Makes two sequences of groups, of the same number of channels in all, one and the same."""
    while True:
        pairs = zip(resolved(first), resolved(second), strict=False)
        if (pair := next(((a, b) for a, b in pairs if a is not b), None)) is None:
            return
        # All groups before this pair are the same, so that these two begin at the same channel.
        small, large = sorted(pair, key=lambda group: group.size)
        if small.size < large.size:
            large.split(small.size)
        else:
            pair[1].become(pair[0])


def hold(channels: Iterable[Channels], reason: str) -> None:
    """Records for all groups why their number of channels cannot change."""
    for group in resolved(channels):
        group.hold(reason)


def width(channels: Iterable[Channels]) -> int:
    """How many channels the groups become together."""
    return sum(group.width for group in resolved(channels))
