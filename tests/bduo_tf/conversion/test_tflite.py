"""What the converters cannot do is said in one line of their own words."""

import os
import sys

import pytest

from bduo_tf.backend import keras, tf
from bduo_tf.conversion.errors import ConversionError
from bduo_tf.conversion.interpreters import require_runnable
from bduo_tf.conversion.tflite import convert_float32, convert_lce, quiet, reason
from convert.cli import main


def model_of(call, shape=(8, 6)):
    x = keras.Input(shape)
    return keras.Model(x, call(x))


def of_unknown_length(x):
    """Makes rows of a length that depends on the image, which the compiler refuses."""
    return tf.map_fn(lambda row: tf.boolean_mask(row, row[:, 0] > 0)[:1], x)


def test_an_operation_that_the_compiler_refuses():
    with pytest.raises(
        ConversionError, match=r"converter cannot convert the model: 'tf\.TensorListReserve' op requires"
    ):
        convert_lce(model_of(keras.layers.Lambda(of_unknown_length)))


@pytest.mark.parametrize("convert", [convert_lce, convert_float32])
def test_the_compilers_reason_is_told(convert, monkeypatch):
    def fail(*_):
        os.write(2, b'W0000 a warning\nloc(fused["x", "y: z"]): error: \'tf.Odd\' op is odd\nerror: later\n')
        raise RuntimeError("Could not translate to flatbuffer.")

    monkeypatch.setattr("larq_compute_engine.convert_saved_model", fail)
    monkeypatch.setattr(tf.lite.TFLiteConverter, "from_saved_model", fail)
    with pytest.raises(ConversionError, match=r"converter cannot convert the model: 'tf\.Odd' op is odd$"):
        convert(model_of(keras.layers.ReLU()))


def test_pythons_reason_where_the_compiler_has_none():
    with quiet() as log:
        os.write(2, b"nothing of note\n")
        assert reason(log, ValueError("first line\nsecond")) == "first line"
        assert reason(log, ValueError()) == "ValueError"


def test_the_terminal_is_given_back(capfd):
    def fail():
        os.write(2, b"hidden")
        raise RuntimeError

    with pytest.raises(RuntimeError), quiet():
        fail()
    os.write(2, b"shown")
    assert capfd.readouterr().err == "shown"
    assert sys.stderr is not None


@pytest.mark.parametrize(
    ("call", "shape", "message"),
    [
        (lambda x: tf.linalg.inv(x), (4, 4), "cannot run the file: Encountered unresolved custom op: MatrixInverse"),
        (lambda x: tf.linalg.svd(x)[0], (4, 4), "cannot run the file: Encountered unresolved custom op: Svd"),
        (
            keras.layers.LSTM(3),
            (8, 6),
            "the operator UNIDIRECTIONAL_SEQUENCE_LSTM, whose state passes from one",
        ),
    ],
    ids=["inv", "svd", "LSTM"],
)
def test_operators_that_cannot_be_run(call, shape, message, tmp_path, capsys):
    with pytest.raises(ConversionError, match=message):
        require_runnable(convert_lce(model_of(call, shape)))
    model_of(call, shape).save(tmp_path / "net.keras")
    assert main([str(tmp_path / "net.keras")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
