"""The sections of a page that show a conversion: the file and its peers, its verification, and its layers."""

from typing import TYPE_CHECKING

from bduo_tf.page.html import bar, escape, section, table

if TYPE_CHECKING:  # A page of a training alone needs no conversion.
    from bduo_tf.conversion import LayerCost, Report

__all__ = ["conversion_sections"]


def conversion_sections(report: "Report") -> list[str]:
    """The sections of a report."""
    return [_sizes(report), _verification(report), _layers(report)]


def _sizes(report: "Report") -> str:
    sizes = {"binary": report.size, **report.peers}
    timing = report.timing
    times = timing.milliseconds if timing else {name: None for name in sizes}
    rows = []
    for name, milliseconds in times.items():
        file = name.split(",")[0]
        size = sizes[file]
        ratio = f"{timing.ratios[name]:.2f}" if timing else None
        rows.append([name, size, f"{size / report.size:.1f}", milliseconds, ratio])
    notes = [f'<p class="note">{escape(report.title)}</p>']
    if timing:
        notes.append(
            f'<p class="note">Milliseconds: the median of an inference of one image on {escape(timing.processor)}, '
            f"threads {timing.threads}, {timing.date}, measured in turns. Short measurements are noisy: "
            "python -m benchmarks.latency measures longer.</p>"
        )
    if report.peers:
        notes.append(
            '<p class="note">float32 and int8: the same network with ReLU and float kernels in the widths of the '
            "binary baseline; untrained, for size and speed.</p>"
        )
    return section("Size and speed", *notes, table(["file", "bytes", "times", "ms", "times as long"], rows))


def _verification(report: "Report") -> str:
    rows = [
        [
            name,
            f"{v.agreeing} of {v.images}",
            v.median_difference,
            v.largest_difference,
            f"{v.accuracy:.2%}" if v.accuracy is not None else None,
            f"{v.keras_accuracy:.2%}" if v.keras_accuracy is not None else None,
            f"{v.clean} of {v.traced}",
        ]
        for name, v in report.verifications.items()
    ]
    head = ["interpreter", "agrees with Keras on", "median difference", "largest", "accuracy", "Keras'", "no flip on"]
    problems = [f'<p class="failed">{escape(problem)}</p>' for problem in report.problems]
    return section(
        "Verification", f'<p class="note">On {escape(report.verified_on)}.</p>', table(head, rows), *problems
    )


def _layers(report: "Report") -> str:
    layers = report.layers
    most = [max((value(layer) for layer in layers), default=0) for value in (_size, _macs, _time)]
    rows = [
        [
            layer.name,
            "x".join(map(str, layer.output[1:])),
            f"{layer.bits} bit" if layer.bits else "",
            bar(layer.size, most[0], f"{layer.size:,}"),
            bar(layer.macs, most[1], f"{layer.macs:,}"),
            None if layer.milliseconds is None else bar(layer.milliseconds, most[2], f"{layer.milliseconds:.4f}"),
            "{:,} of {:,}".format(*report.flips[layer.name]) if layer.name in report.flips else None,
        ]
        for layer in layers
    ]
    others = report.size - sum(map(_size, layers))
    rows.append(["tables, names, metadata", None, None, bar(others, most[0], f"{others:,}"), None, None, None])
    head = ["layer", "output", "reads", "bytes", "multiply-accumulates", "ms", "flipped activations"]
    return section(
        "Layers",
        '<p class="note">Each layer with the pools, thresholds and activations that follow it. An output of packed '
        "bits counts 32 channels as one. A flipped activation falls on another side of its threshold than in Keras."
        "</p>",
        table(head, rows),
    )


def _size(layer: "LayerCost") -> float:
    return layer.size


def _macs(layer: "LayerCost") -> float:
    return layer.macs


def _time(layer: "LayerCost") -> float:
    return layer.milliseconds or 0.0
