"""Does BinaryDuo beat what it is compared with, at equal weights, multiply-adds and epochs? Many trainings, a row each.

python -m benchmarks.accuracy search --data-dir /usr/share/datasets/fashion-mnist  # rates, on a validation split
python -m benchmarks.accuracy test --data-dir /usr/share/datasets/fashion-mnist    # the best ones, on the test images
python -m benchmarks.accuracy table                                                # what there is so far

Rows are kept in docs/accuracy.csv: a command that was stopped continues with the rows that are missing; to train some
again, delete their rows. `--methods`, `--seeds` and the sizes choose a subset.
"""

import argparse
import csv
import dataclasses
import functools
import importlib
import itertools
import logging
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables import markdown

__all__ = ["METHODS", "Row", "Trial", "best_rates", "main", "mean_and_error", "read_rows", "train"]

_FILE = Path(__file__).parents[1] / "docs" / "accuracy.csv"
_VALIDATION = 0.1  # of the training images, for the search
_RATES = (3e-3, 1e-2, 3e-2)


@dataclass(frozen=True)
class Method:
    """A way to train a network.

    Attributes:
        title: for tables.
        build: network name, shape, classes, width -> the model to train first.
        fine_tuned: whether there is a second stage.
        decoupled: whether the model is decoupled before the second stage.
    """

    title: str
    build: Callable[..., Any]
    fine_tuned: bool = False
    decoupled: bool = False


def _network(name: str, shape: tuple[int, int, int], classes: int, width: float, **options: Any) -> Any:
    from bduo_tf import networks

    return networks.NETWORKS[name](shape, classes, width=width, **options)


def _form(form: str, **options: Any) -> Callable[..., Any]:
    return functools.partial(_network, form=form, **options)


def _decoupled(*arguments: Any) -> Any:
    """The decoupled network, as it is before any training."""
    from bduo_tf import decouple

    return decouple(_network(*arguments, form="coupled"))


def _triples(name: str, shape: tuple[int, int, int], classes: int, width: float) -> Any:
    """Coupled triples, in widths for which the decoupled network weighs what the baseline weighs."""
    from bduo_tf import networks

    module = importlib.import_module(f"bduo_tf.networks.{name.removesuffix('_block')}")
    baseline = [max(1, round(w * width)) for w in module.BASELINE_WIDTHS]
    network = networks.NETWORKS[name]
    widths = networks.duo_widths(network, baseline, levels=3, input_shape=shape, classes=classes)
    return network(shape, classes, form="coupled", levels=3, widths=widths)


def _replacing(**quantizers: Any) -> Callable[..., Any]:
    """The binary baseline with other options in the layers that have quantizers."""

    def build(*arguments: Any) -> Any:
        import larq as lq

        from bduo_tf._keras import keras

        def replaced(layer: Any) -> Any:
            config = layer.get_config()
            if isinstance(layer, lq.layers.QuantConv2D) and layer.input_quantizer is not None:
                config |= {name: value() if callable(value) else value for name, value in quantizers.items()}
            return type(layer).from_config(config)

        return keras.models.clone_model(_network(*arguments, form="baseline"), clone_function=replaced)

    return build


def _signs(activation: str) -> Callable[..., Any]:
    """A network as Larq's documentation builds them: +1 and -1, padded with +1, latent weights clipped."""
    return _replacing(
        input_quantizer=activation, kernel_quantizer="ste_sign", kernel_constraint="weight_clip", pad_values=1.0
    )


def _dorefa(mode: str) -> Any:
    import larq as lq

    return lq.quantizers.DoReFa(k_bit=1, mode=mode)


METHODS = {
    "duo": Method("BinaryDuo, coupled pairs", _form("coupled"), fine_tuned=True, decoupled=True),
    "duo3": Method("BinaryDuo, coupled triples", _triples, fine_tuned=True, decoupled=True),
    "baseline": Method("binary step", _form("baseline")),
    "restarted": Method("binary step, restarted as BinaryDuo is", _form("baseline"), fine_tuned=True),
    "scratch": Method("BinaryDuo's decoupled network from scratch", _decoupled),
    "coupled": Method("coupled alone (half the weights, ternary)", _form("coupled")),
    "xnor": Method("binary step, a scale a channel (XNOR-Net)", _form("baseline", per_channel=True)),
    "ste_sign": Method("Larq, ste_sign", _signs("ste_sign")),
    "approx_sign": Method("Larq, approx_sign (Bi-Real Net)", _signs("approx_sign")),
    "swish_sign": Method("Larq, swish_sign (BNN+)", _signs("swish_sign")),
    "dorefa": Method(
        "DoReFa, one bit",
        _replacing(
            input_quantizer=functools.partial(_dorefa, "activations"),
            kernel_quantizer=functools.partial(_dorefa, "weights"),
        ),
    ),
    "float": Method("float", _form("float")),
    "duo_float_weights": Method(
        "BinaryDuo, float weights", _form("coupled", binary_weights=False), fine_tuned=True, decoupled=True
    ),
    "baseline_float_weights": Method("binary step, float weights", _form("baseline", binary_weights=False)),
}
"""What is compared, by name."""


@dataclass(frozen=True)
class Trial:
    """All that determines a training."""

    method: str
    seed: int
    split: str  # "validation": part of the training images, or "test"
    rate: float
    fine_tune_rate: float  # 0 where there is no second stage
    network: str = "vgg7"
    width: float = 0.25
    size: int = 20
    epochs: int = 10
    first_epochs: int = 6  # of them, before the second stage
    batch: int = 64
    dataset: str = "fashion_mnist"


@dataclass(frozen=True)
class Row:
    """A training and what came of it; accuracies in percent."""

    trial: Trial
    accuracy: float
    first_accuracy: float  # before the second stage; equal where there is none
    parameters: int
    seconds: float


_FIELDS = [f.name for f in dataclasses.fields(Trial)] + [f.name for f in dataclasses.fields(Row)][1:]


def train(trial: Trial, data_dir: str | None) -> Row:
    """Trains and evaluates; a minute or more."""
    import data
    from bduo_tf import decouple
    from bduo_tf._keras import keras
    from train.recipe import Recipe
    from train.settings import Stage
    from train.stages import optimizer

    # Its advice on kernel constraints is for gradients that are clipped; ScaledSign's is not.
    logging.getLogger("larq.layers_base").setLevel(logging.ERROR)
    start = time.perf_counter()
    keras.utils.set_random_seed(trial.seed)
    validation = _VALIDATION if trial.split == "validation" else 0.0
    dataset = data.load(trial.dataset, (trial.size, trial.size), data_dir, validation=validation)
    method = METHODS[trial.method]
    model = method.build(trial.network, dataset.input_shape, len(dataset.class_names), trial.width)

    def fit(model: Any, epochs: int, rate: float, seed: int) -> float:
        steps = data.steps_per_epoch(dataset, trial.batch)
        model.compile(
            optimizer(Recipe(), Stage("accuracy", epochs, rate), steps * epochs),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        batches = data.train_batches(dataset, trial.batch, seed=seed, epochs=epochs)
        model.fit(batches, epochs=epochs, steps_per_epoch=steps, verbose=0)
        return 100 * model.evaluate(data.test_batches(dataset, 256), verbose=0)[1]

    first = trial.first_epochs if method.fine_tuned else trial.epochs
    first_accuracy = accuracy = fit(model, first, trial.rate, trial.seed)
    if method.fine_tuned:
        model = decouple(model) if method.decoupled else model
        accuracy = fit(model, trial.epochs - first, trial.fine_tune_rate, trial.seed + 1000)
    parameters = sum(int(np.prod(w.shape)) for w in model.weights if "kernel" in w.name)
    return Row(trial, round(accuracy, 2), round(first_accuracy, 2), parameters, round(time.perf_counter() - start, 1))


def read_rows(file: Path) -> list[Row]:
    """The rows of a file, none if it does not exist."""
    if not file.exists():
        return []
    kinds = {f.name: f.type for kind in (Trial, Row) for f in dataclasses.fields(kind)}
    with file.open(newline="") as stream:
        rows = [{k: kinds[k](v) for k, v in row.items()} for row in csv.DictReader(stream)]  # type: ignore[operator]
    names = {f.name for f in dataclasses.fields(Trial)}
    return [
        Row(Trial(**{k: v for k, v in row.items() if k in names}), **{k: v for k, v in row.items() if k not in names})
        for row in rows
    ]


def _write_rows(file: Path, rows: Iterable[Row]) -> None:
    from data.files import replacing

    with replacing(file) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, _FIELDS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            values = dataclasses.asdict(row)
            writer.writerow({**values.pop("trial"), **values})


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error (0 of one value)."""
    error = float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0
    return float(np.mean(values)), error


def _setting(trial: Trial) -> Trial:
    """What stays of a trial when only its method and sizes count."""
    return dataclasses.replace(trial, seed=0, split="", rate=0.0, fine_tune_rate=0.0)


def best_rates(rows: Iterable[Row], setting: Trial) -> tuple[float, float] | None:
    """The rates with the highest mean validation accuracy, of a method and sizes; None if none were tried."""
    found: dict[tuple[float, float], list[float]] = {}
    for row in rows:
        if row.trial.split == "validation" and _setting(row.trial) == setting:
            found.setdefault((row.trial.rate, row.trial.fine_tune_rate), []).append(row.accuracy)
    return max(found, key=lambda rates: float(np.mean(found[rates]))) if found else None


def _searched(settings: Sequence[Trial], seeds: Sequence[int]) -> list[Trial]:
    return [
        dataclasses.replace(setting, seed=seed, split="validation", rate=rate, fine_tune_rate=fine)
        for seed, setting in itertools.product(seeds, settings)
        for rate, fine in itertools.product(_RATES, _RATES if METHODS[setting.method].fine_tuned else (0.0,))
    ]


def _tested(settings: Sequence[Trial], seeds: Sequence[int], rows: Sequence[Row]) -> list[Trial]:
    trials = []
    for seed, setting in itertools.product(seeds, settings):
        rates = best_rates(rows, setting)
        if rates is None:
            raise SystemExit(f"error: no rates were searched for {setting.method} with these sizes: run `search` first")
        trials.append(dataclasses.replace(setting, seed=seed, split="test", rate=rates[0], fine_tune_rate=rates[1]))
    return trials


def _run(trials: Sequence[Trial], data_dir: str | None, file: Path, jobs: int) -> None:
    rows = read_rows(file)
    missing = [t for t in trials if t not in {row.trial for row in rows}]
    print(f"{len(trials)} trainings, {len(missing)} of them still to do, {jobs} at a time", flush=True)
    # A process each, so that none inherits another's memory or random state; one thread each is the fastest in sum.
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=1) as pool:
        for row in pool.imap_unordered(functools.partial(train, data_dir=data_dir), missing):
            rows = [*read_rows(file), row]
            _write_rows(file, rows)
            t = row.trial
            rates = f"{t.rate:g}" + (f" / {t.fine_tune_rate:g}" if t.fine_tune_rate else "")
            print(
                f"{t.method:24} seed {t.seed}  {t.split:10} {rates:14} {row.accuracy:.2f}  {row.seconds:.0f} s",
                flush=True,
            )


def _table(rows: Sequence[Row], settings: Sequence[Trial]) -> str:
    lines = [["", "seeds", "accuracy", "before fine-tuning", "weights", "rates", "minutes a run"]]
    for setting in settings:
        method = METHODS[setting.method]
        found = [row for row in rows if row.trial.split == "test" and _setting(row.trial) == setting]
        if not found:
            continue
        cells = []
        for values in ([r.accuracy for r in found], [r.first_accuracy for r in found]):
            mean, error = mean_and_error(values)
            cells.append(f"{mean:.2f} ± {error:.2f}")
        rates = sorted({(r.trial.rate, r.trial.fine_tune_rate) for r in found})
        lines.append([
            method.title, str(len(found)), cells[0], cells[1] if method.fine_tuned else "", f"{found[0].parameters:,}",
            "; ".join(f"{a:g}" + (f", {b:g}" if b else "") for a, b in rates),
            f"{np.mean([r.seconds for r in found]) / 60:.1f}",
        ])  # fmt: skip
    return markdown(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    base = Trial("", 0, "", 0.0, 0.0)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description="Compares ways to train.")
    parser.add_argument("step", choices=("search", "test", "table"), help="choose rates, train with them, or show")
    parser.add_argument("--data-dir", help="the folder of the IDX files, or TFDS'")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--seeds", nargs="+", type=int, help="default: 0 to search, 0 1 2 to test")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="trainings at a time (default: the cores)")
    parser.add_argument("--file", type=Path, default=_FILE, help="the rows (default: docs/accuracy.csv)")
    for name in ("network", "width", "size", "epochs", "first_epochs", "batch", "dataset"):
        default = getattr(base, name)
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=type(default), default=default, help=f"default {default}"
        )
    args = parser.parse_args(argv)
    if not 0 < args.first_epochs < args.epochs:
        parser.error(f"--first-epochs must be from 1 to --epochs - 1, not {args.first_epochs}")
    sizes = {f.name: getattr(args, f.name) for f in dataclasses.fields(Trial) if hasattr(args, f.name)}
    settings = [Trial(method, 0, "", 0.0, 0.0, **sizes) for method in args.methods]
    rows = read_rows(args.file)
    if args.step == "table":
        print(_table(rows, settings))
        return 0
    if args.step == "search":
        trials = _searched(settings, args.seeds or [0])
    else:
        trials = _tested(settings, args.seeds or [0, 1, 2], rows)
    _run(trials, args.data_dir, args.file, args.jobs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
