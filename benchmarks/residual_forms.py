"""Residual networks, decoupled in two forms: threshold splits (`bduo_tf.decouple`), or the authors' doubled streams.

    python -m benchmarks.residual_forms --folder runs/residual_forms -- --dataset fashion_mnist --data-dir ...

Trains a coupled ResNet-18 for each seed, fine-tunes both forms of it alike, converts both, and prints accuracy,
float operations, file size and latency side by side. What follows -- goes to `python -m train resnet18`. A killed
command continues when it is repeated.
"""

import argparse
import dataclasses
import functools
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bduo_terminal import add_verbose
from bduo_tf import data
from bduo_tf.backend import keras
from bduo_tf.conversion.inspection import float_elements, operators
from bduo_tf.conversion.tflite import convert_lce
from bduo_tf.conversion.verification import verify
from bduo_tf.deployment import deploy
from bduo_tf.quantizers import CoupledStep
from bduo_tf.runs import RunFolder
from bduo_tf.training.methods import stages
from bduo_tf.training.stages import Training, be_deterministic, train_stage
from benchmarks.latency import measure, processor, runners
from benchmarks.tables import table
from train.cli import main as train
from train.cli import parse

__all__ = ["main", "stream_doubled"]

FORMS = {"fine_tuned": "threshold split", "stream_doubled": "streams doubled"}


def stream_doubled(coupled: keras.Model) -> keras.Model:
    """A coupled `resnet18(shortcut="conv")` decoupled as the authors' code does it; the same function.

    The stream is two streams, which the two copies of each activation read. A batch normalization has a copy
    for each stream; where a stage begins, the copies are shifted by -1/4 and +1/4, which the identity
    shortcuts then carry on. The 1x1 shortcuts and the padded one read the mean of the streams, and the last
    convolution returns to one.

    Args:
        coupled: of two levels, with a shortcut for each convolution.

    Returns:
        An uncompiled model of the same input and output.

    Reference:
        The authors' code, models/resnet_sc_decoupled.lua.
    """

    def layer(name: str, suffix: str = "", **changes: object) -> keras.layers.Layer:
        """A copy of a layer of `coupled`, without its weights, which can only be set once the copy was called."""
        original = coupled.get_layer(name)
        return type(original).from_config({**original.get_config(), "name": name + suffix, **changes})

    image = x = keras.Input(coupled.input_shape[1:], name="image")
    names = {one.name for one in coupled.layers}
    for name in ("conv1", "norm1", "relu1", "pool1"):
        if name in names:
            x = layer(name)(x)
    streams = [layer("norm_pool1", suffix)(x) for suffix in ("_low", "_high")]
    shifted = ["norm_pool1"]

    convolutions = [
        one.name for one in coupled.layers if isinstance(getattr(one, "input_quantizer", None), CoupledStep)
    ]
    for name in convolutions:
        step = CoupledStep(1, coupled.get_layer(name).input_quantizer.gradient)
        y = keras.layers.Concatenate(name=f"{name}_streams")(streams)
        y = layer(name, input_quantizer=step)(y)
        if name != convolutions[-1]:
            residual = [layer(f"{name}_norm", suffix)(y) for suffix in ("_low", "_high")]
        else:
            residual = [layer(f"{name}_norm")(y)]
        pieces = [p for p in ("shortcut_pool", "shortcut", "shortcut_norm", "shortcut_pad") if f"{name}_{p}" in names]
        if pieces or name == convolutions[-1]:
            x = keras.layers.Average(name=f"{name}_mean")(streams)
            for piece in pieces:
                x = layer(f"{name}_{piece}")(x)
            streams = [x] * len(residual)
            shifted.append(f"{name}_norm")
        streams = [
            keras.layers.Add(name=f"{name}_add{suffix}")([s, r])
            for suffix, s, r in zip(("_low", "_high"), streams, residual, strict=False)
        ]

    [x] = streams
    for name in ("relu", "pool", "logits"):
        x = layer(name)(x)
    model = keras.Model(image, x, name="resnet18_stream_doubled")

    for one in model.layers:
        base = one.name.removesuffix("_low").removesuffix("_high")
        if base not in names or not one.weights:
            continue
        weights = coupled.get_layer(base).get_weights()
        if base in convolutions:
            weights[0] = np.concatenate([weights[0] / 2] * 2, axis=-2)
        if base in shifted and base != one.name:
            weights[1] = weights[1] + (-0.25 if one.name.endswith("_low") else 0.25)  # beta
        one.set_weights(weights)
    return model


def _train(arguments: list[str], folder: Path, seeds: int) -> list[RunFolder]:
    """Both forms for each seed, fine-tuned: the threshold split by `train`, the other by a stage like its last one."""
    runs = []
    for seed in range(seeds):
        argv = ["resnet18", *arguments, "--seed", str(seed), "--run", str(folder / f"seed{seed}")]
        if status := train(argv):
            raise SystemExit(status)
        settings, run, _ = parse(argv)
        be_deterministic(seed)
        dataset = data.load(settings.dataset, settings.recipe.image_size, settings.data_dir)
        stage = dataclasses.replace(stages(settings)[-1], name="stream_doubled")
        train_stage(Training(settings, dataset, run), stage, functools.partial(_doubled, run))
        runs.append(run)
    return runs


def _doubled(run: RunFolder) -> keras.Model:
    return stream_doubled(_load(run, "coupled"))


def _load(run: RunFolder, name: str) -> keras.Model:
    return keras.models.load_model(run.model(name), compile=False)


def _convert(run: RunFolder, form: str, samples: int) -> Path:
    """The .tflite file of a form, verified on images of the data set."""
    settings = run.config().settings
    deployment = deploy(_load(run, form))
    file = convert_lce(deployment.graph)
    images = data.load(settings.dataset, settings.recipe.image_size, settings.data_dir).test.take(samples)
    verification = verify(deployment, file, images.batch(64).as_numpy_iterator())
    if verification.problems:
        raise SystemExit(f"{run.model(form)}: {'; '.join(verification.problems)}")
    path = run.path / f"{form}.tflite"
    path.write_bytes(file)
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.residual_forms",
        description="Compares the two forms of a decoupled residual network.",
        epilog="What follows -- are options of python -m train resnet18: --dataset, --epochs and so on.",
    )
    parser.add_argument("--folder", type=Path, required=True, help="for the runs, one a seed")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 on (default: 3)")
    parser.add_argument("--rounds", type=int, default=50, help="turns of each file, of about 20 ms (default: 50)")
    parser.add_argument("--samples", type=int, default=500, help="test images to verify the files on (default: 500)")
    parser.add_argument("training", nargs="+", metavar="-- OPTIONS", help="of python -m train resnet18")
    add_verbose(parser)
    args = parser.parse_args(argv)
    if min(args.seeds, args.rounds, args.samples) < 1:
        parser.error("--seeds, --rounds and --samples must be at least 1")
    for option in ("--run", "--seed", "--levels", "--method", "--scheme", "--float-weights"):
        if option in args.training:
            parser.error(f"{option} is set by this comparison")

    runs = _train(args.training, args.folder, args.seeds)
    files = {form: _convert(runs[0], form, args.samples) for form in FORMS}
    latencies = measure({form: runners(file)["LCE"] for form, file in files.items()}, args.rounds)
    metrics = [run.metrics().models for run in runs]

    def accuracy(name: str) -> str:
        values = np.array([100 * m[name].accuracy for m in metrics])
        error = f" +- {values.std(ddof=1) / np.sqrt(len(values)):.2f}" if len(values) > 1 else ""
        return f"{values.mean():.2f}{error}"

    rows = [["", *FORMS.values()]]
    rows.append(["test accuracy, coupled, %", *[accuracy("coupled")] * 2])
    rows.append(["test accuracy, fine-tuned, %", *map(accuracy, FORMS)])
    for seed, m in enumerate(metrics):
        rows.append([f"  seed {seed}", *(f"{100 * m[form].accuracy:.2f}" for form in FORMS)])
    contents = {form: file.read_bytes() for form, file in files.items()}
    rows.append(["trainable parameters", *(f"{_trainable(runs[0], form):,}" for form in FORMS)])
    rows.append(["LceBconv2d", *(str(operators(c)["LceBconv2d"]) for c in contents.values())])
    rows.append(["floats written by other operators", *(f"{float_elements(c):,}" for c in contents.values())])
    rows.append(["file, bytes", *(f"{len(c):,}" for c in contents.values())])
    first = latencies["fine_tuned"]
    rows.append(["latency, LCE, ms", *(f"{x.median:.2f} ({x.ratio_to(first):.2f} x)" for x in latencies.values())])
    print(table(rows))
    print(
        f"Accuracy: mean and standard error over {args.seeds} seeds. Size and latency: seed 0, batch 1, one thread, "
        f"median of {args.rounds}, {processor()}, {time.strftime('%Y-%m-%d')}."
    )
    return 0


def _trainable(run: RunFolder, form: str) -> int:
    return sum(int(np.prod(w.shape)) for w in _load(run, form).trainable_weights)


if __name__ == "__main__":
    sys.exit(main())
