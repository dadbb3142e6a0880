"""`python -m train module:function`: a network of the user's own is trained, resumed and converted, or refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bduo_tf.backend import keras
from bduo_tf.runs import RunFolder
from bduo_tf.training.methods import METHODS
from tests.bduo_tf.training.runs import DYING, assert_refused
from train.cli import main

ROOT = Path(__file__).parents[2]

MODULE = """
import bduo_tf
import larq as lq
import tensorflow as tf

L = tf.keras.layers


@tf.keras.utils.register_keras_serializable("my_nets")
class Scale(L.Layer):
    def build(self, shape):
        self.factors = self.add_weight(name="factors", shape=(shape[-1],), initializer="ones")

    def call(self, x):
        return x * self.factors


class Unregistered(Scale):
    pass


def small(input_shape, classes, stem=Scale, last=L.Dense, step="ste_sign", **dense):
    image = tf.keras.Input(input_shape)
    x = stem()(L.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(image))
    for _ in range(2):
        y = L.BatchNormalization(momentum=0.9)(x)
        y = lq.layers.QuantConv2D(16, 3, padding="same", pad_values=1.0, use_bias=False, input_quantizer=step,
                                  kernel_quantizer="ste_sign", kernel_constraint="weight_clip")(y)
        x = x + y
    x = L.GlobalAveragePooling2D()(L.BatchNormalization(momentum=0.9)(x))
    return tf.keras.Model(image, last(classes, **dense)(x), name="small")


def fixed():
    return small((16, 16, 1), 10)


def only_classes(*, classes):
    return small((None, None, 1), classes)


def ten(input_shape=(16, 16, 1), depth=2):
    return small(input_shape, 10)


def softmax(input_shape, classes):
    return small(input_shape, classes, activation="softmax")


def unregistered(input_shape, classes):
    return small(input_shape, classes, stem=Unregistered)


def code(input_shape, classes):
    return small(input_shape, classes, stem=lambda: L.Lambda(lambda x: 2 * x))


def floats(input_shape, classes):
    return small(input_shape, classes, step=None)


def coupled(input_shape, classes):
    return small(input_shape, classes, step=bduo_tf.CoupledStep(2))


def large_images(classes):
    return small((32, 32, 3), classes)


def seven():
    return small((16, 16, 1), 7)


def needs(input_shape, depth):
    return small(input_shape, 10)


def failing():
    raise OSError("no weights")


def nothing():
    return 3


def subclassed():
    class Own(tf.keras.Model):
        pass

    return Own()


def two():
    model = fixed()
    return tf.keras.Model(model.input, [model.output, model.output])
"""


def arguments(network, run, *more):
    small = "--image-size 16 --batch-size 64 --augmentation none --learning-rate 0.01 --epochs 1 --fine-tune-epochs 1"
    return [network, "--dataset", "digits", "--run", str(run), *small.split(), *more]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, which holds my_nets.py."""
    (tmp_path / "my_nets.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "my_nets", raising=False)
    yield tmp_path
    sys.modules.pop("my_nets", None)


REFUSED = [
    ("no_such_nets:small", [], "network: no_such_nets:small: the module cannot be imported: ModuleNotFoundError"),
    ("my_nets:tiny", [], "network: my_nets:tiny fails: AttributeError: module 'my_nets' has no attribute 'tiny'"),
    ("my_nets:failing", [], "network: my_nets:failing fails: OSError: no weights"),
    ("my_nets:nothing", [], "network: my_nets:nothing returns no Keras model, but int"),
    (
        "my_nets:needs",
        [],
        "network: my_nets:needs needs the argument 'depth'. It gets input_shape and classes, each if",
    ),
    ("my_nets:subclassed", [], "network: my_nets:subclassed: model 'own' is a subclass of keras.Model (Own)"),
    ("my_nets:two", [], "network: my_nets:two has 1 inputs and 2 outputs: training takes one of each"),
    ("my_nets:large_images", [], "network: my_nets:large_images takes inputs of shape (32, 32, 3), the data set has"),
    ("my_nets:seven", [], "network: my_nets:seven gives outputs of shape (7,), the data set has 10 classes"),
    ("my_nets:softmax", [], "network: my_nets:softmax ends in a softmax: training takes logits"),
    ("my_nets:unregistered", [], "network: the model of my_nets:unregistered cannot be loaded from a file"),
    ("my_nets:code", [], "network: the model of my_nets:code cannot be loaded from a file"),
    ("my_nets:floats", [], "network: couple: model 'small' has no binary activations"),
    ("my_nets:coupled", [], "network: couple: model 'small' is coupled already"),
    ("my_nets:small", ["--width", "0.5"], "--width: does not apply to my_nets:small: its function settles it"),
    ("my_nets:small", ["--no-per-channel"], "--per-channel: does not apply to my_nets:small"),
    ("my_nets:small", ["--method", "baseline", "--gradient", "steep"], "--gradient: does not apply to my_nets:small"),
    ("my_nets:small", ["--method", "float"], "--method: float needs another form of the network, which my_nets:small"),
    (
        "my_nets:small",
        ["--method", "dorefa"],
        "possible are duo, duo3, baseline, restarted, scratch, scratch3, coupled.",
    ),
    ("my_nets:small", ["--levels", "1"], "--levels: 1 leaves nothing to decouple"),
]


@pytest.mark.parametrize(("network", "more", "message"), REFUSED, ids=[f"{n} {' '.join(m)}" for n, m, _ in REFUSED])
def test_refused_with_one_line(network, more, message, folder, capsys):
    run = folder / "run"
    assert_refused(arguments(network, run, *more), run, message, capsys)


@pytest.mark.parametrize(
    ("network", "method"),
    [("my_nets:fixed", "scratch"), ("my_nets:only_classes", "coupled"), ("my_nets:ten", "baseline")],
)
def test_methods_of_one_stage(network, method, folder):
    run = RunFolder(folder / "run")
    assert main(arguments(network, run.path, "--method", method)) == 0
    assert run.config().settings.network == network
    model = keras.models.load_model(run.final(), compile=False)
    convolutions = [layer for layer in model.layers if getattr(layer, "kernel_quantizer", None) is not None]
    levels = [getattr(layer.input_quantizer, "levels", None) for layer in convolutions]
    assert levels == {"scratch": [1, 1], "coupled": [2, 2], "baseline": [None, None]}[method]
    assert (convolutions[0].filters < 16) == (method != "baseline")


def test_which_methods_go_with_any_network():
    possible = {name for name, method in METHODS.items() if method.of_any_network}
    assert possible == {"duo", "duo3", "baseline", "restarted", "scratch", "scratch3", "coupled"}


def command(folder, *words, path=()):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *path])}
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=folder, env=environment, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_trained_killed_resumed_and_converted(folder):
    pytest.importorskip("larq_compute_engine")
    code = f"{DYING}\nsys.exit(run_and_die(sys.argv[1], sys.argv[2:]))"
    status, _ = command(folder, "-c", code, "fine_tuned 0 0", *arguments("my_nets:small", "run"))
    assert status == -9
    assert (folder / "run" / "decoupled.keras").exists()
    status, text = command(folder, "-m", "train", *arguments("my_nets:small", "run"))
    assert status == 0, text
    assert "\ncoupled: 1 epochs" not in text  # the first stage is not trained again

    status, text = command(folder, "-m", "convert", "run")
    assert status == 0, text
    assert (
        json.loads((folder / "run" / "model.json").read_text())["verification"]["LCE"]["operators"]["LceBconv2d"] == 2
    )

    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    status, text = command(elsewhere, "-m", "convert", "../run")
    assert status == 2
    assert "The run trained my_nets:small: the module cannot be imported" in text
    assert "Convert in the folder that has it, or --import another." in text
    (elsewhere / "other.py").write_text(MODULE)
    status, text = command(elsewhere, "-m", "convert", "../run", "--import", "other")
    assert status == 0, text
    status, text = command(folder, "-m", "convert", "run", "--float")
    assert status == 2
    assert "--float: the float form of my_nets:small is not known" in text
