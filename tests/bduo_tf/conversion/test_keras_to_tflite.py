"""`bduo_tf.to_tflite`: what it returns, what it refuses, and that it needs no more than it says."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bduo_runtime
import bduo_tf
from bduo_tf.backend import keras
from bduo_tf.conversion import ConversionError, interpreters, keras_to_tflite, of_dataset, operators
from convert.cli import main
from tests.bduo_tf.conversion.models import binary, decoupled, random_inputs, several, small_vgg7
from tests.bduo_tf.graphs import randomize

NAMES = tuple("abcdefghij")


@pytest.fixture(scope="module")
def model():
    return decoupled()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(-1, 1, (20, 16, 16, 1))  # float64, as NumPy has it


@pytest.fixture(scope="module")
def converted(model, images):
    labels = model.predict(images, verbose=0).argmax(-1)
    return bduo_tf.to_tflite(model, images, labels, class_names=NAMES, input_range=(-1, 1))


def test_a_decoupled_model(converted, tmp_path):
    report = converted.report
    assert report.verified
    assert report.problems == []
    assert list(report.verifications) == ["LCE", "bduo_runtime"]
    assert all((v.images, v.agreeing, v.accuracy) == (20, 20, 1.0) for v in report.verifications.values())
    assert operators(converted.file)["LceBconv2d"] == 5
    assert converted.deployment.graph.output_shape == (None, 10)
    converted.save(tmp_path / "model.tflite")
    known = bduo_runtime.Interpreter(tmp_path / "model.tflite").metadata
    assert (known.labels, known.mean, known.outputs) == (NAMES, (127.5,), ("logits",))


def test_the_report_is_text(converted):
    text = str(converted.report)
    assert text.startswith(f"vgg7_decoupled: {len(converted.file):,} bytes\n")
    assert text.count("arg max    agrees on 20 of 20") == 2
    assert "LCE against Keras, on 20 given images" in text
    assert converted.report._repr_html_() == f"<pre>{text}</pre>"
    assert len(repr(converted)) < 1000  # a notebook shows it where nobody prints it


def test_the_file_is_that_of_the_command(model, tmp_path):
    path, labels = tmp_path / "net.keras", tmp_path / "labels.txt"
    model.save(path)
    labels.write_text("\n".join(NAMES))
    # Keras numbers quantizers through the whole process, and tensors bear their names.
    keras.backend.clear_session()
    assert main([str(path), "--samples", "4", "--labels", str(labels), "--range", "0", "1"]) == 0
    keras.backend.clear_session()
    loaded = keras.models.load_model(path, compile=False)
    converted = bduo_tf.to_tflite(loaded, samples=4, class_names=NAMES, input_range=(0, 1))
    assert converted.report.verified_on == "4 inputs, uniform in [0, 1], seed 0"
    assert converted.file == (tmp_path / "net.tflite").read_bytes()


def test_a_coupled_model(images):
    model = small_vgg7()
    with pytest.raises(ConversionError, match="Or pass `decouple=True`, which fine-tunes nothing"):
        bduo_tf.to_tflite(model, images)
    converted = bduo_tf.to_tflite(model, images, decouple=True, samples=4)
    assert converted.report.verified
    assert converted.report.decoupled
    assert "decoupled    here, and not fine-tuned" in str(converted.report)
    np.testing.assert_allclose(
        bduo_runtime.Interpreter(converted.file).predict(images[:4]), model.predict(images[:4], verbose=0), atol=1e-3
    )


@pytest.mark.parametrize("by_name", [False, True])
def test_several_inputs_and_outputs(by_name):
    model = several()
    inputs = random_inputs(model, 20)
    given = dict(zip(model.input_names, inputs, strict=True)) if by_name else inputs
    report = bduo_tf.to_tflite(model, given).report
    assert report.verified
    assert (report.inputs, report.outputs) == (("zeta", "a", "ids", "flag"), {"map": None, "b": "softmax"})
    assert all(v.images == 20 and set(v.outputs) == {"map", "b"} for v in report.verifications.values())


def test_an_open_size():
    x = keras.Input((None, None, 3))
    model = keras.Model(x, keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(binary(x))))
    converted = bduo_tf.to_tflite(randomize(model), samples=2, image_size=12)
    assert converted.report.verified
    assert bduo_runtime.Interpreter(converted.file).input_shapes == [(1, 12, 12, 3)]


def test_a_data_set_is_streamed(model):
    data = pytest.importorskip("bduo_tf.data")
    converted = bduo_tf.to_tflite(model, of_dataset(data.load("digits", (16, 16)), 8), min_agreement=0)
    assert converted.report.verified_on == "8 test images of digits"
    assert all(v.keras_accuracy is not None for v in converted.report.verifications.values())


def test_a_file_that_fails_is_returned_but_not_saved(model, images, converted, monkeypatch, tmp_path):
    other = bduo_tf.conversion.convert_lce(bduo_tf.to_lce_graph(decoupled(seed=1)))
    monkeypatch.setattr(keras_to_tflite, "convert_lce", lambda *_: other)
    failed = bduo_tf.to_tflite(model, images)
    assert not failed.report.verified
    assert "FAILED: the arg max agrees on" in str(failed.report)
    with pytest.raises(ConversionError, match=r"is not written, since its verification failed: .* \(LCE\)"):
        failed.save(tmp_path / "model.tflite")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": 0}, "`samples` must be at least 1, not 0"),
        ({"seed": -1}, "`seed` must not be negative"),
        ({"min_agreement": 2}, "`min_agreement` is a share from 0 to 1"),
        ({"input_range": (1, 1)}, "`input_range` takes two different numbers, not 1 and 1"),
        ({"scores": "odds"}, "`scores` is one of softmax, sigmoid, logits, sigmoid_logits, not 'odds'"),
        ({"class_names": ["a", "b"]}, r"has outputs \(10,\), `class_names` has 2 classes"),
        ({"class_names": ["two\nlines"]}, "`class_names` must be text, one line for each class"),
        ({"image_size": 12}, "`image_size` is for inputs of unknown size"),
        ({"image_size": (1, 2, 3)}, "`image_size` is"),
        ({"labels": [1]}, "`labels` are those of the arrays in `images`"),
        (
            {"images": np.zeros((4, 8, 8, 1))},
            r"of shape \(count, 16, 16, 1\), `images` has \(4, 8, 8, 1\)",
        ),
        ({"images": np.zeros((4, 16, 16, 1)), "labels": [0]}, r"must be of one length, but have \[1, 4\] elements"),
        ({"images": {"odd": np.zeros((4, 16, 16, 1))}}, "`images` is for the inputs odd"),
        ({"images": ["text"]}, "`images` cannot be used as arrays"),
    ],
)
def test_wrong_arguments(arguments, message, model):
    with pytest.raises(ConversionError, match=message) as error:
        bduo_tf.to_tflite(model, **arguments)
    assert len(str(error.value).splitlines()) == 1


def test_what_is_no_model():
    with pytest.raises(ConversionError, match="must be a Keras model, not str"):
        bduo_tf.to_tflite("model.keras")


def test_without_the_runtime_the_report_says_so(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "bduo_runtime", None)
    assert list(interpreters()) == ["LCE"]
    report = bduo_tf.to_tflite(model, samples=2).report
    assert report.verified
    assert "bduo_runtime is not installed (pip install ./runtime): not verified with it" in str(report)


@pytest.mark.parametrize("package", ["larq_compute_engine", "ai_edge_litert"])
def test_a_missing_package_says_what_to_install(package, model, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConversionError, match=rf"^Conversion needs {package}, .*: pip install bduo-tf\[convert\]$"):
        bduo_tf.to_tflite(model, samples=2)


_WITHOUT_DATA_SETS = """
import sys
sys.modules |= dict.fromkeys(("tensorflow_datasets", "sklearn", "bduo_tf.data"))
import bduo_tf
assert not any(name.startswith("bduo_tf.conversion") for name in sys.modules)  # only once it is asked for
from convert.cli import main
from tests.bduo_tf.conversion.models import decoupled
from tests.bduo_tf.graphs import randomize
model = decoupled()
assert bduo_tf.to_tflite(model, samples=2).report.verified
model.save(sys.argv[1])
sys.exit(main([sys.argv[1], "--dataset", "digits"]))
"""


def test_data_sets_are_needed_only_if_one_is_named(tmp_path):
    command = [sys.executable, "-c", _WITHOUT_DATA_SETS, str(tmp_path / "net.keras")]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert "error: Data set digits cannot be read without the packages of training" in done.stderr
    assert "pip install bduo-tf[train]" in done.stderr
    assert done.returncode == 2
