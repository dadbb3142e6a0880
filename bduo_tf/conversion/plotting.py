"""Draws a report: where bytes, multiply-accumulates and milliseconds go, and which activations flipped."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from bduo_tf.conversion.errors import required
from bduo_tf.conversion.layer_costs import LayerCost

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bduo_tf.conversion.report import Report

__all__ = ["draw"]

_BINARY, _OTHER = "C0", "C7"


def draw(report: "Report") -> "Figure":
    """Draws a report; see `Report.plot`."""
    required("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, MaxNLocator

    quantities: list[tuple[str, Callable[[LayerCost], float]]] = [
        ("bytes", lambda layer: layer.size),
        ("multiply-accumulates", lambda layer: layer.macs),
    ]
    if report.timing is not None:
        quantities.append(("milliseconds", lambda layer: layer.milliseconds or 0.0))
    flips = report.flips
    quantities.append(("share of flipped activations", lambda layer: _share(flips.get(layer.name))))

    layers = report.layers
    # Without pyplot a figure belongs to nobody else, and needs no display. A canvas is what writes it.
    figure = Figure(figsize=(3.2 * len(quantities) + 1, 0.28 * len(layers) + 1.6), layout="constrained")
    FigureCanvasAgg(figure)
    colours = [_BINARY if layer.bits == 1 else _OTHER for layer in layers]
    for axes, (title, value) in zip(figure.subplots(1, len(quantities), sharey=True), quantities, strict=True):
        axes.barh([layer.name for layer in layers], [value(layer) for layer in layers], color=colours)
        axes.set_xlabel(title)
        axes.set_xlim(0, None if any(map(value, layers)) else 1)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.grid(axis="x", alpha=0.3)
    figure.axes[0].invert_yaxis()  # the first layer on top
    time = "" if report.timing is None else f", {report.timing.processor}, threads {report.timing.threads}"
    figure.suptitle(f"{report.title}: {report.size:,} bytes{time} (blue: binary layers)", fontsize="medium")
    return figure


def _share(flips: tuple[int, int] | None) -> float:
    return flips[0] / max(1, flips[1]) if flips else 0.0
