"""Compares what a binary network costs with what the coupled one costs once it is decoupled, layer by layer."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bduo_tf import _graph
from bduo_tf._kinds import is_exactly
from bduo_tf._widening import TRANSPOSED
from bduo_tf.backend import keras
from bduo_tf.decoupling import decouple

__all__ = ["CouplingReport", "LayerComparison", "coupling_report"]

_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


@dataclass(frozen=True)
class LayerComparison:
    """A layer with a kernel in the original network and in the decoupled one.

    Attributes:
        name: the layer's name, behind those of the nested models around it.
        channels: the numbers of output channels.
        weights: the numbers of weights of its kernels.
        macs: the numbers of multiply-accumulates for one input of the network. Sizes of images that the network leaves
            open count as one pixel.
    """

    name: str
    channels: tuple[int, int]
    weights: tuple[int, int]
    macs: tuple[int, int]


@dataclass(frozen=True)
class CouplingReport:
    """How near a coupled network, once decoupled, comes to the original one; `str` makes a table of it.

    Attributes:
        layers: the layers with kernels, in the order of the network.
    """

    layers: tuple[LayerComparison, ...]

    @property
    def weights(self) -> tuple[int, int]:
        """The numbers of weights of all kernels, in the original and in the decoupled network."""
        return sum(layer.weights[0] for layer in self.layers), sum(layer.weights[1] for layer in self.layers)

    @property
    def macs(self) -> tuple[int, int]:
        """The numbers of multiply-accumulates, likewise."""
        return sum(layer.macs[0] for layer in self.layers), sum(layer.macs[1] for layer in self.layers)

    def __str__(self) -> str:
        head = ("layer", "channels", "", "weights", "decoupled", "ratio", "MACs", "decoupled", "ratio")
        rows = [
            (c.name, str(c.channels[0]), str(c.channels[1]), *_cells(c.weights), *_cells(c.macs)) for c in self.layers
        ]
        rows.append(("all", "", "", *_cells(self.weights), *_cells(self.macs)))
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        return "\n".join(
            "  ".join([row[0].ljust(widths[0]), *(cell.rjust(n) for cell, n in zip(row[1:], widths[1:], strict=True))])
            for row in (head, *rows)
        )


def _cells(pair: tuple[int, int]) -> tuple[str, str, str]:
    before, after = pair
    return f"{before:,}", f"{after:,}", f"{after / before:.3f}" if before else "-"


def coupling_report(original: keras.Model, coupled: keras.Model) -> CouplingReport:
    """Compares the weights and multiply-accumulates of a binary network with those of the one made of it by `couple`.

    Args:
        original: the binary network.
        coupled: what `couple` returned for it; or the same network, decoupled.

    Returns:
        The costs, layer by layer and in sum; print it.

    Raises:
        ValueError: the two do not have the same layers with kernels.
    """
    decoupled = decouple(coupled) if _graph.coupled_inside(coupled) else coupled
    before, after = _costs(original), _costs(decoupled)
    if before.keys() != after.keys():
        missing = min(before.keys() ^ after.keys())
        raise ValueError(f"coupling_report: only one of the two networks has a layer {missing!r} with a kernel.")
    rows = [[tuple(pair) for pair in zip(before[name], after[name], strict=True)] for name in before]
    return CouplingReport(tuple(LayerComparison(name, *row) for name, row in zip(before, rows, strict=True)))  # type: ignore[arg-type]


def _costs(model: keras.Model) -> dict[str, list[int]]:
    """Output channels, weights and multiply-accumulates of each layer with a kernel, by its name."""
    costs: dict[str, list[int]] = {}
    for name, node in _calls(model, ""):
        kernels = [getattr(node.layer, kernel) for kernel in _KERNELS if hasattr(node.layer, kernel)]
        if not kernels:
            continue
        weights = sum(math.prod(kernel.shape) for kernel in kernels)
        shape = node.input_shapes if is_exactly(node.layer, TRANSPOSED) else node.output_shapes
        cost = costs.setdefault(name, [node.output_shapes[-1], weights, 0])
        cost[2] += weights * math.prod(size or 1 for size in shape[1:-1])
    return costs


def _calls(model: keras.Model, path: str) -> Iterator[tuple[str, Any]]:
    """The calls of a graph and of the models nested in it, each with the name of its layer."""
    for node in _graph.nodes(model):
        name = f"{path}{node.layer.name}"
        if _graph.is_graph(node.layer):
            yield from _calls(node.layer, f"{name}/")
        else:
            yield name, node
