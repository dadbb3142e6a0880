"""How many images a second does training take? Each form beside the same network in plain Keras float layers.

    python -m benchmarks.training_speed --network vgg7 --width 0.5 --size 28
    python -m benchmarks.training_speed --settings                   and what each setting is worth
    python -m benchmarks.training_speed --pipeline --data-dir /usr/share/datasets/fashion-mnist    and the input

Trains by `model.fit`, compiled as `python -m train` compiles, on one random batch in memory. All take turns in one
process; ratios are of neighbouring turns. Prints a table in Markdown.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bduo_terminal import add_verbose
from bduo_tf import data, decouple, networks
from bduo_tf.backend import keras, tf
from bduo_tf.runs import Recipe
from bduo_tf.training.methods import Stage
from bduo_tf.training.optimization import compile_model, optimizer
from bduo_tf.training.stages import be_deterministic
from benchmarks.latency import processor
from benchmarks.tables import markdown

__all__ = ["Entry", "main", "measure", "rows"]

_CHANNELS, _CLASSES = 3, 10
_AUGMENTATIONS = ("none", "flip", "crop_flip")
_FLOAT_COUPLED = "float, in coupled widths"
_FLOAT_BASELINE = "float, in baseline widths"
_FASTEST = "the fastest network"


@dataclass(frozen=True)
class Entry:
    """One line of the table.

    Attributes:
        name: of the line.
        run: trains for one turn and returns images a second.
        against: the name of the entry that this one is compared with, or `_FASTEST`; None for none.
        goal: the ratio to that entry which it should reach.
    """

    name: str
    run: Callable[[], float]
    against: str | None = None
    goal: float | None = None


class _Clock(keras.callbacks.Callback):
    """Takes the time of an epoch's steps, without what `fit` does before and after them."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self._now = now

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._start = self._now()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds = self._now() - self._start


@dataclass(frozen=True)
class _Bench:
    """What is measured and how, as the command line says.

    Attributes:
        network: a key of `bduo_tf.networks.NETWORKS`.
        width: multiplies the paper's channels of each form.
        size: of the images, in pixels.
        batch: number of images in a step.
        steps: number of steps in a turn.
        now: tells the time in seconds.
    """

    network: str
    width: float
    size: int
    batch: int
    steps: int
    now: Callable[[], float] = time.perf_counter

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.size, self.size, _CHANNELS

    def widths(self, form: Literal["coupled", "baseline"]) -> tuple[int, ...]:
        """The channels of the coupled or the baseline form."""
        return networks.paper_widths(self.network, form, self.width)

    def model(self, form: str, widths: Sequence[int]) -> keras.Model:
        """A network of a form of `bduo_tf.networks`, or a "decoupled" one."""
        coupled = "coupled" if form == "decoupled" else form
        model = networks.NETWORKS[self.network](self.shape, _CLASSES, form=coupled, widths=widths)
        return decouple(model) if form == "decoupled" else model

    def training(self, model: keras.Model, **settings: Any) -> Callable[[], float]:
        """A function that trains for one turn.

        Args:
            model: to train.
            **settings: arguments of `model.compile` in place of the project's.
        """
        stage = Stage("coupled", 1, 1e-3)
        compile_model(model, lambda: optimizer(Recipe(), stage, 10**6))
        if settings:
            # steps_per_execution is the one that compile would otherwise forget.
            kept = {"steps_per_execution": int(model._steps_per_execution.numpy())}
            model.compile(model.optimizer, model.loss, metrics=["accuracy"], **{**kept, **settings})
        rng = np.random.default_rng(0)
        images = rng.uniform(-1, 1, (self.batch, *self.shape)).astype(np.float32)
        batches = tf.data.Dataset.from_tensors((images, rng.integers(0, _CLASSES, self.batch))).repeat()
        clock = _Clock(self.now)

        def turn() -> float:
            model.fit(batches, steps_per_epoch=self.steps, verbose=0, callbacks=[clock])
            return self.steps * self.batch / clock.seconds

        return turn


def _forms(bench: _Bench) -> list[Entry]:
    coupled, baseline = bench.widths("coupled"), bench.widths("baseline")

    def entry(name: str, form: str, widths: Sequence[int], *against: Any) -> Entry:
        return Entry(name, bench.training(bench.model(form, widths)), *against)

    return [
        entry(_FLOAT_COUPLED, "float", coupled),
        entry("coupled", "coupled", coupled, _FLOAT_COUPLED, 0.9),
        entry("decoupled", "decoupled", coupled, _FLOAT_COUPLED, 0.6),
        entry(_FLOAT_BASELINE, "float", baseline),
        entry("binary baseline", "baseline", baseline, _FLOAT_BASELINE),
    ]


def _settings(bench: _Bench) -> list[Entry]:
    """Each form that is trained in two stages, with one setting changed, against itself as it is by default."""
    build = networks.NETWORKS[bench.network]
    coupled, baseline = bench.widths("coupled"), bench.widths("baseline")
    fours = networks.duo_widths(build, baseline, multiple_of=4, input_shape=bench.shape, classes=_CLASSES)
    entries = []
    for form in ("coupled", "decoupled"):
        run = bench.training(bench.model(form, coupled), steps_per_execution=1)
        entries.append(Entry(f"{form}, steps_per_execution=1", run, form))
        run = bench.training(bench.model(form, coupled), jit_compile=True)
        entries.append(Entry(f"{form}, jit_compile=True (XLA)", run, form))
        mixed = _mixed_precision(bench.model(form, coupled))
        entries.append(Entry(f"{form}, mixed_bfloat16", bench.training(mixed), form))
        widths = f"{form}, widths {', '.join(map(str, fours))}"
        entries.append(Entry(widths, bench.training(bench.model(form, fours)), form))
    return entries


def _mixed_precision(model: keras.Model) -> keras.Model:
    """The same layers under Keras' policy mixed_bfloat16: variables in float32, thresholds too.

    Quantizers are layers inside of layers, with a policy of their own: those that stay in float32 do not fit.
    """

    def mixed(config: Any) -> Any:
        if isinstance(config, list):
            return [mixed(one) for one in config]
        if not isinstance(config, dict):
            return config
        return {key: "mixed_bfloat16" if key == "dtype" else mixed(value) for key, value in config.items()}

    return keras.models.clone_model(
        model, clone_function=lambda layer: type(layer).from_config(mixed(layer.get_config()))
    )


def _pipelines(bench: _Bench, dataset: data.Dataset) -> list[Entry]:
    """Batches as training gets them, read and thrown away."""

    def reading(augmentation: str) -> Callable[[], float]:
        # Shuffling first fills its buffer: one iterator for all turns, each of which goes on where the last was.
        batches = iter(data.train_batches(dataset, bench.batch, seed=0, epochs=10**6, augmentation=augmentation))

        def turn() -> float:
            start = bench.now()
            read = sum(len(next(batches)[1]) for _ in range(bench.steps))
            return read / (bench.now() - start)

        return turn

    return [Entry(f"input, {dataset.name}, augmentation {a}", reading(a), _FASTEST) for a in _AUGMENTATIONS]


def measure(entries: Sequence[Entry], rounds: int) -> dict[str, np.ndarray]:
    """Images a second of each entry in every round, after one turn of each to warm up.

    Entries that TensorFlow cannot run are missing, and the reason is on the standard error.
    """
    running = []
    for entry in entries:
        try:
            entry.run()
        except tf.errors.OpError as e:
            print(f"{entry.name}: does not run: {e.message}", file=sys.stderr)
            continue
        running.append(entry)
        print(f"{entry.name}: ready", file=sys.stderr)
    turns = [[entry.run() for entry in running] for _ in range(rounds)]
    return dict(zip((entry.name for entry in running), np.array(turns).T, strict=True))


def rows(entries: Sequence[Entry], speeds: dict[str, np.ndarray]) -> list[list[str]]:
    """The cells of the table, its head first."""
    networks_only = [e.name for e in entries if e.against != _FASTEST and e.name in speeds]
    fastest = max(networks_only, key=lambda name: np.median(speeds[name]))
    cells = [["", "images/s", "ratio", "middle half", "to", "goal"]]
    for entry in entries:
        row = [entry.name, "does not run", "-", "-", "-", "-"]
        cells.append(row)
        if entry.name not in speeds:
            continue
        row[1] = f"{np.median(speeds[entry.name]):,.0f}"
        if entry.against is not None:
            against = fastest if entry.against == _FASTEST else entry.against
            ratios = speeds[entry.name] / speeds[against]
            low, median, high = np.percentile(ratios, [25, 50, 75])
            row[2:5] = [f"{median:.2f}", f"{low:.2f} to {high:.2f}", against]
            if entry.goal is not None:
                row[5] = f"{entry.goal}, {'met' if median >= entry.goal else 'missed'}"
    return cells


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training_speed", description="Images a second of training, form beside form."
    )
    parser.add_argument("--network", choices=sorted(networks.NETWORKS), default="vgg7", help="(default: vgg7)")
    parser.add_argument(
        "--width", type=float, default=0.5, help="multiplies the paper's channels of each form (default: 0.5)"
    )
    parser.add_argument("--size", type=int, default=28, help="of the images, in pixels (default: 28)")
    parser.add_argument("--batch", type=int, default=128, help="images a step (default: 128)")
    parser.add_argument("--threads", type=int, help="of TensorFlow (default: one a core)")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each (default: 15)")
    parser.add_argument("--steps", type=int, default=16, help="of a turn (default: 16)")
    parser.add_argument("--settings", action="store_true", help="also what each setting is worth")
    parser.add_argument("--pipeline", action="store_true", help="also the input alone: digits, or of --data-dir")
    parser.add_argument("--data-dir", type=Path, help="Fashion-MNIST's folder of IDX files")
    parser.add_argument(
        "--nondeterministic", action="store_true", help="not as in training: any order of sums, which XLA may need"
    )
    parser.add_argument(
        "--cpu-time", action="store_true", help="seconds of the processor, not of the clock, where others use it too"
    )
    add_verbose(parser)
    args = parser.parse_args(argv)
    if min(args.batch, args.rounds, args.steps, args.threads or 1) < 1 or args.width <= 0:
        parser.error("--batch, --rounds, --steps and --threads must be at least 1, --width more than 0")
    if args.threads:
        tf.config.threading.set_intra_op_parallelism_threads(args.threads)
        tf.config.threading.set_inter_op_parallelism_threads(args.threads)
    if args.nondeterministic:
        keras.utils.set_random_seed(0)
    else:
        be_deterministic(0)

    now = time.process_time if args.cpu_time else time.perf_counter
    bench = _Bench(args.network, args.width, args.size, args.batch, args.steps, now)
    try:
        entries = _forms(bench) + (_settings(bench) if args.settings else [])
        if args.pipeline:
            name = "fashion_mnist" if args.data_dir else "digits"
            dataset = data.load(name, (args.size, args.size), args.data_dir)
            entries += _pipelines(bench, dataset)
    except (ValueError, data.DataError) as e:  # a network that is too small, a folder that holds no such files
        parser.error(str(e))
    print(markdown(rows(entries, measure(entries, args.rounds))))
    threads = f"{args.threads or 'all'} threads" + (", nondeterministic" if args.nondeterministic else "")
    threads += ", seconds of processor time" if args.cpu_time else ""
    print(
        f"\n{args.network} of width {args.width:g}, {args.size}x{args.size}x{_CHANNELS}, batches of {args.batch}, "
        f"{threads}; images/s: median of {args.rounds} turns of {args.steps} steps; ratio: median over neighbouring "
        f"turns, and half of them are within the range. {processor()}, {time.strftime('%Y-%m-%d')}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
