"""Does BinaryDuo beat what it is compared with, at equal weights, multiply-adds and epochs? Many trainings, a row each.

python -m benchmarks.accuracy search --data-dir /usr/share/datasets/fashion-mnist  # rates, on a validation split
python -m benchmarks.accuracy test --data-dir /usr/share/datasets/fashion-mnist    # the best ones, on the test images
python -m benchmarks.accuracy table --split validation                             # what the search found
python -m benchmarks.accuracy table                                                # what the test found, so far

Rows are kept in docs/accuracy.csv: a command that was stopped continues with the rows that are missing; to train some
again, delete their rows. `--methods`, `--seeds` and the options of a recipe choose what is trained.
"""

import argparse
import csv
import dataclasses
import functools
import itertools
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

from bduo_terminal import add_verbose
from benchmarks.tables import markdown

__all__ = [
    "METHODS",
    "RECIPE",
    "ROWS",
    "Row",
    "Trial",
    "add_recipe",
    "best_rates",
    "build",
    "by_setting",
    "main",
    "mean_and_error",
    "read_rows",
    "recipe_of",
    "train",
]

ROWS = Path(__file__).parents[1] / "docs" / "accuracy.csv"
"""The rows of all trainings so far."""

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


def _coupled(
    name: str, shape: tuple[int, int, int], classes: int, width: float, levels: int = 2, **options: Any
) -> Any:
    """A coupled network whose decoupled one weighs what the baseline of that width weighs, or a little less."""
    from bduo_tf import networks

    network, baseline = networks.NETWORKS[name], networks.paper_widths(name, "baseline", width)
    widths = networks.duo_widths(network, baseline, levels=levels, input_shape=shape, classes=classes)
    return network(shape, classes, form="coupled", levels=levels, widths=widths, **options)


def _decoupled(*arguments: Any, **options: Any) -> Any:
    """The decoupled network, as it is before any training."""
    from bduo_tf import decouple

    return decouple(_coupled(*arguments, **options))


def _replacing(**quantizers: Any) -> Callable[..., Any]:
    """The binary baseline with other options in the layers that have quantizers."""

    def build(*arguments: Any, **options: Any) -> Any:
        from bduo_tf.backend import keras, lq

        def replaced(layer: Any) -> Any:
            config = layer.get_config()
            if isinstance(layer, lq.layers.QuantConv2D) and layer.input_quantizer is not None:
                config |= {name: value() if callable(value) else value for name, value in quantizers.items()}
            return type(layer).from_config(config)

        return keras.models.clone_model(_network(*arguments, form="baseline", **options), clone_function=replaced)

    return build


def _signs(activation: str) -> Callable[..., Any]:
    """A network as Larq's documentation builds them: +1 and -1, padded with +1, latent weights clipped."""
    return _replacing(
        input_quantizer=activation, kernel_quantizer="ste_sign", kernel_constraint="weight_clip", pad_values=1.0
    )


def _dorefa(mode: str) -> Any:
    from bduo_tf.backend import lq

    return lq.quantizers.DoReFa(k_bit=1, mode=mode)


METHODS = {
    "duo": Method("BinaryDuo, coupled pairs", _coupled, fine_tuned=True, decoupled=True),
    "duo3": Method(
        "BinaryDuo, coupled triples", functools.partial(_coupled, levels=3), fine_tuned=True, decoupled=True
    ),
    "baseline": Method("binary step", _form("baseline")),
    "restarted": Method("binary step, restarted as BinaryDuo is", _form("baseline"), fine_tuned=True),
    "scratch": Method("BinaryDuo's decoupled network from scratch", _decoupled),
    "scratch3": Method("the same, decoupled from triples", functools.partial(_decoupled, levels=3)),
    "coupled": Method("coupled alone (half the weights, ternary)", _coupled),
    "duo_xnor": Method(
        "BinaryDuo, a scale a channel", functools.partial(_coupled, per_channel=True), fine_tuned=True, decoupled=True
    ),
    "scratch_xnor": Method(
        "BinaryDuo's decoupled network from scratch, a scale a channel", functools.partial(_decoupled, per_channel=True)
    ),
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
        "BinaryDuo, float weights",
        functools.partial(_coupled, binary_weights=False),
        fine_tuned=True,
        decoupled=True,
    ),
    "baseline_float_weights": Method("binary step, float weights", _form("baseline", binary_weights=False)),
}
"""What is compared, by name."""


@dataclass(frozen=True)
class Trial:
    """All that determines a training.

    Attributes:
        method: a key of `METHODS`.
        seed: of the weights and the order of the images.
        split: what is evaluated on: "validation", part of the training images, or "test".
        rate: the learning rate at the start.
        fine_tune_rate: the same of the second stage; 0 where there is none.
        network: a key of `bduo_tf.networks.NETWORKS`.
        width: multiplies the baseline's channels.
        size: pixels, in both directions.
        epochs: of both stages together.
        first_epochs: of them, before the second stage.
        batch: images a step.
        dataset: for `data.load`.
        optimizer: "adam", or "bop": Larq's for the binary kernels, Adam for what is float.
        schedule: "restart": a cosine to 0 in each stage; "continued": one over both stages.
        decay: decoupled weight decay of the kernels.
        clip: latent kernels of quantized layers stay within +-clip; 0: anywhere.
        transfer: how much of a label, in fine-tuning, is what the network of the first stage says.
        norms: 1: batch normalization's statistics are taken over all training images after each stage.
        gradient: the activations' backward pass, a key of `bduo_tf.quantizers.GRADIENTS`.
        bop_threshold: of Bop, what the mean of a weight's gradients must exceed to flip it.
        bop_gamma: of Bop, the part that the newest gradient has in that mean.
    """

    method: str
    seed: int
    split: str
    rate: float
    fine_tune_rate: float
    network: str = "vgg7"
    width: float = 0.25
    size: int = 20
    epochs: int = 10
    first_epochs: int = 6
    batch: int = 64
    dataset: str = "fashion_mnist"
    optimizer: str = "adam"
    schedule: str = "restart"
    decay: float = 0.0
    clip: float = 0.0
    transfer: float = 0.0
    norms: int = 0
    gradient: str = "relu1"
    bop_threshold: float = 1e-8
    bop_gamma: float = 1e-4

    @property
    def first(self) -> "Trial":
        """What of it the first stage depends on."""
        return dataclasses.replace(self, fine_tune_rate=0.0, transfer=0.0)


@dataclass(frozen=True)
class Row:
    """A training and what came of it; accuracies in percent."""

    trial: Trial
    accuracy: float
    first_accuracy: float  # before the second stage; equal where there is none
    parameters: int
    seconds: float


RECIPE = [f.name for f in dataclasses.fields(Trial)][5:]
"""The fields of a trial that have defaults: its sizes and its recipe."""

_FIELDS = [f.name for f in dataclasses.fields(Trial)] + [f.name for f in dataclasses.fields(Row)][1:]


def build(trial: Trial, shape: tuple[int, int, int], classes: int) -> Any:
    """The network of a trial's first stage, as it starts."""
    options = {} if trial.gradient == "relu1" else {"gradient": trial.gradient}
    model = METHODS[trial.method].build(trial.network, shape, classes, trial.width, **options)
    return _clipped(model, trial.clip) if trial.clip else model


class _Training:
    """Trainings that have their first stage in common."""

    def __init__(self, trial: Trial, data_dir: str | None) -> None:
        from bduo_tf import data

        validation = _VALIDATION if trial.split == "validation" else 0.0
        self._trial = trial
        self._dataset = data.load(trial.dataset, (trial.size, trial.size), data_dir, validation=validation)
        self._steps = data.steps_per_epoch(self._dataset, trial.batch)

    def build(self) -> Any:
        """The network of the first stage, as it starts."""
        return build(self._trial, self._dataset.input_shape, len(self._dataset.class_names))

    def fit(
        self, model: Any, epochs: range, rate: float, seed: int, teacher: Any = None, transfer: float = 0.0
    ) -> float:
        """Trains for the epochs of a stage; returns the accuracy in percent."""
        from bduo_tf import data
        from bduo_tf.backend import keras
        from bduo_tf.training.stages import compile_model

        trial, dataset = self._trial, self._dataset
        schedule = keras.optimizers.schedules.CosineDecay(rate, self._steps * len(epochs))
        if trial.schedule == "continued":
            schedule = _from_step(
                keras.optimizers.schedules.CosineDecay(rate, self._steps * trial.epochs), self._steps * epochs.start
            )
        loss = keras.losses.CategoricalCrossentropy(from_logits=True) if transfer else None
        compile_model(model, lambda: _optimizer(trial, schedule), loss=loss)
        batches = data.train_batches(dataset, trial.batch, seed=seed, epochs=len(epochs))
        test = data.test_batches(dataset, 256)
        if transfer:
            batches, test = _softened(batches, teacher, transfer), _softened(test, teacher, 0.0)
        model.fit(batches, epochs=len(epochs), steps_per_epoch=self._steps, verbose=0)
        if trial.norms:
            _estimate_norms(model, data.train_batches(dataset, 256, seed=seed, epochs=1))
        return 100 * float(model.evaluate(test, verbose=0)[1])


def _from_step(schedule: Any, start: int) -> Any:
    """A schedule as it is from a step on."""
    from bduo_tf.backend import keras

    class Later(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            return schedule(step + start)

        def get_config(self) -> dict[str, Any]:
            return {}

    return Later()


def _optimizer(trial: Trial, schedule: Any) -> Any:
    from bduo_tf.backend import keras, lq

    if trial.optimizer == "bop":
        # Larq's optimizers are Keras' legacy ones.
        return lq.optimizers.CaseOptimizer(
            (
                lq.optimizers.Bop.is_binary_variable,
                lq.optimizers.Bop(threshold=trial.bop_threshold, gamma=trial.bop_gamma),
            ),
            default_optimizer=keras.optimizers.legacy.Adam(schedule),
        )
    return keras.optimizers.Adam(schedule, weight_decay=trial.decay or None)


def _clipped(model: Any, clip: float) -> Any:
    from bduo_tf.backend import keras, lq

    def constrained(layer: Any) -> Any:
        config = layer.get_config()
        if isinstance(layer, lq.layers.QuantConv2D) and layer.kernel_quantizer is not None:
            config["kernel_constraint"] = lq.constraints.WeightClip(clip)
        return type(layer).from_config(config)

    return keras.models.clone_model(model, clone_function=constrained)


def _softened(batches: Any, teacher: Any, transfer: float) -> Any:
    """One-hot labels, of which a part is what the teacher says."""
    import tensorflow as tf

    def soften(images: Any, labels: Any) -> Any:
        said = tf.nn.softmax(teacher(images, training=False))
        return images, (1 - transfer) * tf.one_hot(labels, said.shape[-1]) + transfer * said

    return batches.map(soften)


def _estimate_norms(model: Any, batches: Any) -> None:
    """Gives batch normalization the mean of the batches' statistics, which training follows with momentum 0.9."""
    import tensorflow as tf

    from bduo_tf.backend import keras

    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    statistics = [v for layer in norms for v in (layer.moving_mean, layer.moving_variance)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0  # what stays is the last batch's

    @tf.function
    def see(images: Any) -> None:
        model(images, training=True)

    totals, count = [0.0] * len(statistics), 0
    for images, _ in batches:
        see(images)
        totals = [t + v.numpy() for t, v in zip(totals, statistics, strict=True)]
        count += 1
    for variable, total in zip(statistics, totals, strict=True):
        variable.assign(total / count)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum


def train(trials: Sequence[Trial], data_dir: str | None) -> list[Row]:
    """Trains and evaluates trials that differ in their second stages only; a minute or more each."""
    from bduo_tf import decouple
    from bduo_tf.backend import keras

    start = time.perf_counter()
    first = trials[0].first
    keras.utils.set_random_seed(first.seed)
    training, method = _Training(first, data_dir), METHODS[first.method]
    model = training.build()
    epochs = first.first_epochs if method.fine_tuned else first.epochs
    first_accuracy = training.fit(model, range(epochs), first.rate, first.seed)
    first_seconds = time.perf_counter() - start
    rows = []
    for trial in trials:
        start = time.perf_counter()
        keras.utils.set_random_seed(trial.seed)
        tuned, accuracy = model, first_accuracy
        if method.fine_tuned:
            tuned = decouple(model) if method.decoupled else keras.models.clone_model(model)
            if not method.decoupled:
                tuned.set_weights(model.get_weights())
            stage = range(epochs, trial.epochs)
            accuracy = training.fit(tuned, stage, trial.fine_tune_rate, trial.seed + 1000, model, trial.transfer)
        parameters = sum(int(np.prod(w.shape)) for w in tuned.weights if "kernel" in w.name)
        seconds = first_seconds + time.perf_counter() - start
        rows.append(Row(trial, round(accuracy, 2), round(first_accuracy, 2), parameters, round(seconds, 1)))
    return rows


def read_rows(file: Path) -> list[Row]:
    """The rows of a file, none if it does not exist."""
    if not file.exists():
        return []
    kinds = {f.name: f.type for kind in (Trial, Row) for f in dataclasses.fields(kind)}
    with file.open(newline="") as stream:
        # Columns that a file lacks are at their defaults.
        rows = [{k: kinds[k](v) for k, v in row.items()} for row in csv.DictReader(stream)]  # type: ignore[operator]
    names = {f.name for f in dataclasses.fields(Trial)}
    return [
        Row(Trial(**{k: v for k, v in row.items() if k in names}), **{k: v for k, v in row.items() if k not in names})
        for row in rows
    ]


def _write_rows(file: Path, rows: Iterable[Row]) -> None:
    from bduo_tf.files import replacing

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
    """What stays of a trial when only its method, sizes and recipe count."""
    return dataclasses.replace(trial, seed=0, split="", rate=0.0, fine_tune_rate=0.0)


def best_rates(rows: Iterable[Row], setting: Trial) -> tuple[float, float] | None:
    """The rates with the highest mean validation accuracy, of a method and sizes; None if none were tried."""
    found: dict[tuple[float, float], list[float]] = {}
    for row in rows:
        if row.trial.split == "validation" and _setting(row.trial) == setting:
            found.setdefault((row.trial.rate, row.trial.fine_tune_rate), []).append(row.accuracy)
    return max(found, key=lambda rates: float(np.mean(found[rates]))) if found else None


def by_setting(rows: Sequence[Row], split: str = "test") -> dict[Trial, list[Row]]:
    """The rows of a split by their setting, a trial without seed, split and rates.

    Of a setting whose rates were searched, those at the rates that the validation split chose.
    """
    found: dict[Trial, list[Row]] = {}
    for row in rows:
        if row.trial.split == split:
            found.setdefault(_setting(row.trial), []).append(row)
    for setting, some in found.items():
        if rates := best_rates(rows, setting):
            found[setting] = [row for row in some if (row.trial.rate, row.trial.fine_tune_rate) == rates]
    return {setting: some for setting, some in found.items() if some}


def _searched(
    settings: Sequence[Trial], seeds: Sequence[int], rates: Sequence[float], fine_tune_rates: Sequence[float]
) -> list[Trial]:
    return [
        dataclasses.replace(setting, seed=seed, split="validation", rate=rate, fine_tune_rate=fine)
        for seed, setting, rate in itertools.product(seeds, settings, rates)
        for fine in (fine_tune_rates if METHODS[setting.method].fine_tuned else (0.0,))
    ]


def _tested(
    settings: Sequence[Trial],
    seeds: Sequence[int],
    rows: Sequence[Row],
    given: tuple[float, float] | None,
) -> list[Trial]:
    """At the rates of the search, or at given ones."""
    trials = []
    for seed, setting in itertools.product(seeds, settings):
        rates = given or best_rates(rows, setting)
        if rates is None:
            raise SystemExit(
                f"error: no rates were searched for {setting.method} with these sizes: run `search` first, or give "
                "one with --rates (and one with --fine-tune-rates)"
            )
        fine = rates[1] if METHODS[setting.method].fine_tuned else 0.0
        trials.append(dataclasses.replace(setting, seed=seed, split="test", rate=rates[0], fine_tune_rate=fine))
    return trials


def _run(trials: Sequence[Trial], data_dir: str | None, file: Path, jobs: int) -> None:
    rows = read_rows(file)
    missing = [t for t in trials if t not in {row.trial for row in rows}]
    print(f"{len(trials)} trainings, {len(missing)} of them still to do, {jobs} at a time", flush=True)
    # A process each, so that none inherits another's memory or random state; one thread each is the fastest in sum.
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    groups: dict[Trial, list[Trial]] = {}
    for trial in missing:
        groups.setdefault(trial.first, []).append(trial)
    with multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=1) as pool:
        for new in pool.imap_unordered(functools.partial(train, data_dir=data_dir), groups.values()):
            _write_rows(file, [*read_rows(file), *new])
            for row in new:
                t = row.trial
                rates = f"{t.rate:g}" + (f" / {t.fine_tune_rate:g}" if t.fine_tune_rate else "")
                print(
                    f"{t.method:24} seed {t.seed}  {t.split:10} {rates:14} {row.accuracy:.2f}  {row.seconds:.0f} s",
                    flush=True,
                )


def _first_epochs(epochs: int) -> int:
    """Of so many in all, those before the second stage by default."""
    return round(0.6 * epochs)


_SIZES = ("network", "width", "size", "epochs", "batch", "dataset")


def _named(setting: Trial) -> str:
    """The method and what of its recipe is not the default."""
    default = Trial("", 0, "", 0.0, 0.0, epochs=setting.epochs, first_epochs=_first_epochs(setting.epochs))
    other = [name for name in RECIPE if name not in _SIZES and getattr(setting, name) != getattr(default, name)]
    return ", ".join(
        [
            METHODS[setting.method].title,
            *(f"{name.replace('_', ' ')} {getattr(setting, name)}" for name in other),
        ]
    )


def _table(rows: Sequence[Row], sizes: Trial, methods: Sequence[str], split: str, baseline_epochs: int) -> str:
    """All settings of those sizes; differences to the binary step are of the same seeds."""
    found_by = by_setting(rows, split)
    settings = [t for t in found_by if all(getattr(t, n) == getattr(sizes, n) for n in _SIZES)]
    step = dataclasses.replace(
        sizes, method="baseline", epochs=baseline_epochs, first_epochs=_first_epochs(baseline_epochs)
    )
    baseline = {r.trial.seed: r.accuracy for r in found_by.get(step, ())}
    lines = [["", "seeds", "accuracy", "to binary step", "before fine-tuning", "weights", "rates", "minutes a run"]]
    for setting in sorted(settings, key=lambda s: list(METHODS).index(s.method)):
        method, found = METHODS[setting.method], found_by[setting]
        if setting.method not in methods:
            continue

        def cell(values: Sequence[float], sign: str = "") -> str:
            mean, error = mean_and_error(values)
            return f"{mean:{sign}.2f}" + (f" ± {error:.2f}" if len(values) > 1 else "")

        differences = [r.accuracy - baseline[r.trial.seed] for r in found if r.trial.seed in baseline]
        trial = found[0].trial
        lines.append([
            _named(setting),
            str(len(found)),
            cell([r.accuracy for r in found]),
            cell(differences, "+") if differences and setting != step else "",
            cell([r.first_accuracy for r in found]) if method.fine_tuned else "",
            f"{found[0].parameters:,}",
            f"{trial.rate:g}" + (f", {trial.fine_tune_rate:g}" if method.fine_tuned else ""),
            f"{np.mean([r.seconds for r in found]) / 60:.1f}",
        ])  # fmt: skip
    return markdown(lines)


def add_recipe(parser: argparse.ArgumentParser, names: Iterable[str] = RECIPE) -> None:
    """An option for each of these fields of a trial."""
    from bduo_tf import networks
    from bduo_tf.quantizers import GRADIENTS

    base = Trial("", 0, "", 0.0, 0.0)
    choices: dict[str, Iterable[Any]] = {
        "network": networks.NETWORKS,
        "optimizer": ("adam", "bop"),
        "schedule": ("restart", "continued"),
        "norms": (0, 1),
        "gradient": GRADIENTS,
    }
    for name in names:
        default = getattr(base, name)
        option = f"--{name.replace('_', '-')}"
        kind, shown = type(default), str(default)
        if name == "first_epochs":
            default, shown = None, "60 %% of --epochs"
        parser.add_argument(option, type=kind, default=default, choices=choices.get(name), help=f"default {shown}")


def recipe_of(args: argparse.Namespace, names: Iterable[str] = RECIPE) -> dict[str, Any]:
    """What the options of `add_recipe` say."""
    recipe = {name: getattr(args, name) for name in names}
    if recipe["first_epochs"] is None:
        recipe["first_epochs"] = _first_epochs(args.epochs)
    return recipe


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description="Compares ways to train.")
    parser.add_argument("step", choices=("search", "test", "table"), help="choose rates, train with them, or show")
    parser.add_argument("--data-dir", help="the folder of the IDX files, or TFDS'")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--seeds", nargs="+", type=int, help="default: 0 to search, 0 1 2 to test")
    for option, stage in (("--rates", "first"), ("--fine-tune-rates", "second")):
        parser.add_argument(
            option,
            nargs="+",
            type=float,
            help=f"of the {stage} stage: to search (default {' '.join(map(str, _RATES))}), or one to test with",
        )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="trainings at a time (default: the cores)")
    parser.add_argument("--file", type=Path, default=ROWS, help="the rows (default: docs/accuracy.csv)")
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="of the table")
    parser.add_argument(
        "--baseline-epochs", type=int, help="of the binary step that the table's differences are to (default: --epochs)"
    )
    add_recipe(parser)
    add_verbose(parser)
    args = parser.parse_args(argv)
    recipe = recipe_of(args)
    if not 0 < recipe["first_epochs"] < args.epochs:
        parser.error(f"--first-epochs must be from 1 to --epochs - 1, not {recipe['first_epochs']}")
    settings = [Trial(method, 0, "", 0.0, 0.0, **recipe) for method in args.methods]
    rows = read_rows(args.file)
    if args.step == "table":
        sizes = Trial("", 0, "", 0.0, 0.0, **{name: recipe[name] for name in _SIZES})
        print(_table(rows, sizes, args.methods, args.split, args.baseline_epochs or args.epochs))
        return 0
    if args.step == "search":
        trials = _searched(settings, args.seeds or [0], args.rates or _RATES, args.fine_tune_rates or _RATES)
    else:
        given = [*(args.rates or ()), *(args.fine_tune_rates or ())]
        if given and (len(args.rates or ()) != 1 or len(args.fine_tune_rates or [0.0]) != 1):
            parser.error("test takes one --rates and one --fine-tune-rates")
        if len(given) == 1 and any(METHODS[m].fine_tuned for m in args.methods):
            parser.error("methods with two stages need --fine-tune-rates too")
        trials = _tested(settings, args.seeds or [0, 1, 2], rows, (given[0], given[-1]) if given else None)
    _run(trials, args.data_dir, args.file, args.jobs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
