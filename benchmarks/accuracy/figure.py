"""The figure of accuracy against cost, with labels that cover neither points nor each other."""

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import Bbox

from bduo_tf.files import replacing
from bduo_tf.training.methods import METHODS
from benchmarks.accuracy.deployed import Point

__all__ = ["draw"]

_COLORS = [f"C{i}" for i in range(10)] + ["navy", "gold", "black"]


def draw(points: Sequence[Point], title: str, path: Path) -> None:
    """Accuracy against multiply-accumulates, and against file size with the latency at each point."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    by_method: dict[str, list[Point]] = {}
    for point in points:
        by_method.setdefault(point.settings.method, []).append(point)
    # The best one first, as in the panels.
    methods = sorted(by_method, key=lambda method: -max(p.accuracy for p in by_method[method]))
    colors = {}
    for i, (method, some) in enumerate(by_method.items()):
        style = {"color": _COLORS[i % len(_COLORS)], "marker": "oDv^PX"[i % 6]}
        if some[0].deployed.is_float:
            style = {"color": "0.35", "marker": "s", "markerfacecolor": "white", "linestyle": "--"}
        colors[method] = style["color"]
        label = METHODS[method].title + (" (32-bit MACs)" if some[0].deployed.is_float else "")
        accuracies, errors = [p.accuracy for p in some], [p.error for p in some]
        for axes, cost_of in ((left, _macs), (right, _bytes)):
            costs = [cost_of(p) for p in some]
            axes.errorbar(costs, accuracies, errors, label=label, linewidth=1.2, markersize=5, capsize=2.5, **style)
    for axes, units in ((left, ((1e9, "G"), (1e6, "M"))), (right, ((1e6, "MB"), (1e3, "kB")))):
        axes.set_xscale("log")
        axes.grid(alpha=0.25)
        axes.margins(0.11, 0.09)
        axes.xaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(functools.partial(_in_units, units=units)))
    left.set(title="Compute", xlabel="multiply-accumulates, 1 bit (float networks: 32 bit)", ylabel="test accuracy, %")
    right.set(title="Size, and at each point the latency in ms", xlabel="size of the .tflite file")
    figure.suptitle(title)
    handles = dict(zip(by_method, left.get_legend_handles_labels()[0], strict=True))
    figure.legend(
        handles=[handles[m] for m in methods], loc="outside lower center", ncols=len(methods) if len(methods) < 5 else 3
    )
    figure.draw_without_rendering()  # places the panels, which the labels need
    # Networks of a width have about the same MACs: the best method's points say which width that is.
    widths = {_xy(p, _macs): (f"width {p.settings.recipe.width:g}", colors[methods[0]]) for p in by_method[methods[0]]}
    _label(left, widths, [[(_xy(p, _macs), p.error) for p in some] for some in by_method.values()])
    decimals = max(0, 1 - math.floor(math.log10(np.median([p.latency.median for p in points]))))
    latencies = {
        _xy(p, _bytes): (f"{p.latency.median:.{decimals}f}", colors[p.settings.method])
        for p in sorted(points, key=lambda p: -p.accuracy)
    }
    _label(right, latencies, [[(_xy(p, _bytes), p.error) for p in some] for some in by_method.values()])
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _xy(point: Point, cost_of: Callable[[Point], int]) -> tuple[float, float]:
    return cost_of(point), point.accuracy


def _macs(point: Point) -> int:
    return point.deployed.binary_macs or point.deployed.float_macs


def _bytes(point: Point) -> int:
    return len(point.deployed.file)


# Where a label may go, best first: points right and up of the end of the error bar, alignment.
_PLACES = [
    (0, 4, "center", "bottom"), (0, -4, "center", "top"), (6, 0, "left", "center"), (-6, 0, "right", "center"),
    (5, 4, "left", "bottom"), (5, -4, "left", "top"), (-5, 4, "right", "bottom"), (-5, -4, "right", "top"),
    (0, 14, "center", "bottom"), (0, -14, "center", "top"), (14, 10, "left", "bottom"), (14, -10, "left", "top"),
    (-14, 10, "right", "bottom"), (-14, -10, "right", "top"), (0, 24, "center", "bottom"), (0, -24, "center", "top"),
]  # fmt: skip


def _label(
    axes: Axes,
    labels: Mapping[tuple[float, float], tuple[str, str]],
    lines: Sequence[Sequence[tuple[tuple[float, float], float]]],
) -> None:
    """Writes a text beside each of some points, where it covers no other text, no point, and no line if it can.

    Args:
        axes: in its final place.
        labels: text and color by (x, y).
        lines: all points that are drawn, those of a line together, with their errors in y.
    """
    to_pixels = axes.transData.transform
    errors = {xy: error for points in lines for xy, error in points}
    taken = [Bbox([to_pixels((x, y - error)) - 5, to_pixels((x, y + error)) + 5]) for (x, y), error in errors.items()]
    for points in lines:
        ends = [to_pixels(xy) for xy, _ in points]
        for one, other in itertools.pairwise(ends):
            taken += [Bbox([place - 1, place + 1]) for place in np.linspace(one, other, 100)]
    for (x, y), (label, color) in labels.items():
        tried: list[tuple[float, Annotation, Bbox]] = []
        for right, up, horizontal, vertical in _PLACES:
            end = y + np.sign(up) * errors[x, y]
            text = axes.annotate(
                label, (x, end), (right, up), textcoords="offset points", ha=horizontal, va=vertical, fontsize=8,
                color=color, path_effects=[withStroke(linewidth=2, foreground="white")], in_layout=False,
            )  # fmt: skip
            box = text.get_window_extent()
            outside = box.width * box.height - _common(box, axes.bbox)
            tried.append((outside + sum(_common(box, other) for other in taken), text, box))
            if tried[-1][0] == 0:
                break
        best = min(tried, key=lambda t: t[0])
        for place in tried:
            if place is not best:
                place[1].remove()
        taken.append(best[2])


def _common(one: Bbox, other: Bbox) -> float:
    both = Bbox.intersection(one, other)
    return both.width * both.height if both else 0.0


def _in_units(value: float, _: object, units: Sequence[tuple[float, str]]) -> str:
    size, name = next((u for u in units if value >= u[0]), units[-1])
    return f"{value / size:g} {name}"
