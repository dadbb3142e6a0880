"""What does an accuracy cost on the device? The trainings of `benchmarks.accuracy` beside size and speed.

    python -m benchmarks.accuracy.cost                                  a table of all methods and widths tested so far
    python -m benchmarks.accuracy.cost --figure docs/results.png        and a figure
    python -m benchmarks.accuracy.cost --methods duo baseline float --network resnet18 --image-size 32

Takes the mean test accuracy over the seeds of docs/accuracy.csv, builds each network as its method builds it, decouples
it where the method does, and converts it as `python -m convert` does: with binary kernels, or a float network as
`convert --float`. The options of a recipe choose the rows; all widths that have rows are taken. Methods that cannot be
deployed so are named with the reason. Weights are untrained, since MACs, size and speed do not depend on their values.
The figure is easily read with six methods, hardly with twelve: see --methods.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bduo_terminal import add_verbose
from bduo_tf import data
from bduo_tf.runs import Settings
from bduo_tf.training.methods import METHODS
from benchmarks.accuracy.cli import add_variant, variant_of
from benchmarks.accuracy.deployed import Deployed, Point, deployed
from benchmarks.accuracy.figure import draw
from benchmarks.accuracy.rows import ROWS, Row, read_rows
from benchmarks.accuracy.selection import by_variant, epochs, mean_and_error, rates
from benchmarks.latency import Latency, measure, processor, runners
from benchmarks.tables import markdown
from train.options import option

__all__ = ["chosen", "main"]

_ANY = ("width", "learning_rate", "fine_tune_learning_rate", "method", "seed", "validation", "data_dir")


def chosen(
    rows: Iterable[Row], wanted: Settings, methods: Sequence[str] = (), widths: Sequence[float] = ()
) -> dict[Settings, list[Row]]:
    """The test rows by variant, methods in their order and widths from the narrowest.

    Args:
        rows: of trainings.
        wanted: the settings that they must have, but for method, width, seed and rates, and what a method settles.
        methods: which ones; none for all.
        widths: which ones; none for all.

    Raises:
        ValueError: there are no such rows.
    """

    def differences(settings: Settings) -> list[str]:
        """The options that would have chosen these settings, which those of the command do not."""
        free, values = {*_ANY, *METHODS[settings.method].recipe}, wanted.values()
        found = {n: v for n, v in settings.values().items() if n not in free and v != values[n]}
        if settings.method not in (methods or METHODS):
            found["methods"] = settings.method
        if widths and settings.recipe.width not in widths:
            found["widths"] = f"{settings.recipe.width:g}"
        return [f"{_option(name)} {_shown(value)}" for name, value in found.items()]

    found = by_variant(rows)
    fitting = [settings for settings in found if not differences(settings)]
    if not fitting:
        asked = [f"{name} {', '.join(map(str, v))}" for name, v in (("methods", methods), ("widths", widths)) if v]
        asked += [
            f"network {wanted.network}",
            f"image size {_shown(wanted.recipe.image_size)}",
            f"dataset {wanted.dataset}",
        ]
        nearest = dict.fromkeys(" ".join(some) for some in sorted(map(differences, found), key=len))
        hint = f"there are some with {'; or with '.join(list(nearest)[:3])}" if nearest else "there are none at all"
        raise ValueError(f"no test rows with {', '.join(asked)} and this recipe: {hint}")
    order = list(METHODS)
    return {s: found[s] for s in sorted(fitting, key=lambda s: (order.index(s.method), s.recipe.width))}


def _option(name: str) -> str:
    return "--network" if name == "network" else option(name)


def _shown(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _deployed(variants: Iterable[Settings], dataset: str) -> tuple[dict[Settings, Deployed], dict[str, str]]:
    """Each variant as it is deployed, and the methods that cannot be deployed with the reason."""
    class_names, (*_, channels) = data.describe(dataset)
    networks, left_out = {}, {}
    for settings in variants:
        if settings.method in left_out:
            continue
        try:
            networks[settings] = deployed(settings, channels, class_names)
        except ValueError as error:
            left_out[settings.method] = str(error)
        print(f"{settings.method}, width {settings.recipe.width:g}: done", file=sys.stderr)
    return networks, left_out


def _timed(networks: Mapping[Settings, Deployed], folder: Path, rounds: int) -> dict[Settings, Latency]:
    """Writes each file into the folder and runs all of them side by side."""
    running = {}
    for settings, network in networks.items():
        file = folder / f"{settings.network}-{settings.method}-{settings.recipe.width:g}.tflite"
        file.write_bytes(network.file)
        running[settings] = next(iter(runners(file).values()))
    return measure(running, rounds)


def _table(points: Sequence[Point]) -> str:
    floats = {p.settings.recipe.width: p.latency for p in points if p.deployed.is_float}
    heads = ["width", "seeds", "test accuracy, %", "1-bit MACs", "32-bit MACs", "file, bytes", "ms", "ratio"]
    lines = [["", *heads]]
    for p in points:
        peer, binary = floats.get(p.settings.recipe.width), p.deployed.binary_macs
        lines.append([
            METHODS[p.settings.method].title, f"{p.settings.recipe.width:g}", str(p.seeds),
            f"{p.accuracy:.2f}" + (f" ± {p.error:.2f}" if p.seeds > 1 else ""),
            f"{binary:,}" if binary else "-", f"{p.deployed.float_macs:,}",
            f"{len(p.deployed.file):,}", f"{p.latency.median:.4f}", f"{p.latency.ratio_to(peer):.2f}" if peer else "-",
        ])  # fmt: skip
    return markdown(lines)


def _title(points: Sequence[Point]) -> str:
    counts = sorted({p.seeds for p in points})
    seeds = f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else f"{counts[0]} seed{'s' * (counts[0] > 1)}"
    spread = ": mean, standard error" if counts[-1] > 1 else ""
    some = points[0].settings
    size = _shown(some.recipe.image_size)
    return f"{some.network}, {some.dataset} at {size}, {epochs(some)} epochs, {seeds}{spread}"


def _notes(asked: argparse.Namespace, found: Mapping[Settings, list[Row]], left_out: Mapping[str, str]) -> list[str]:
    """What is not in the table, or not as it seems there."""
    notes = [f"Not deployed with binary kernels, {method}: {reason.rstrip('.')}" for method, reason in left_out.items()]
    methods, widths = {s.method for s in found}, {s.recipe.width for s in found}
    missing = [m for m in asked.methods or () if m not in methods]
    missing += [f"width {w:g}" for w in asked.widths or () if w not in widths]
    if missing:
        notes.append(f"Without test rows: {', '.join(missing)}")
    for settings, rows in found.items():
        several = sorted({rates(r.settings) for r in rows})
        if len(several) > 1:
            shown = "; ".join(", ".join(f"{rate:g}" for rate in some) for some in several)
            width = f"{settings.recipe.width:g}"
            notes.append(f"Rows of several rates in one mean, {settings.method} at width {width}: {shown}")
    return notes


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.cost", description="Test accuracy beside MACs, file size and latency."
    )
    parser.add_argument("--file", type=Path, default=ROWS, help="the rows (default: docs/accuracy.csv)")
    parser.add_argument("--figure", type=Path, help="write a figure there, such as docs/results.png")
    parser.add_argument("--folder", type=Path, help="keep the .tflite files there (default: they are not kept)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, metavar="METHOD", help="default: all that have rows")
    parser.add_argument("--widths", nargs="+", type=float, help="default: all that have rows")
    parser.add_argument("--rounds", type=int, default=50, help="turns of each file, of about 20 ms (default: 50)")
    add_variant(parser, leave_out=("width",))
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
    try:
        # BinaryDuo in pairs, since that method leaves every option free.
        found = chosen(read_rows(args.file), variant_of(args, "duo"), args.methods or (), args.widths or ())
        networks, left_out = _deployed(found, args.dataset)
    except (ValueError, data.DataError) as error:
        parser.error(str(error))
    points = []
    if networks:
        with contextlib.ExitStack() as stack:
            folder = args.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            folder.mkdir(parents=True, exist_ok=True)
            latencies = _timed(networks, folder, args.rounds)
        for settings, network in networks.items():
            mean, error_of_mean = mean_and_error([row.accuracy for row in found[settings]])
            points.append(Point(settings, len(found[settings]), mean, error_of_mean, network, latencies[settings]))
        print(f"{_title(points)}\n\n{_table(points)}\n")
        print(
            f"ms: median of {args.rounds} turns of about 20 ms, batch 1, one thread, all side by side, binary files in "
            f"bduo_runtime and float ones on LiteRT's XNNPACK; ratio: to the float network of the same width. Files "
            f"hold the class names, as convert writes them; weights are untrained. {processor()}, "
            f"{time.strftime('%Y-%m-%d')}."
        )
    for note in _notes(args, found, left_out):
        print(f"\n{note}.")
    if points and args.figure:
        draw(points, _title(points), args.figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
