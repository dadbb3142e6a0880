"""Which trainings belong together, which rates are the best, and what is to be trained."""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bduo_tf.runs import Settings
from bduo_tf.training.methods import METHODS, stages
from benchmarks.accuracy.rows import Row

__all__ = ["VALIDATION", "best_rates", "by_first_stage", "by_variant", "epochs", "mean_and_error", "rates", "to_search"]
__all__ += ["to_test", "variant"]

VALIDATION = 0.1
"""Fraction of the training images that rates are chosen on."""

Rates = tuple[float, ...]


def _without(settings: Settings, *names: str) -> frozenset[tuple[str, Any]]:
    values = {**dataclasses.asdict(settings), **dataclasses.asdict(settings.recipe)}
    return frozenset((name, value) for name, value in values.items() if name not in ("recipe", *names))


def epochs(settings: Settings) -> int:
    """Number of epochs of all stages together."""
    return settings.recipe.epochs + settings.recipe.fine_tune_epochs


def rates(settings: Settings) -> Rates:
    """The learning rate of each stage."""
    return tuple(stage.learning_rate for stage in stages(settings))


def variant(settings: Settings) -> frozenset[tuple[str, Any]]:
    """What is the same in two trainings that differ in their seeds, their rates and their split at most.

    Methods of one stage do not depend on how their epochs would be divided between two.
    """
    known = _without(settings, "seed", "validation", "data_dir", "learning_rate", "fine_tune_learning_rate", "epochs")
    divided = settings.recipe.epochs if METHODS[settings.method].fine_tuned else epochs(settings)
    return frozenset((k, v) for k, v in known if k != "fine_tune_epochs") | {("epochs", (divided, epochs(settings)))}


def by_variant(rows: Iterable[Row], *, validation: bool = False) -> dict[Settings, list[Row]]:
    """The rows of the test images, or of the validation split, that differ in their seeds only; the key is the first's.

    Of a variant whose rates were searched, those at the rates that the validation split chose.
    """
    rows = list(rows)
    found: dict[frozenset[tuple[str, Any]], list[Row]] = {}
    for row in rows:
        if (row.settings.validation > 0) == validation:
            found.setdefault(variant(row.settings), []).append(row)
    chosen = []
    for some in found.values():
        best = best_rates(rows, some[0].settings)
        chosen.append([row for row in some if best is None or rates(row.settings) == best])
    return {some[0].settings: some for some in chosen if some}


def best_rates(rows: Iterable[Row], settings: Settings) -> Rates | None:
    """The rates of a variant with the highest mean accuracy on the validation split; None if none were tried."""
    found: dict[Rates, list[float]] = {}
    for row in rows:
        if row.settings.validation > 0 and variant(row.settings) == variant(settings):
            found.setdefault(rates(row.settings), []).append(row.accuracy)
    return max(found, key=lambda some: float(np.mean(found[some]))) if found else None


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error, which is 0 for one value."""
    error = float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0
    return float(np.mean(values)), error


def to_search(
    variants: Sequence[Settings], seeds: Sequence[int], rates: Sequence[float], fine_tune_rates: Sequence[float]
) -> list[Settings]:
    """Each variant with each seed at all rates, on the validation split."""
    return [
        _at(settings, seed, VALIDATION, pair)
        for seed, settings, rate in itertools.product(seeds, variants, rates)
        for pair in ([(rate, fine) for fine in fine_tune_rates] if METHODS[settings.method].fine_tuned else [(rate,)])
    ]


def to_test(
    variants: Sequence[Settings], seeds: Sequence[int], rows: Sequence[Row], given: Rates | None
) -> list[Settings]:
    """Each variant with each seed on the test images, at given rates or else the best ones.

    Raises:
        ValueError: a variant's rates were not searched.
    """
    trials = []
    for seed, settings in itertools.product(seeds, variants):
        found = given or best_rates(rows, settings)
        if found is None:
            raise ValueError(
                f"no rates were searched for {settings.method} with these sizes: run `search` first, or give "
                "one with --rates (and one with --fine-tune-rates)"
            )
        trials.append(_at(settings, seed, 0.0, found))
    return trials


def _at(settings: Settings, seed: int, validation: float, found: Rates) -> Settings:
    recipe = dataclasses.replace(settings.recipe, learning_rate=found[0])
    if METHODS[settings.method].fine_tuned:
        recipe = dataclasses.replace(recipe, fine_tune_learning_rate=found[1])
    return dataclasses.replace(settings, seed=seed, validation=validation, recipe=recipe)


def by_first_stage(trials: Iterable[Settings]) -> list[list[Settings]]:
    """The trials in groups that have their first stage in common, which is then trained once."""
    groups: dict[frozenset[tuple[str, Any]], list[Settings]] = {}
    for settings in trials:
        first = _without(settings, "fine_tune_learning_rate", "fine_tune_drops", "transfer")
        groups.setdefault(first, []).append(settings)
    return list(groups.values())
