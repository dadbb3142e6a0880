"""Models are loaded from every format of Keras 2, and no code in a file is run unless that was asked for."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

import bduo_tf
from bduo_tf.backend import keras
from bduo_tf.conversion.errors import ConversionError
from bduo_tf.conversion.loading import load_model
from bduo_tf.runs import RunFolder
from convert.cli import main
from tests.bduo_tf.conversion.models import decoupled, small_vgg7
from tests.bduo_tf.runs.finished import CONFIG

# Keras gives this advice when it writes and reads its older formats.
pytestmark = [
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

FORMATS = {"keras": "net.keras", "HDF5": "net.h5", "SavedModel": "folder", "HDF5 named .keras": "fake.keras"}


def save(model, folder, kind):
    path = folder / FORMATS[kind]
    if kind == "HDF5 named .keras":
        model.save(folder / "net.h5")
        shutil.move(folder / "net.h5", path)
    else:
        model.save(path)
    return path


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(-1, 1, (4, 16, 16, 1)).astype(np.float32)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("make", [small_vgg7, decoupled], ids=["coupled", "decoupled"])
def test_binary_networks_load(make, kind, tmp_path, images):
    model = make()
    loaded = load_model(save(model, tmp_path, kind))
    np.testing.assert_allclose(loaded.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-6)


@pytest.mark.parametrize("name", ["net.h5", "folder"])
def test_other_formats_are_converted_and_verified(name, tmp_path):
    decoupled().save(tmp_path / name)
    assert main([str(tmp_path / name), "--samples", "4"]) == 0
    assert (tmp_path / name).with_suffix(".tflite").is_file()


def lambda_model(nested):
    """A model whose Lambda layer leaves a mark when it is run."""
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Lambda(lambda t: __import__("builtins").print("ran", end="") or t * 2)(x))
    if nested:
        y = keras.Input((3, 4))
        model = keras.Model(y, keras.layers.TimeDistributed(model)(y))
    return model


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", FORMATS)
def test_code_in_a_file_is_run_only_when_asked_for(kind, nested, tmp_path, capsys):
    path = save(lambda_model(nested), tmp_path, kind)
    capsys.readouterr()
    assert main([str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith(
        "holds Python code (a Lambda layer), which would be run. Pass --unsafe if you trust who made it.\n"
    )
    assert load_model(path, unsafe=True).output_shape[-1] == 4
    assert "ran" in capsys.readouterr().out


def test_what_is_no_model(tmp_path):
    decoupled().save(tmp_path / "net.h5")
    decoupled().save(tmp_path / "net.keras")
    decoupled().save_weights(tmp_path / "weights.h5")
    (tmp_path / "cut.h5").write_bytes((tmp_path / "net.h5").read_bytes()[:3000])
    (tmp_path / "cut.keras").write_bytes((tmp_path / "net.keras").read_bytes()[:3000])
    (tmp_path / "note.txt").write_text("no model")
    shutil.copy(tmp_path / "net.keras", tmp_path / "net.zip")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"")
    for name, message in {
        "weights.h5": "holds weights, but no model. Save the model by model.save",
        "cut.h5": "cannot be loaded as a Keras model",
        "cut.keras": "it is damaged, or of another format",
        "note.txt": "is not a .keras file",
        "net.zip": "Rename it to net.keras",
        "saved": "is a SavedModel without its Keras model",
    }.items():
        with pytest.raises(ConversionError, match=message) as caught:
            load_model(tmp_path / name)
        assert len(str(caught.value).splitlines()) == 1


def test_a_file_of_keras_3_is_named(tmp_path):
    code = "import keras; keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save('three.keras')"
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "0"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True)
    with pytest.raises(ConversionError, match=r"was saved by Keras 3\.[\d.]+, and Larq builds on Keras 2"):
        load_model(tmp_path / "three.keras")


MODULE = """
import bduo_tf
from bduo_tf.backend import keras, lq


@keras.utils.register_keras_serializable("mine")
class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x


@keras.utils.register_keras_serializable("mine")
def halved(x):
    return x / 2


def save(path):
    x = keras.Input((8, 8, 2))
    conv = lq.layers.QuantConv2D(3, 3, input_quantizer=bduo_tf.CoupledStep(1), kernel_quantizer=bduo_tf.ScaledSign())
    y = keras.layers.Flatten()(conv(keras.layers.BatchNormalization()(Doubled()(x))))
    keras.Model(x, keras.layers.Dense(3, activation=halved if path.endswith(".keras") else None)(y)).save(path)
"""


@pytest.fixture
def module(tmp_path):
    """A folder with a user's module, and with models that need it."""
    (tmp_path / "my_layers.py").write_text(MODULE)
    (tmp_path / "broken_layers.py").write_text("import no_such_module")
    code = "import my_layers; my_layers.save('net.keras'); my_layers.save('net.h5')"
    environment = {**os.environ, "PYTHONPATH": ":".join([*filter(None, sys.path), str(tmp_path)])}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True)
    return tmp_path


@pytest.mark.parametrize("name", ["net.keras", "net.h5"])
def test_a_missing_object_is_named_and_imported(name, module, monkeypatch, capsys):
    monkeypatch.chdir(module)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    registered = dict(keras.utils.get_custom_objects())
    try:
        assert main([name, "--samples", "4"]) == 2
        error = capsys.readouterr().err
        assert re.search("needs 'mine>(Doubled|halved)', which is not known: --import the module that registers", error)
        assert len(error.strip().splitlines()) == 1
        assert main([name, "--samples", "4", "--import", "my_layers"]) == 0
    finally:
        sys.modules.pop("my_layers", None)
        keras.utils.get_custom_objects().clear()
        keras.utils.get_custom_objects().update(registered)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "no_such_module",
            "--import no_such_module: the module cannot be imported: ModuleNotFoundError: No module named",
        ),
        ("broken_layers", "--import broken_layers: the module cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_module_that_cannot_be_imported(name, message, module, monkeypatch, capsys):
    monkeypatch.chdir(module)
    assert main(["net.keras", "--import", name]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


NETS = """
import bduo_tf
from bduo_tf.backend import keras


def small():
    x = keras.Input((16, 16, 1))
    doubled = keras.layers.Lambda(lambda t: 2 * t)(x)
    return keras.Model(x, bduo_tf.networks.vgg7((16, 16, 1), form="baseline", width=0.1)(doubled))


def failing():
    raise OSError("no weights")


def number():
    return 3
"""


def test_a_function_that_makes_the_model(tmp_path, monkeypatch, capsys):
    (tmp_path / "my_nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    assert main(["my_nets:small", "--samples", "4"]) == 0
    assert (tmp_path / "small.tflite").exists()
    capsys.readouterr()
    for source, message in [
        ("my_nets:failing", "my_nets:failing fails: OSError: no weights"),
        ("my_nets:none", "my_nets:none fails: AttributeError"),
        ("my_nets:number", "my_nets:number returns no Keras model, but int"),
        ("no_such_nets:small", "no_such_nets:small: the module cannot be imported: ModuleNotFoundError"),
        ("c:/net.keras", "c:/net.keras does not exist"),
    ]:
        assert main([source]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize("final", ["../other", "/tmp/other", "a/b", 3, [], ""])
def test_a_run_names_a_file_of_its_own_folder(final, tmp_path, capsys):
    run = tmp_path / "run"
    (run / "a").mkdir(parents=True)
    bduo_tf.networks.vgg7((16, 16, 1), form="baseline", width=0.1).save(tmp_path / "other.keras")
    shutil.copy(tmp_path / "other.keras", run / "a" / "b.keras")
    RunFolder(run).write_config(CONFIG)
    (run / "metrics.json").write_text(json.dumps({"final": final}))
    assert main([str(run)]) == 2
    error = capsys.readouterr().err
    assert "names as final no file of that folder" in error or "is not finished" in error
    assert len(error.strip().splitlines()) == 1
