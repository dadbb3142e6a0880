"""What does an accuracy cost on the device? The trainings of `benchmarks.accuracy` beside size and speed.

    python -m benchmarks.accuracy_cost                                  a table of all methods and widths tested so far
    python -m benchmarks.accuracy_cost --figure docs/results.png        and a figure
    python -m benchmarks.accuracy_cost --methods duo baseline float --network resnet18 --size 32

Takes the mean test accuracy over the seeds of docs/accuracy.csv, builds each network as its method builds it, decouples
it where the method does, and converts it as `python -m convert` does: with binary kernels, or a float network as
`convert --float`. The options of a recipe choose the rows; all widths that have rows are taken. Methods that cannot be
deployed so are named with the reason. The figure is easily read with six methods, hardly with twelve: see --methods.

Weights are untrained: MACs, size and speed do not depend on their values. The statistics of batch norms are at random,
since parts of untrained ones would be folded away. Their gammas are positive, as in the trainings that were looked at:
0.4 to 1.5 after two epochs. (Negative ones add a multiplication of the activations, and 4 % to a file of 24 kB.)
"""

import argparse
import contextlib
import dataclasses
import functools
import itertools
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import Bbox

from bduo_terminal import add_verbose
from bduo_tf import data, decouple, to_lce_graph
from bduo_tf.backend import keras
from bduo_tf.conversion.inspection import cost, expected_operators, operators
from bduo_tf.conversion.metadata import Metadata, add_metadata
from bduo_tf.conversion.tflite import convert_float32, convert_lce
from bduo_tf.data.images import INPUT_RANGE
from bduo_tf.files import replacing
from benchmarks.accuracy import (
    METHODS,
    RECIPE,
    ROWS,
    Row,
    Trial,
    add_recipe,
    build,
    by_setting,
    mean_and_error,
    read_rows,
    recipe_of,
)
from benchmarks.latency import Latency, measure, processor, runners
from benchmarks.tables import markdown

__all__ = ["Cost", "Point", "chosen", "deployed", "draw", "main"]


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a network costs."""

    binary_macs: int
    float_macs: int
    file: bytes = dataclasses.field(repr=False)

    @property
    def is_float(self) -> bool:
        """Whether there is nothing binary in it."""
        return not self.binary_macs


@dataclasses.dataclass(frozen=True)
class Point:
    """A method at a width: accuracy (percent), what it costs, and how long it takes."""

    setting: Trial
    seeds: int
    accuracy: float
    error: float
    cost: Cost
    latency: Latency


def chosen(
    rows: Iterable[Row], recipe: Mapping[str, object], methods: Sequence[str] = (), widths: Sequence[float] = ()
) -> dict[Trial, list[Row]]:
    """The test rows by setting, methods in their order and widths from the narrowest.

    Args:
        rows: of trainings.
        recipe: what the fields of their trials must be; those that are not named may be anything.
        methods: which ones; none for all.
        widths: which ones; none for all.

    Raises:
        ValueError: there are no such rows.
    """

    def differences(setting: Trial) -> list[str]:
        """The options that would have chosen a setting which these do not."""
        options = {n.replace("_", "-"): getattr(setting, n) for n, v in recipe.items() if getattr(setting, n) != v}
        if setting.method not in (methods or METHODS):
            options["methods"] = setting.method
        if widths and setting.width not in widths:
            options["widths"] = f"{setting.width:g}"
        return [f"--{name} {value}" for name, value in options.items()]

    found = by_setting(list(rows))
    fitting = [setting for setting in found if not differences(setting)]
    if not fitting:
        asked = [f"{name} {', '.join(map(str, v))}" for name, v in (("methods", methods), ("widths", widths)) if v]
        asked += [f"{name} {recipe[name]}" for name in ("network", "size", "dataset") if name in recipe]
        nearest = dict.fromkeys(" ".join(some) for some in sorted(map(differences, found), key=len))
        hint = f"there are some with {'; or with '.join(list(nearest)[:3])}" if nearest else "there are none at all"
        raise ValueError(f"no test rows with {', '.join(asked)} and this recipe: {hint}")
    order = list(METHODS)
    return {t: found[t] for t in sorted(fitting, key=lambda t: (order.index(t.method), t.width))}


def deployed(setting: Trial, channels: int, class_names: tuple[str, ...]) -> Cost:
    """The network of a setting as it is deployed, untrained.

    Raises:
        ValueError: it cannot be deployed with binary kernels.
    """
    keras.utils.set_random_seed(0)
    model = build(setting, (setting.size, setting.size, channels), len(class_names))
    _randomize(model)
    if METHODS[setting.method].decoupled:
        model = decouple(model)
    graph = to_lce_graph(model)
    file = convert_lce(graph)
    if problems := expected_operators(graph, operators(file)):
        raise ValueError("; ".join(problems))
    macs = cost(file).macs
    if 1 not in macs:
        file = convert_float32(model)
    file = add_metadata(file, Metadata(model.name, class_names, INPUT_RANGE, channels))
    return Cost(macs.get(1, 0), sum(count for bits, count in macs.items() if bits > 1), file)


def _randomize(model: keras.Model) -> None:
    """Gives batch norms statistics as after training."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape
            layer.gamma.assign(rng.uniform(0.5, 1.2, size))
            layer.beta.assign(rng.normal(0.3, 0.2, size))
            layer.moving_mean.assign(rng.normal(0.0, 0.3, size))
            layer.moving_variance.assign(rng.uniform(0.3, 1.5, size))


def _costs(settings: Iterable[Trial], dataset: str) -> tuple[dict[Trial, Cost], dict[str, str]]:
    """The cost of each setting, and the methods that cannot be deployed with the reason."""
    class_names, (*_, channels) = data.describe(dataset)
    costs, left_out = {}, {}
    for setting in settings:
        if setting.method in left_out:
            continue
        try:
            costs[setting] = deployed(setting, channels, class_names)
        except ValueError as error:
            left_out[setting.method] = str(error)
        print(f"{setting.method}, width {setting.width:g}: done", file=sys.stderr)
    return costs, left_out


def _timed(costs: Mapping[Trial, Cost], folder: Path, rounds: int) -> dict[Trial, Latency]:
    """Writes each file into the folder and runs all of them side by side."""
    running = {}
    for setting, found in costs.items():
        file = folder / f"{setting.network}-{setting.method}-{setting.width:g}.tflite"
        file.write_bytes(found.file)
        running[setting] = next(iter(runners(file).values()))
    return measure(running, rounds)


def _table(points: Sequence[Point]) -> str:
    floats = {p.setting.width: p.latency for p in points if p.cost.is_float}
    heads = ["width", "seeds", "test accuracy, %", "1-bit MACs", "32-bit MACs", "file, bytes", "ms", "ratio"]
    lines = [["", *heads]]
    for p in points:
        peer = floats.get(p.setting.width)
        lines.append([
            METHODS[p.setting.method].title, f"{p.setting.width:g}", str(p.seeds),
            f"{p.accuracy:.2f}" + (f" ± {p.error:.2f}" if p.seeds > 1 else ""),
            f"{p.cost.binary_macs:,}" if p.cost.binary_macs else "-", f"{p.cost.float_macs:,}",
            f"{len(p.cost.file):,}", f"{p.latency.median:.4f}", f"{p.latency.ratio_to(peer):.2f}" if peer else "-",
        ])  # fmt: skip
    return markdown(lines)


_COLORS = [f"C{i}" for i in range(10)] + ["navy", "gold", "black"]


def draw(points: Sequence[Point], title: str, path: Path) -> None:
    """Accuracy against multiply-accumulates, and against file size with the latency at each point."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    by_method: dict[str, list[Point]] = {}
    for point in points:
        by_method.setdefault(point.setting.method, []).append(point)
    # The best one first, as in the panels.
    methods = sorted(by_method, key=lambda method: -max(p.accuracy for p in by_method[method]))
    colors = {}
    for i, (method, some) in enumerate(by_method.items()):
        style = {"color": _COLORS[i % len(_COLORS)], "marker": "oDv^PX"[i % 6]}
        if some[0].cost.is_float:
            style = {"color": "0.35", "marker": "s", "markerfacecolor": "white", "linestyle": "--"}
        colors[method] = style["color"]
        label = METHODS[method].title + (" (32-bit MACs)" if some[0].cost.is_float else "")
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
    widths = {_xy(p, _macs): (f"width {p.setting.width:g}", colors[methods[0]]) for p in by_method[methods[0]]}
    _label(left, widths, [[(_xy(p, _macs), p.error) for p in some] for some in by_method.values()])
    decimals = max(0, 1 - math.floor(math.log10(np.median([p.latency.median for p in points]))))
    latencies = {
        _xy(p, _bytes): (f"{p.latency.median:.{decimals}f}", colors[p.setting.method])
        for p in sorted(points, key=lambda p: -p.accuracy)
    }
    _label(right, latencies, [[(_xy(p, _bytes), p.error) for p in some] for some in by_method.values()])
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _xy(point: Point, cost_of: Callable[[Point], int]) -> tuple[float, float]:
    return cost_of(point), point.accuracy


def _macs(point: Point) -> int:
    return point.cost.binary_macs or point.cost.float_macs


def _bytes(point: Point) -> int:
    return len(point.cost.file)


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


def _title(points: Sequence[Point], recipe: Mapping[str, object]) -> str:
    counts = sorted({p.seeds for p in points})
    seeds = f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else f"{counts[0]} seed{'s' * (counts[0] > 1)}"
    spread = ": mean, standard error" if counts[-1] > 1 else ""
    size, epochs = recipe["size"], recipe["epochs"]
    return f"{recipe['network']}, {recipe['dataset']} at {size}x{size}, {epochs} epochs, {seeds}{spread}"


def _notes(asked: argparse.Namespace, found: Mapping[Trial, list[Row]], left_out: Mapping[str, str]) -> list[str]:
    """What a reader of the table must know is not in it, or not as it seems."""
    notes = [f"Not deployed with binary kernels, {method}: {reason.rstrip('.')}" for method, reason in left_out.items()]
    methods, widths = {t.method for t in found}, {t.width for t in found}
    missing = [m for m in asked.methods or () if m not in methods]
    missing += [f"width {w:g}" for w in asked.widths or () if w not in widths]
    if missing:
        notes.append(f"Without test rows: {', '.join(missing)}")
    for setting, rows in found.items():
        rates = sorted({(r.trial.rate, r.trial.fine_tune_rate) for r in rows})
        if len(rates) > 1:
            pairs = "; ".join(f"{a:g}, {b:g}" for a, b in rates)
            notes.append(f"Rows of several rates in one mean, {setting.method} at width {setting.width:g}: {pairs}")
    return notes


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy_cost", description="Test accuracy beside MACs, file size and latency."
    )
    parser.add_argument("--file", type=Path, default=ROWS, help="the rows (default: docs/accuracy.csv)")
    parser.add_argument("--figure", type=Path, help="write a figure there, such as docs/results.png")
    parser.add_argument("--folder", type=Path, help="keep the .tflite files there (default: they are not kept)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, metavar="METHOD", help="default: all that have rows")
    parser.add_argument("--widths", nargs="+", type=float, help="default: all that have rows")
    parser.add_argument("--rounds", type=int, default=50, help="turns of each file, of about 20 ms (default: 50)")
    names = [name for name in RECIPE if name != "width"]
    add_recipe(parser, names)
    add_verbose(parser)
    args = parser.parse_args(argv)
    if args.rounds < 1:
        parser.error("--rounds must be at least 1")
    if args.figure and not args.figure.parent.is_dir():
        parser.error(f"--figure: {args.figure.parent} is not a folder")
    if args.figure and args.figure.suffix not in (".png", ".svg"):
        parser.error(f"--figure must end in .png or .svg, not {args.figure}")
    if not args.file.is_file():
        parser.error(f"{args.file} does not exist: run `python -m benchmarks.accuracy test` first")
    recipe = recipe_of(args, names)
    try:
        found = chosen(read_rows(args.file), recipe, args.methods or (), args.widths or ())
        costs, left_out = _costs(found, args.dataset)
    except (ValueError, data.DataError) as error:
        parser.error(str(error))
    points = []
    if costs:
        with contextlib.ExitStack() as stack:
            folder = args.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            folder.mkdir(parents=True, exist_ok=True)
            latencies = _timed(costs, folder, args.rounds)
        for setting, price in costs.items():
            mean, error_of_mean = mean_and_error([row.accuracy for row in found[setting]])
            points.append(Point(setting, len(found[setting]), mean, error_of_mean, price, latencies[setting]))
        print(f"{_title(points, recipe)}\n\n{_table(points)}\n")
        print(
            f"ms: median of {args.rounds} turns of about 20 ms, batch 1, one thread, all side by side, binary files in "
            f"bduo_runtime and float ones on LiteRT's XNNPACK; ratio: to the float network of the same width. Files "
            f"hold the class names, as convert writes them; weights are untrained. {processor()}, "
            f"{time.strftime('%Y-%m-%d')}."
        )
    for note in _notes(args, found, left_out):
        print(f"\n{note}.")
    if points and args.figure:
        draw(points, _title(points, recipe), args.figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
