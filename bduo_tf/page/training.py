"""The sections of a page that show a training run: its results, curves, confusions and worst mistakes."""

import numpy as np

from bduo_tf.page.html import Cell, chart, escape, picture, section, table
from bduo_tf.runs import Evaluation, RunConfig, RunFolder

__all__ = ["subtitle", "title", "training_sections"]

_WHOLE_MATRIX = 30  # classes; of more only the pairs that are confused most often are shown
_PAIRS = 20


def title(config: RunConfig) -> str:
    """What a run is called."""
    settings = config.settings
    return f"{settings.network} on {settings.dataset}"


def subtitle(config: RunConfig) -> str:
    """How it was trained, in a line."""
    settings = config.settings
    height, width, channels = config.input_shape
    images = f"images of {height}x{width}x{channels}, {len(config.class_names)} classes"
    return f"{settings.method}, seed {settings.seed}, {images}"


def training_sections(run: RunFolder) -> list[str]:
    """The sections of a run that has begun; what is not there yet is left out.

    Raises:
        RunError: this is not the folder of a run, or a file of it cannot be read.
    """
    config, evaluation = run.config(), run.evaluation()
    sections = [_results(run, config)]
    if run.curves.is_file():
        sections.append(section("Training", chart(run.curves, "accuracy and loss over the epochs")))
    if evaluation is not None and evaluation.confusion.shape == (len(config.class_names),) * 2:
        sections += [_confusion(evaluation, config.class_names), _mistakes(evaluation, config.class_names)]
    sections.append(_settings(config))
    return sections


def _results(run: RunFolder, config: RunConfig) -> str:
    images = "validation" if config.settings.validation else "test"
    metrics = run.metrics()
    rows = [
        [name, f"{m.accuracy:.2%}", m.loss, m.epochs, m.seconds, "to be deployed" if name == metrics.final else ""]
        for name, m in metrics.models.items()
    ]
    head = ["model", f"{images} accuracy", "loss", "epochs", "seconds", ""]
    counts = f"{config.num_train:,} training images, {config.num_test:,} {images} images ({config.test_split})"
    return section("Results", f'<p class="note">{escape(counts)}.</p>', table(head, rows))


def _confusion(evaluation: Evaluation, names: tuple[str, ...]) -> str:
    counts = evaluation.confusion
    of_class = counts.sum(axis=1)
    if len(names) > _WHOLE_MATRIX:
        wrong = counts * (1 - np.eye(len(names), dtype=counts.dtype))
        pairs = [np.unravel_index(i, wrong.shape) for i in np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]]
        rows = [[names[i], names[j], int(wrong[i, j]), int(of_class[i])] for i, j in pairs if wrong[i, j]]
        return section("What is taken for what", table(["images of", "taken for", "images", "of"], rows))
    head = ["images of", *names, "right"]
    rows = []
    for i, name in enumerate(names):
        share = counts[i] / max(1, of_class[i])
        cells = [
            Cell(f"{count:,}" if count else "", float(part), f"{name} taken for {names[j]}: {count} of {of_class[i]}")
            for j, (count, part) in enumerate(zip(counts[i].tolist(), share, strict=True))
        ]
        rows.append([name, *cells, f"{share[i]:.1%}" if of_class[i] else "no image"])
    return section(
        "What is taken for what",
        '<p class="note">A row for each class, a column for what the final model takes its images for.</p>',
        table(head, rows),
    )


def _mistakes(evaluation: Evaluation, names: tuple[str, ...]) -> str:
    if not len(evaluation.images):
        return section("The worst mistakes", "<p>There are none.</p>")
    pictures = [
        picture(pixels, f"{escape(names[label])}, taken for<br>{escape(names[found])} ({probability:.0%})")
        for pixels, label, found, probability in zip(
            evaluation.images, evaluation.labels, evaluation.predictions, evaluation.probabilities, strict=True
        )
    ]
    return section(
        "The worst mistakes",
        '<p class="note">Those of which the final model is surest, at the size that the network sees.</p>',
        f'<div class="pictures">{"".join(pictures)}</div>',
    )


def _settings(config: RunConfig) -> str:
    rows = [[name.replace("_", "-"), _text(value)] for name, value in config.settings.values().items()]
    return section("Settings", table(["option", "value"], rows))


def _text(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)
