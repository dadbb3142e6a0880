"""The rows of equal sizes as a table in Markdown: a line for each variant, with its difference to the binary step."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bduo_tf.runs import Recipe, Settings
from bduo_tf.training.methods import METHODS, applied
from benchmarks.accuracy.rows import Row
from benchmarks.accuracy.selection import by_variant, epochs, mean_and_error, rates, variant
from benchmarks.tables import markdown

__all__ = ["first_epochs", "table", "with_error"]

_LABELS = {"epochs": "first epochs", "weight_decay": "decay"}
_SIZES = {"image_size", "batch_size", "width", "fine_tune_epochs", "learning_rate", "fine_tune_learning_rate"}


def first_epochs(total: int) -> int:
    """Of so many epochs in all, those of the first stage where nothing else is said."""
    return round(0.6 * total)


def with_error(values: Sequence[float], sign: str = "") -> str:
    """The mean of values with its standard error, if there are several."""
    mean, error = mean_and_error(values)
    return f"{mean:{sign}.2f}" + (f" ± {error:.2f}" if len(values) > 1 else "")


def table(
    rows: Sequence[Row], sizes: Settings, methods: Sequence[str], *, validation: bool, baseline_epochs: int
) -> str:
    """All variants of equal sizes.

    Args:
        rows: of any sizes.
        sizes: says which network, data set, width, image and batch size, and how many epochs in all.
        methods: those to show, in any order.
        validation: whether to show accuracies on the validation split instead of those on the test images.
        baseline_epochs: number of epochs of the binary step to which the differences are, which are of equal seeds.
    """
    found = by_variant(rows, validation=validation)
    step = variant(_plain(dataclasses.replace(sizes, method="baseline"), baseline_epochs))
    baseline = {r.settings.seed: r.accuracy for some in found.values() for r in some if variant(r.settings) == step}
    lines = [["", "seeds", "accuracy", "to binary step", "before fine-tuning", "weights", "rates", "minutes a run"]]
    order = list(METHODS)
    for settings, some in sorted(found.items(), key=lambda item: order.index(item[0].method)):
        if settings.method not in methods or _sizes(settings) != _sizes(sizes):
            continue
        differences = [r.accuracy - baseline[r.settings.seed] for r in some if r.settings.seed in baseline]
        lines.append([
            _named(settings),
            str(len(some)),
            with_error([r.accuracy for r in some]),
            with_error(differences, "+") if differences and variant(settings) != step else "",
            with_error([r.first_accuracy for r in some]) if METHODS[settings.method].fine_tuned else "",
            f"{some[0].parameters:,}",
            ", ".join(f"{rate:g}" for rate in rates(settings)),
            f"{np.mean([r.seconds for r in some]) / 60:.1f}",
        ])  # fmt: skip
    return markdown(lines)


def _sizes(settings: Settings) -> tuple[object, ...]:
    r = settings.recipe
    return settings.network, settings.dataset, r.width, r.image_size, r.batch_size, epochs(settings)


def _plain(settings: Settings, total: int) -> Settings:
    """The same method and sizes with so many epochs, and nothing else of a recipe."""
    r, first = settings.recipe, first_epochs(total)
    plain = Recipe(
        image_size=r.image_size, batch_size=r.batch_size, width=r.width, epochs=first, fine_tune_epochs=total - first
    )
    return dataclasses.replace(settings, recipe=applied(settings.method, plain))


def _named(settings: Settings) -> str:
    """The title of the method, and what of the recipe is not as usual."""
    usual = _plain(settings, epochs(settings)).recipe
    shown = [METHODS[settings.method].title]
    for field in dataclasses.fields(Recipe):
        value = getattr(settings.recipe, field.name)
        divided = field.name != "epochs" or METHODS[settings.method].fine_tuned
        if field.name not in _SIZES and divided and value != getattr(usual, field.name):
            value = int(value) if isinstance(value, bool) else value
            shown.append(f"{_LABELS.get(field.name, field.name.replace('_', ' '))} {value}")
    return ", ".join(shown)
