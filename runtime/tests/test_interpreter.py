"""Interpreter: batches, errors, threads; and the delegate in LiteRT's own interpreter: resizing, allocating again."""

import concurrent.futures
import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter as LiteRT
from ai_edge_litert.interpreter import load_delegate

import bduo_runtime

FORMS = ("thresholds", "pooled_thresholds", "residual_thresholds")
SHAPE = (8, 8, 16)


@pytest.fixture(scope="module")
def model(converted):
    return converted(FORMS, 5, SHAPE)


def images(batch, shape=SHAPE, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, *shape)).astype(np.float32)


def assert_equal(ours, wanted):
    for y, w in zip(ours, wanted, strict=True):
        np.testing.assert_allclose(y, w, rtol=1e-6, atol=1e-5)


def test_batches_of_any_size(model):
    interpreter = bduo_runtime.Interpreter(model)
    x = images(5)
    whole = interpreter.predict(x)
    single = [interpreter.predict(x[i : i + 1]) for i in range(5)]
    assert_equal(whole, [np.concatenate(parts) for parts in zip(*single, strict=True)])
    assert [y.shape for y in interpreter.predict(x[:0])] == [(0, *y.shape[1:]) for y in whole]


def test_batch_of_the_file(converted):
    """A model whose own batch is 4 runs batches that are no multiple of it."""
    path = converted(("scaled",), 0, SHAPE)
    interpreter = bduo_runtime.Interpreter(path)
    x = images(6)
    wanted = interpreter.predict(x)
    interpreter.litert.resize_tensor_input(interpreter.litert.get_input_details()[0]["index"], (4, *SHAPE))
    interpreter.litert.allocate_tensors()
    assert (interpreter.input_shapes, interpreter.output_shapes[0][0]) == ([(4, *SHAPE)], 4)
    np.testing.assert_array_equal(interpreter.predict(x), wanted)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (np.zeros((1, 8, 8, 15), np.float32), r"must have the shape \(batch, 8, 8, 16\), not \(1, 8, 8, 15\)"),
        (np.zeros((8, 8, 16), np.float32), r"must have the shape"),
        (np.zeros((1, 8, 8, 16), int), "must be float32, not int64"),
        (np.zeros((1, 8, 8, 16), np.uint8), "must be float32, not uint8"),
    ],
)
def test_wrong_input(model, batch, message):
    with pytest.raises(ValueError, match=message):
        bduo_runtime.Interpreter(model).predict(batch)


def test_floats_of_another_width(model):
    x = images(2)
    interpreter = bduo_runtime.Interpreter(model)
    assert_equal(interpreter.predict(x.astype(np.float64)), interpreter.predict(x))


def test_wrong_threads(model):
    for threads in (0, -1):
        with pytest.raises(ValueError, match=f"num_threads must be at least 1, not {threads}"):
            bduo_runtime.Interpreter(model, num_threads=threads)
    with pytest.raises(ValueError, match="num_threads must be at most 256, not 1000"):
        bduo_runtime.Interpreter(model, num_threads=1000)
    with pytest.raises(TypeError):
        bduo_runtime.Interpreter(model, num_threads=1.5)
    assert bduo_runtime.Interpreter(model, num_threads=256).predict(images(1))


def test_no_model(tmp_path):
    with pytest.raises(FileNotFoundError):
        bduo_runtime.Interpreter(tmp_path / "none.tflite")
    with pytest.raises(bduo_runtime.ModelError, match="is not a TFLite model"):
        bduo_runtime.Interpreter(b"no model at all")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_content_instead_of_path(model, kind):
    x = images(1)
    content = kind(model.read_bytes())
    interpreter = bduo_runtime.Interpreter(content)
    if kind is bytearray:
        content[:] = bytes(len(content))  # it is a copy
    assert_equal(interpreter.predict(x), bduo_runtime.Interpreter(model).predict(x))
    with pytest.raises(bduo_runtime.ModelError, match="the model is not a TFLite model"):
        bduo_runtime.Interpreter(kind(b"no model at all"))


def test_library_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("BDUO_RUNTIME_LIBRARY", str(tmp_path / "none.so"))
    with pytest.raises(FileNotFoundError, match=r"pip install \./runtime"):
        bduo_runtime.delegate_path()


def test_interpreters_in_threads(model):
    x = images(4)
    wanted = bduo_runtime.Interpreter(model).predict(x)

    def work(seed):
        interpreter = bduo_runtime.Interpreter(model, num_threads=1 + seed % 2)
        return [interpreter.predict(x) for _ in range(5)]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for outputs in pool.map(work, range(8)):
            for output in outputs:
                assert_equal(output, wanted)


def test_an_interpreter_for_several_threads(model):
    """Each gets the outputs of its own images, though one interpreter has but one place for them."""
    interpreter = bduo_runtime.Interpreter(model, num_threads=2)
    batches = [images(3, seed=seed) for seed in range(4)]
    wanted = [interpreter.predict(x) for x in batches]

    def work(i):
        shapes = set()
        outputs = []
        for _ in range(50):
            outputs.append(interpreter.predict(batches[i]))
            shapes |= {*interpreter.input_shapes, *interpreter.output_shapes}
        return outputs

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for outputs, right in zip(pool.map(work, range(4)), wanted, strict=True):
            for output in outputs:
                for y, w in zip(output, right, strict=True):
                    np.testing.assert_array_equal(y, w)


def test_shapes_follow_a_resize(converted):
    interpreter = bduo_runtime.Interpreter(converted(("scaled",), 6, SHAPE))
    batch = images(1, (11, 9, 16))
    interpreter.litert.resize_tensor_input(interpreter.litert.get_input_details()[0]["index"], batch.shape)
    interpreter.litert.allocate_tensors()
    wanted = bduo_runtime.Interpreter(converted(("scaled",), 6, (11, 9, 16)))
    assert interpreter.input_shapes == wanted.input_shapes == [(1, 11, 9, 16)]
    assert interpreter.output_shapes == wanted.output_shapes
    np.testing.assert_array_equal(interpreter.predict(batch), wanted.predict(batch))
    with pytest.raises(ValueError, match=r"must have the shape \(batch, 11, 9, 16\), not \(1, 8, 8, 16\)"):
        interpreter.predict(images(1))


def test_pictures_follow_a_resize():
    interpreter = bduo_runtime.Interpreter(Path(__file__).parent / "files" / "classifier.tflite")
    interpreter.litert.resize_tensor_input(interpreter.litert.get_input_details()[0]["index"], (1, 12, 20, 3))
    interpreter.litert.allocate_tensors()
    assert interpreter.preprocess(np.zeros((12, 20, 3), np.uint8)).shape == (1, 12, 20, 3)
    assert len(interpreter.classify(np.zeros((12, 20, 3), np.uint8))) == 4


def litert(path, options=None):
    return LiteRT(str(path), experimental_delegates=[load_delegate(bduo_runtime.delegate_path(), options or {})])


def outputs_of(interpreter, x):
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def test_resizing(model):
    interpreter = litert(model)
    index = interpreter.get_input_details()[0]["index"]
    for batch in (3, 1, 4, 4, 2):
        x = images(batch, seed=batch)
        interpreter.resize_tensor_input(index, x.shape)
        interpreter.allocate_tensors()
        assert_equal(outputs_of(interpreter, x), bduo_runtime.Interpreter(model).predict(x))


@pytest.mark.parametrize("form", FORMS)
def test_resizing_height_and_width(converted, lce_outputs, form):
    wide = converted((form,), 6, (11, 9, 16))
    interpreter = litert(converted((form,), 6, SHAPE))
    x = images(1, (11, 9, 16))
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], x.shape)
    interpreter.allocate_tensors()
    assert_equal(outputs_of(interpreter, x), lce_outputs(wide, x))


def test_resizing_to_what_cannot_be(model):
    interpreter = litert(model)
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], (1, 8, 8, 17))
    with pytest.raises(RuntimeError):
        interpreter.allocate_tensors()
    x = images(1)
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], x.shape)
    interpreter.allocate_tensors()
    assert_equal(outputs_of(interpreter, x), bduo_runtime.Interpreter(model).predict(x))


def test_allocating_again(model):
    interpreter = litert(model)
    for seed in range(3):
        interpreter.allocate_tensors()
        x = images(1, seed=seed)
        assert_equal(outputs_of(interpreter, x), bduo_runtime.Interpreter(model).predict(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 2}, "no option threads; there are num_threads and report"),
        ({"num_threads": "many"}, "num_threads must be a number from 1 to 256, not many"),
        ({"num_threads": 0}, "num_threads must be a number from 1 to 256, not 0"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        load_delegate(bduo_runtime.delegate_path(), options)


def test_model_without_binary_operators(converted, lce_outputs):
    path = converted(("unquantized",), 0, SHAPE)
    x = images(2)
    np.testing.assert_allclose(bduo_runtime.Interpreter(path).predict(x), lce_outputs(path, x)[0], rtol=1e-5, atol=1e-6)


FORKS = """
import os, signal, sys
import numpy as np
import bduo_runtime

interpreter = bduo_runtime.Interpreter(sys.argv[1], num_threads=3)
x = np.random.default_rng(0).normal(size=(1, 8, 8, 16)).astype(np.float32)
wanted = interpreter.predict(x)
for use in ("predict", "delete", "end"):
    if os.fork() == 0:
        signal.alarm(60)  # a child that hangs is killed, so that the parent sees it
        if use == "predict":
            assert all(map(np.array_equal, interpreter.predict(x), wanted))
        if use == "delete":
            del interpreter
        sys.exit(0)
    status = os.wait()[1]
    assert status == 0, (use, status)
assert all(map(np.array_equal, interpreter.predict(x), wanted))
"""


@pytest.mark.starts_python
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_in_a_forked_process(model):
    """As in a pool of multiprocessing or a server that forks: a child has none of the delegate's threads."""
    done = subprocess.run([sys.executable, "-c", FORKS, str(model)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.starts_python
def test_the_end_of_python_is_silent(model):
    """An interpreter may outlive the modules, whose contents Python replaces by None in an order of its own."""
    program = (
        "import sys, bduo_runtime, ai_edge_litert.interpreter\n"
        "interpreter = bduo_runtime.Interpreter(sys.argv[1])\n"
        "for name in ('ai_edge_litert.interpreter', 'bduo_runtime._library', 'bduo_runtime._interpreter'):\n"
        "    contents = vars(sys.modules[name])\n"
        "    contents.update(dict.fromkeys(set(contents) - {'__builtins__'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(model)], capture_output=True, text=True)
    assert done.returncode == 0
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(shutil.which("nm") is None, reason="nm is not installed")
def test_exported_symbols():
    """The two by which a host finds a delegate, and no others."""
    path = bduo_runtime.delegate_path()
    listed = subprocess.run(["nm", "-D", "--defined-only", path], capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1] for line in listed.splitlines() if line.split()[-2] in "TDBVWiu"}
    assert names == {"tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate"}
    ctypes.CDLL(path)
