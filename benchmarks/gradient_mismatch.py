"""Repeats the paper's analysis of the gradient mismatch, and measures what the analysis costs.

    python -m benchmarks.gradient_mismatch                 everything; writes docs/gradient_mismatch.md and .png
    python -m benchmarks.gradient_mismatch mlp speed       some parts
    python -m benchmarks.gradient_mismatch --quick --docs /tmp/mismatch      a rough look in two minutes

The parts are mlp (precision of the activations), gradients (straight-through variants against precision), vgg7 (the
mismatch over the epochs of a training on digits) and speed (against the plain loop). Each part leaves its numbers in a
JSON file in --folder, and is not measured again while that is there.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bduo_terminal import add_verbose
from bduo_tf import CoupledStep, data, decouple, mismatch, networks
from bduo_tf.backend import keras, tf
from bduo_tf.files import replacing
from benchmarks.latency import processor
from benchmarks.tables import markdown

__all__ = ["main"]

FORMS = {"full precision": 0, "binary": 1, "ternary": 2, "2-bit": 3}
THIRD_PARTY = {
    0.1: {
        "full precision": "1.0",
        "binary": ".893 .897 .963 .905",
        "ternary": ".965 .987 .993 .975",
        "2-bit": ".975 .976 .985 .975",
    },
    0.01: {
        "full precision": "1.0",
        "binary": ".847 .843 .949 .921",
        "ternary": ".959 .984 .995 .967",
        "2-bit": ".901 .942 .952 .930",
    },
}
VARIANTS = {
    "binary, ReLU1": (1, "relu1"),
    "binary, steep": (1, "steep"),
    "binary, SwishSign": (1, "swish_sign"),
    "binary, ApproxSign": (1, "approx_sign"),
    "ternary, ReLU1": (2, "relu1"),
}
PROGRESS = sys.stderr.isatty()
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@dataclasses.dataclass(frozen=True)
class Scale:
    """How much is measured. The defaults measure everything; `QUICK` is a rough look."""

    samples: int = 1_000_000
    full_precision_coordinates: int = 64
    coordinates: int = 128
    variant_coordinates: int = 64
    seeds: int = 3
    epochs: tuple[int, int] = (12, 8)
    every: int = 4
    images: int = 360
    vgg7_coordinates: int = 64
    width: float = 0.25
    speed_coordinates: int = 1024
    plain_coordinates: int = 8
    speed_samples: int = 100_000


QUICK = Scale(20_000, 16, 32, 16, 1, (2, 1), 1, 32, 8, 0.05, 32, 2, 2_000)


def mlp(levels: int, seed: int, gradient: str = "relu1") -> keras.Model:
    """Builds a network of three hidden layers of 32 units and 10 classes: four kernels, initialized by Glorot's rule.

    The biases of the hidden layers are 1/2 and not part of the analysis. They put the pre-activations, which are about
    zero, into the middle of the range of the coupled step.

    Args:
        levels: the levels of the coupled steps; 0 makes them ReLUs without biases.
        seed: the seed of the kernels.
        gradient: the straight-through gradient of the steps.
    """
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((32,))
    for _ in range(3):
        x = keras.layers.Dense(32, bias_initializer=keras.initializers.Constant(0.5 if levels else 0.0))(x)
        x = CoupledStep(levels, gradient)(x) if levels else keras.layers.ReLU()(x)
    return keras.Model(inputs, keras.layers.Dense(10, use_bias=False)(x))


def samples_of(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws inputs from N(0, 1). The labels are the likeliest classes of a full-precision network of other weights."""
    x = np.random.default_rng(seed).normal(size=(count, 32)).astype(np.float32)
    teacher = mlp(0, 1000 + seed)
    return x, teacher.predict(x, batch_size=8192, verbose=0).argmax(-1)


def measure_mlp(scale: Scale) -> dict[str, Any]:
    """Measures the cosines of the four tensors, for each eps and each form."""
    x, y = samples_of(scale.samples, 0)
    found: dict[str, Any] = {}
    for eps in THIRD_PARTY:
        for form, levels in FORMS.items():
            count = scale.full_precision_coordinates if not levels else scale.coordinates
            results = mismatch.similarities(mlp(levels, 0), LOSS, x, y, eps=eps, count=count, progress=PROGRESS)
            found.setdefault(str(eps), {})[form] = [dataclasses.asdict(r) for r in results]
            print(f"mlp, eps {eps}, {form}: {' '.join(f'{r.cosine:.3f}' for r in results)}", file=sys.stderr)
    return found


def measure_gradients(scale: Scale) -> dict[str, Any]:
    """Measures the cosines of the backward passes, (seeds, tensors) for each eps and each variant."""
    found: dict[str, Any] = {}
    for seed in range(scale.seeds):
        x, y = samples_of(scale.samples, seed)
        # All variants are measured at the same coordinates of each kernel.
        rng = np.random.default_rng(seed)
        sizes = [v.shape.num_elements() for v in _kernels(mlp(1, seed))]
        chosen = [rng.choice(size, min(size, scale.variant_coordinates), replace=False) for size in sizes]
        for eps in THIRD_PARTY:
            discrete: dict[int, list[np.ndarray]] = {}
            for name, (levels, gradient) in VARIANTS.items():
                model = mlp(levels, seed, gradient)
                kernels = _kernels(model)
                if levels not in discrete:  # all variants of as many levels have the same forward pass
                    discrete[levels] = [
                        mismatch.discrete_gradient(model, LOSS, x, y, v, eps=eps, coordinates=c, progress=PROGRESS)
                        for v, c in zip(kernels, chosen, strict=True)
                    ]
                backward = mismatch.backward_gradients(model, LOSS, x, y, kernels)
                triples = zip(discrete[levels], backward, chosen, strict=True)
                cosines = [mismatch.cosine(a, b.ravel()[c]) for a, b, c in triples]
                found.setdefault(str(eps), {}).setdefault(name, []).append(cosines)
        print(f"gradients, seed {seed}: done", file=sys.stderr)
    return found


def _vgg7(form: str, scale: Scale, shape: tuple[int, int, int]) -> keras.Model:
    keras.utils.set_random_seed(0)
    return networks.NETWORKS["vgg7"](shape, form=form, width=scale.width, binary_weights=False)


def measure_vgg7(scale: Scale) -> dict[str, Any]:
    """Measures the accuracy and the similarities of all kernels at some epochs of each training."""
    size = 32 if scale.width > 0.1 else 16
    digits = data.load("digits", (size, size))
    x, y = next(iter(digits.train.batch(scale.images).as_numpy_iterator()))
    found: dict[str, Any] = {}

    def fit(name: str, model: keras.Model, epochs: int) -> keras.Model:
        steps = data.steps_per_epoch(digits, 64)
        schedule = keras.optimizers.schedules.CosineDecay(1e-3, steps * epochs)
        model.compile(keras.optimizers.Adam(schedule), LOSS, metrics=["accuracy"])
        record: list[Any] = []

        def measure(epoch: int) -> None:
            if epoch % scale.every and epoch != epochs:
                return
            results = mismatch.similarities(
                model, LOSS, x, y, _kernels(model), eps=0.1, count=scale.vgg7_coordinates, memory_mb=512
            )
            _, accuracy = model.evaluate(data.test_batches(digits, 256), verbose=0)
            layers = {r.variable.split("/")[0]: dataclasses.asdict(r) for r in results}
            record.append({"epoch": epoch, "accuracy": accuracy, "layers": layers})
            cosines = " ".join(f"{r.cosine:.3f}" for r in results)
            print(f"vgg7, {name}, epoch {epoch}, accuracy {accuracy:.4f}: {cosines}", file=sys.stderr)

        measure(0)
        callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: measure(epoch + 1))
        batches = data.train_batches(digits, 64, seed=0, epochs=epochs)
        model.fit(batches, epochs=epochs, steps_per_epoch=steps, callbacks=[callback], verbose=0)
        found[name] = record
        return model

    first, second = scale.epochs
    fit("baseline", _vgg7("baseline", scale, digits.input_shape), first + second)
    coupled = fit("coupled", _vgg7("coupled", scale, digits.input_shape), first)
    fit("decoupled", decouple(coupled), second)
    return found


def _kernels(model: keras.Model) -> list[Any]:
    return [v for v in model.trainable_variables if v.name.endswith("kernel:0")]


def plain_loop(
    model: keras.Model, x: np.ndarray, y: np.ndarray, variable: Any, coordinates: np.ndarray, eps: float, graph: bool
) -> float:
    """Times the plain loop, which assigns a coordinate and runs the whole model, twice for each coordinate.

    With `graph` the model is compiled by `tf.function`. Returns the seconds for one coordinate.
    """

    def run(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        logits = model(x, training=False)
        return keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True)

    losses: Callable[..., tf.Tensor] = tf.function(run) if graph else run
    x, y = tf.constant(x), tf.constant(y)
    losses(x, y)
    before = variable.numpy()
    started = time.perf_counter()
    for coordinate in coordinates:
        ends = []
        for step in (eps, -eps):
            changed = before.copy()
            changed.flat[coordinate] += step
            variable.assign(changed)
            ends.append(losses(x, y).numpy().astype(np.float64))
        np.mean(ends[0] - ends[1]) / (2 * eps)
    seconds = time.perf_counter() - started
    variable.assign(before)
    return seconds / len(coordinates)


def measure_speed(scale: Scale) -> list[dict[str, Any]]:
    """Times the plain loop and ours side by side, in seconds for one coordinate."""
    cases: list[tuple[str, keras.Model, Any, np.ndarray, np.ndarray]] = []
    x, y = samples_of(scale.speed_samples, 0)
    for form, levels in FORMS.items():
        model = mlp(levels, 0)
        cases += [(f"MLP, {form}, tensor {i}", model, v, x, y) for i, v in enumerate(_kernels(model), 1)]
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(64, 32, 32, 3)).astype(np.float32), rng.integers(0, 10, 64)
    for width in dict.fromkeys((scale.width, 1.0 if scale.width > 0.1 else scale.width)):
        for form, binary in (("baseline", False), ("coupled", False), ("baseline", True)):
            keras.utils.set_random_seed(0)
            model = networks.NETWORKS["vgg7"](form=form, width=width, binary_weights=binary)
            _normalize(model, images)
            name = f"VGG-7, widths x {width:g}, {form}, {'binary' if binary else 'float'} kernels, conv2"
            cases.append((name, model, model.get_layer("conv2").kernel, images, labels))
    rows = []
    for name, model, variable, x, y in cases:
        variable = getattr(variable, "latent_variable", variable)
        for eps in THIRD_PARTY:
            size = variable.shape.num_elements()
            generic = "binary kernels" in name
            count = min(size, scale.plain_coordinates * 8 if generic else scale.speed_coordinates)
            chosen = np.random.default_rng(0).choice(size, count, replace=False)
            some = chosen[: scale.plain_coordinates]
            # They take turns, so that a change of the machine's speed meets both.
            plain = [plain_loop(model, x, y, variable, some, eps, graph) for graph in (False, True)]
            started = time.perf_counter()
            mismatch.discrete_gradient(model, LOSS, x, y, variable, eps=eps, coordinates=chosen)
            ours = (time.perf_counter() - started) / count
            again = [plain_loop(model, x, y, variable, some, eps, graph) for graph in (False, True)]
            eager, graph = ((a + b) / 2 for a, b in zip(plain, again, strict=True))
            rows.append({"case": name, "eps": eps, "eager": eager, "graph": graph, "ours": ours, "coordinates": count})
            print(f"speed, {name}, eps {eps}: {eager / ours:.1f} x, {graph / ours:.1f} x", file=sys.stderr)
    return rows


def _normalize(model: keras.Model, images: np.ndarray) -> None:
    """Sets the batch norms as in training, with the statistics of the batch and outputs around the thresholds."""
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0
        layer.beta.assign(tf.fill(layer.beta.shape, 0.5))
        layer.gamma.assign(tf.fill(layer.gamma.shape, 0.5))
    model(images, training=True)


def _interval(result: dict[str, Any]) -> str:
    return f"{result['cosine']:.3f} +- {(result['high'] - result['low']) / 2:.3f}"


def report_mlp(found: dict[str, Any]) -> str:
    """The table of `measure_mlp`, beside the figures of a third party."""
    rows = [["eps", "activation", *(f"tensor {i}" for i in range(1, 5)), "third party"]]
    for eps, theirs in THIRD_PARTY.items():
        rows += [[f"{eps:g}", form, *map(_interval, found[str(eps)][form]), theirs[form]] for form in FORMS]
    return markdown(rows)


def report_gradients(found: dict[str, Any]) -> str:
    """The table of `measure_gradients`, with the mean and the standard error over the seeds."""
    rows = [["eps", "activation, backward pass", *(f"tensor {i}" for i in range(1, 5))]]
    for eps in THIRD_PARTY:
        for name in VARIANTS:
            values = np.array(found[str(eps)][name])
            error = values.std(0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.zeros(values.shape[1])
            rows.append(
                [f"{eps:g}", name, *(f"{m:.3f} +- {e:.3f}" for m, e in zip(values.mean(0), error, strict=True))]
            )
    return markdown(rows)


def report_vgg7(found: dict[str, Any]) -> str:
    """The table of the first and the last measurement of each training; the figure has all of them."""
    layers = list(found["baseline"][0]["layers"])
    rows = [["network", "epoch", "test accuracy, %", *layers]]
    for name, record in found.items():
        for point in (record[0], record[-1]):
            cosines = [_interval(point["layers"][layer]) for layer in layers]
            rows.append([name, str(point["epoch"]), f"{100 * point['accuracy']:.2f}", *cosines])
    return markdown(rows)


def report_speed(found: list[dict[str, Any]]) -> str:
    """The table of `measure_speed`."""
    rows = [["case", "eps", "plain loop, ms", "compiled plain loop, ms", "ours, ms", "ratio", "ratio to compiled"]]
    for r in found:
        times = [f"{1e3 * r[name]:.2f}" for name in ("eager", "graph", "ours")]
        ratios = [f"{r[name] / r['ours']:.1f}" for name in ("eager", "graph")]
        rows.append([r["case"], f"{r['eps']:g}", *times, *ratios])
    return markdown(rows)


def draw(found: dict[str, Any], path: Path) -> None:
    """Draws the similarity of each layer over the epochs, in a panel for each training."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(found), sharey=True)
    for axes, (name, record) in zip(panels, found.items(), strict=True):
        epochs = [point["epoch"] for point in record]
        for layer in record[0]["layers"]:
            results = [point["layers"][layer] for point in record]
            [line] = axes.plot(epochs, [r["cosine"] for r in results], marker=".", label=layer)
            axes.fill_between(
                epochs, [r["low"] for r in results], [r["high"] for r in results], color=line.get_color(), alpha=0.15
            )
        axes.set(title=name, xlabel="epoch")
    panels[0].set_ylabel("cosine similarity")
    panels[-1].legend(fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=80)


PARTS: dict[str, tuple[Callable[[Scale], Any], Callable[[Any], str], str]] = {
    "mlp": (measure_mlp, report_mlp, "Precision of the activations"),
    "gradients": (measure_gradients, report_gradients, "Straight-through variants against precision"),
    "vgg7": (measure_vgg7, report_vgg7, "VGG-7 during training"),
    "speed": (measure_speed, report_speed, "Speed"),
}


def _put(text: str, name: str, title: str, table: str) -> str:
    """Puts a table into its place in a page, between two comments. The words around it are written by hand and stay."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    block = f"{begin}\n{table}\n{end}"
    if begin in text and end in text:
        return text[: text.index(begin)] + block + text[text.index(end) + len(end) :]
    return f"{text}\n## {title}\n\n{block}\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gradient_mismatch",
        description="Measures the gradient mismatch and writes tables and a figure.",
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="a rough look: small samples, one seed, tiny networks")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="for the page and its figure (default: docs)")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/gradient_mismatch"), help="for the numbers of each finished part"
    )
    add_verbose(parser)
    args = parser.parse_args(argv)
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(unknown)}; known: {', '.join(PARTS)}")
    scale = QUICK if args.quick else Scale()
    args.folder.mkdir(parents=True, exist_ok=True)
    args.docs.mkdir(parents=True, exist_ok=True)

    found = {}
    for name in args.parts or PARTS:
        file = args.folder / f"{name}.json"
        if not file.exists():
            started = time.perf_counter()
            numbers = PARTS[name][0](scale)
            about = {
                "scale": dataclasses.asdict(scale),
                "seconds": round(time.perf_counter() - started),
                "date": time.strftime("%Y-%m-%d"),
                "processor": processor(),
            }
            with replacing(file) as temporary:
                temporary.write_text(json.dumps({**about, "numbers": numbers}, indent=1))
        found[name] = json.loads(file.read_text())
        if found[name]["scale"] != json.loads(json.dumps(dataclasses.asdict(scale))):
            parser.error(f"{file} was measured with other settings: give another --folder, or delete it")

    page = args.docs / "gradient_mismatch.md"
    text = page.read_text() if page.exists() else ""
    for name, result in found.items():
        _, report, title = PARTS[name]
        measured = f"{result['processor']}, {result['date']}, {result['seconds'] / 60:.1f} minutes."
        table = f"{report(result['numbers'])}\n\n{measured}"
        print(f"{title}\n\n{table}\n")
        text = _put(text, name, title, table)
    with replacing(page) as temporary:
        temporary.write_text(text)
    if "vgg7" in found:
        draw(found["vgg7"]["numbers"], args.docs / "gradient_mismatch.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
