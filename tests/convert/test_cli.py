"""`python -m convert`: what it writes, what it refuses, and with which exit status."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import bduo_runtime
import bduo_tf
from bduo_tf.backend import keras, lq
from bduo_tf.conversion import keras_to_tflite
from bduo_tf.conversion.inputs import Sampler, seeded
from bduo_tf.conversion.inspection import operators
from bduo_tf.conversion.preparation import deployed
from bduo_tf.conversion.tflite import convert_lce
from convert.cli import main
from tests.bduo_tf.conversion.models import binary, decoupled, random_inputs, several, small_vgg7
from tests.bduo_tf.graphs import randomize
from tests.bduo_tf.runs.finished import finished_run
from tests.bduo_tf.runs.test_config import FIRST_FORMAT


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "net.keras"
    decoupled().save(path)
    return path


@pytest.fixture
def run(tmp_path):
    """A run folder such as training leaves."""
    folder = tmp_path / "run"
    folder.mkdir()
    finished_run(folder, decoupled())
    return folder


def test_a_file_is_written_and_verified(keras_file, tmp_path, capsys):
    output = tmp_path / "out.tflite"
    assert main([str(keras_file), "-o", str(output), "--samples", "70"]) == 0
    assert operators(output.read_bytes())["LceBconv2d"] == 5
    summary = json.loads(output.with_suffix(".json").read_text())
    assert summary["bytes"] == output.stat().st_size
    assert list(summary["verification"]) == ["LCE", "bduo_runtime"]
    assert all(v["agreeing"] == v["images"] == 70 for v in summary["verification"].values())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.html", "out.json", "out.tflite"]
    text = capsys.readouterr().out
    assert text.count("arg max    agrees on 70 of 70") == 2
    assert "5 LceBconv2d" in text


def test_a_run_is_verified_on_its_test_set_and_has_peers(run, capsys):
    assert main([str(run), "--float"]) == 0
    summary = json.loads((run / "model.json").read_text())
    assert summary["verified_on"] == "360 test images of digits"
    assert all(v["accuracy"] == v["keras_accuracy"] for v in summary["verification"].values())
    sizes = {p.stem: p.stat().st_size for p in run.glob("*.tflite")}
    assert set(sizes) == {"model", "model-float32", "model-int8"}
    assert sizes["model"] < sizes["model-int8"] < sizes["model-float32"]
    assert {name: peer["bytes"] for name, peer in summary["peers"].items()} == {
        "float32": sizes["model-float32"],
        "int8": sizes["model-int8"],
    }
    assert "untrained" in capsys.readouterr().out


def test_a_run_of_the_first_format(run):
    (run / "config.json").write_text(json.dumps(FIRST_FORMAT))
    assert main([str(run), "--float", "--samples", "16"]) == 0
    summary = json.loads((run / "model.json").read_text())
    assert (summary["verified_on"], len(summary["peers"])) == ("16 test images of digits", 2)


def test_the_baseline_needs_no_decoupling(tmp_path):
    path = tmp_path / "baseline.keras"
    small_vgg7("baseline").save(path)
    assert main([str(path), "--samples", "16"]) == 0
    assert operators((tmp_path / "baseline.tflite").read_bytes())["LceBconv2d"] == 5


def test_a_failed_verification_writes_no_file(keras_file, tmp_path, monkeypatch, capsys):
    other = convert_lce(bduo_tf.to_lce_graph(decoupled(seed=1)))
    monkeypatch.setattr(keras_to_tflite, "convert_lce", lambda *_: other)
    output = tmp_path / "out.tflite"
    assert main([str(keras_file), "-o", str(output), "--samples", "32"]) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.html", "out.json"]
    assert json.loads(output.with_suffix(".json").read_text())["output"] is None
    captured = capsys.readouterr()
    assert "FAILED: the arg max agrees on" in captured.out
    assert "verification failed" in captured.err


def test_an_earlier_file_survives_a_failed_verification(keras_file, tmp_path, monkeypatch):
    output = tmp_path / "out.tflite"
    output.write_bytes(b"earlier")
    other = convert_lce(bduo_tf.to_lce_graph(decoupled(seed=1)))
    monkeypatch.setattr(keras_to_tflite, "convert_lce", lambda *_: other)
    assert main([str(keras_file), "-o", str(output), "--samples", "32"]) == 1
    assert output.read_bytes() == b"earlier"


def save(path, model):
    model.save(path)
    return path


def float_kernels():
    inputs = keras.Input((8, 8, 2))
    conv = lq.layers.QuantConv2D(3, 3, input_quantizer=bduo_tf.CoupledStep(1), name="middle")
    return keras.Model(inputs, keras.layers.Flatten()(conv(inputs)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: small_vgg7("coupled"), "layer 'conv2' is still coupled (3 levels). Call bduo_tf.decouple"),
        (float_kernels, "layer 'middle' has binary activations but float kernels"),
        (lambda: keras.Sequential([keras.Input((None, 3)), keras.layers.Dense(2)]), "inputs of unknown size"),
    ],
    ids=["coupled", "float kernels", "unknown size"],
)
def test_models_that_cannot_be_converted(make, message, tmp_path, capsys):
    path = save(tmp_path / "net.keras", make())
    assert main([str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["net.keras"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["{empty}"], "has no config.json"),
        (["{text}"], "is not a .keras file"),
        (["{broken}"], "cannot be loaded as a Keras model"),
        (["{net}", "--samples", "0"], "--samples must be at least 1"),
        (["{net}", "--min-agreement", "2"], "--min-agreement is a share from 0 to 1"),
        (["{net}", "-o", "out.txt"], "--output must end in .tflite"),
        (["{net}", "-o", "{text}/out.tflite"], "--output: cannot write into"),
        (["{net}", "-o", "{empty}/missing/out.tflite"], "--output: cannot write into"),
        (["{net}", "--float"], "--float needs a run folder"),
        (["{net}", "--dataset", "no_such_set"], "no_such_set"),
        (["{net}", "--seed", "-1"], "--seed must not be negative"),
        (["{net}", "--image-size", "32"], "--image-size is for inputs of unknown size"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else None,
)
def test_wrong_arguments(arguments, message, keras_file, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").write_text("no model")
    (tmp_path / "broken.keras").write_bytes(keras_file.read_bytes()[:1000])
    names = {
        "empty": tmp_path / "empty",
        "text": tmp_path / "note.txt",
        "broken": tmp_path / "broken.keras",
        "net": keras_file,
    }
    assert main([a.format(**names) for a in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error


def test_an_unfinished_run_is_refused(run, capsys):
    (run / "fine_tuned.keras").unlink()
    assert main([str(run)]) == 2
    assert "is not finished. Repeat its training command" in capsys.readouterr().err


def test_a_data_set_of_another_shape_is_refused(tmp_path, capsys):
    keras.utils.set_random_seed(0)
    path = save(tmp_path / "rgb.keras", bduo_tf.networks.vgg7((16, 16, 3), form="baseline", width=0.1))
    assert main([str(path), "--dataset", "digits"]) == 2
    assert "takes images of shape (16, 16, 3), digits has (16, 16, 1)" in capsys.readouterr().err


def test_seeded_inputs_are_reproducible():
    images = [Sampler((2, 2, 1), np.dtype("float32"), -1, 1)]
    first, second = (np.concatenate([x for x, _ in seeded(images, 70, 3)]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (70, 2, 2, 1)


def test_help_explains_itself():
    done = subprocess.run([sys.executable, "-m", "convert", "--help"], capture_output=True, text=True, check=True)
    assert "run folder of `python -m train`, or a .keras file" in done.stdout
    assert "exit status: 0 the file was written and verified" in done.stdout


def test_convert_never_imports_train():
    code = "import sys, convert.cli; sys.exit(any(m.split('.')[0] == 'train' for m in sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_several_inputs_and_outputs_are_verified(tmp_path, capsys):
    model = several()
    path = save(tmp_path / "net.keras", model)
    assert main([str(path), "--samples", "20"]) == 0
    assert capsys.readouterr().out.count("outputs    agree on 20 of 20") == 2
    summary = json.loads((tmp_path / "net.json").read_text())
    assert (summary["inputs"], summary["outputs"]) == (["zeta", "a", "ids", "flag"], {"map": None, "b": "softmax"})
    assert all(v["outputs"]["map"]["agreeing"] == 20 for v in summary["verification"].values())
    inputs = random_inputs(model, 3)
    found = bduo_runtime.Interpreter(tmp_path / "net.tflite").predict(inputs)
    for ours, theirs in zip(found, model.predict(inputs, verbose=0), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dataset", "digits"], "not the scaled images of digits: no --dataset"),
        (["--scores", "softmax"], "--scores is for one output, but model 'model' has 2"),
        (["--labels", "{labels}"], "Model 'model' has 2 outputs, {labels} is for a classifier's"),
        (["--range", "0", "1"], "--range is for images, but model 'model' takes inputs of shape (8, 8, 3), (8, 8, 3)"),
    ],
)
def test_what_several_inputs_and_outputs_do_not_take(options, message, tmp_path, capsys):
    keras.backend.clear_session()
    path, labels = save(tmp_path / "net.keras", several()), tmp_path / "labels.txt"
    labels.write_text("a\nb\n")
    assert main([str(path), *(option.format(labels=labels) for option in options)]) == 2
    assert message.format(labels=labels) in capsys.readouterr().err


def test_a_map_can_fail(tmp_path, monkeypatch, capsys):
    """A map whose values all have the wrong sign fails the verification."""
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 3))
    model = randomize(keras.Model(x, keras.layers.Conv2D(5, 1)(binary(x))))
    other = convert_lce(bduo_tf.to_lce_graph(model))
    for layer in model.layers[-1:]:
        layer.set_weights([-w for w in layer.get_weights()])
    monkeypatch.setattr(keras_to_tflite, "convert_lce", lambda *_: other)
    path = save(tmp_path / "net.keras", model)
    assert main([str(path), "--samples", "20"]) == 1
    assert "FAILED: the outputs agree on 0 of 20 images, fewer than 99.00%" in capsys.readouterr().out


def test_decouple(tmp_path, capsys):
    path = save(tmp_path / "net.keras", small_vgg7())
    assert main([str(path)]) == 2
    assert "Or pass --decouple" in capsys.readouterr().err
    assert main([str(path), "--samples", "16", "--decouple"]) == 0
    assert "decoupled    here, and not fine-tuned" in capsys.readouterr().out
    assert json.loads((tmp_path / "net.json").read_text())["decoupled"]
    assert operators((tmp_path / "net.tflite").read_bytes())["LceBconv2d"] == 5


def test_decouple_of_what_is_binary_already(keras_file, tmp_path, capsys):
    output = tmp_path / "out.tflite"
    assert main([str(keras_file), "-o", str(output), "--samples", "4", "--decouple"]) == 0
    assert "not fine-tuned" not in capsys.readouterr().out
    assert not json.loads(output.with_suffix(".json").read_text())["decoupled"]


def test_an_open_size_is_given_by_an_option(tmp_path, capsys):
    x = keras.Input((None, None, 3), name="picture")
    outputs = keras.layers.Dense(4, name="scores")(keras.layers.GlobalAveragePooling2D()(binary(x)))
    path = save(tmp_path / "net.keras", randomize(keras.Model(x, outputs)))
    assert main([str(path)]) == 2
    assert "Give one: --image-size N or HxW." in capsys.readouterr().err
    assert main([str(path), "--samples", "4", "--image-size", "12x10"]) == 0
    found = bduo_runtime.Interpreter(tmp_path / "net.tflite")
    assert found.input_shapes == [(1, 12, 10, 3)]
    assert json.loads((tmp_path / "net.json").read_text())["outputs"] == {"scores": "logits"}


def test_layers_that_stay_float_are_named(keras_file, tmp_path, monkeypatch, capsys):
    floats = (SimpleNamespace(name="first", reason="it reads floats", from_step=False),)
    with_floats = lambda *args, **kwargs: SimpleDeployment(deployed(*args, **kwargs), floats)  # noqa: E731
    monkeypatch.setattr(keras_to_tflite, "deployed", with_floats)
    output = tmp_path / "out.tflite"
    assert main([str(keras_file), "-o", str(output), "--samples", "4"]) == 0
    assert "float, though its kernels are binary: first, it reads floats" in capsys.readouterr().out
    assert json.loads(output.with_suffix(".json").read_text())["float_layers"] == {"first": "it reads floats"}


class SimpleDeployment:
    """A deployment that names other layers as float ones."""

    def __init__(self, deployment, floats):
        self.deployment, self.floats = deployment, floats

    def __getattr__(self, name):
        return getattr(self.deployment, name)


def test_an_interrupted_conversion_says_so(keras_file, tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(keras_to_tflite, "convert_lce", interrupt)
    assert main([str(keras_file), "-o", str(tmp_path / "out.tflite")]) == 130
    assert capsys.readouterr().err == "error: interrupted.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "function", ["bduo_tf.conversion.preparation.deploy", "bduo_tf.conversion.keras_to_tflite.verify_in_each"]
)
def test_what_nobody_thought_of_is_one_line(function, keras_file, tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise KeyError("pool2")

    monkeypatch.setattr(function, fail)
    assert main([str(keras_file), "-o", str(tmp_path / "out.tflite")]) == 2
    error = capsys.readouterr().err
    assert error.endswith(": KeyError: 'pool2'\n")
    assert len(error.strip().splitlines()) == 1
