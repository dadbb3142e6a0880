"""Several inputs and outputs: their names and order, shapes and types; arrays by position and by name."""

import numpy as np
import pytest
import tiny

import bduo_runtime

A, B = np.float32([[5, 7]]), np.float32([[1, 2]])


def model(signature=True, twice=False, shapes=((1, 2), (1, 2)), change=None):
    """Inputs left, right; outputs difference = left - right and its bytes. The tensors' names and order are others."""
    b = tiny.Builder()
    difference = b.tensor("Identity:0", (1, 2))
    right, left = (b.tensor(f"serving_default_{name}:0", shape) for name, shape in zip("rl", shapes, strict=True))
    small = b.tensor("Identity_1:0", (1, 2), "uint8", (1 / 16, 0))
    b.operator("SUB", [left, right], difference)
    b.operator("QUANTIZE", [difference], small)
    outputs = [small, difference, small] if twice else [small, difference]
    if signature:
        names = {"difference": difference, "bytes": small} | ({"again": small} if twice else {})
        b.signature({"right": right, "left": left}, names, **({} if signature is True else {"key": signature}))
    if change:
        change(b.model)
    return b.write([left, right], outputs)


def test_the_names_of_the_signature():
    interpreter = bduo_runtime.Interpreter(model())
    assert interpreter.input_names == ["left", "right"]
    assert interpreter.output_names == ["bytes", "difference"]
    assert (interpreter.input_shapes, interpreter.output_shapes) == ([(1, 2)] * 2, [(1, 2)] * 2)
    assert (interpreter.input_types, interpreter.output_types) == ([np.float32] * 2, [np.uint8, np.float32])


def test_by_position_and_by_name():
    interpreter = bduo_runtime.Interpreter(model())
    for inputs in ([A, B], (A, B), {"right": B, "left": A}):
        small, difference = interpreter.predict(inputs)
        np.testing.assert_array_equal(difference, A - B)
        np.testing.assert_array_equal(small, (A - B) * 16)
    rows = {"left": np.repeat(A, 3, 0), "right": np.arange(6, dtype=np.float32).reshape(3, 2)}
    np.testing.assert_array_equal(interpreter.predict(rows)[1], rows["left"] - rows["right"])


def test_the_only_input():
    interpreter = bduo_runtime.Interpreter(tiny.image_model((2, 3, 1)))
    x = np.arange(24, dtype=np.float32).reshape(4, 2, 3, 1)
    for inputs in (x, [x], (x,), {"image": x}, list(x), x.tolist()):
        if isinstance(inputs, list) and isinstance(inputs[0], list):
            inputs = np.float32(inputs)
        np.testing.assert_array_equal(interpreter.predict(inputs), x.reshape(4, 6))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"left": A, "rihgt": B}, "there is no input 'rihgt': the model's inputs are 'left', 'right'"),
        ({"left": A}, "the input 'right' is missing: the model's inputs are 'left', 'right'"),
        ({}, "the input 'left' is missing: the model's inputs are 'left', 'right'"),
        ([A], "the model has 2 inputs, not 1"),
        (A, "the model has 2 inputs, not 1"),
        ([A, B, B], "the model has 2 inputs, not 3"),
        ([A, B[:, :1]], r"input 'right' must have the shape \(batch, 2\), not \(1, 1\)"),
        ({"right": B, "left": A.astype(int)}, "input 'left' must be float32, not int64"),
        ([np.repeat(A, 2, 0), np.repeat(B, 3, 0)], "all inputs must have the same batch"),
    ],
)
def test_what_does_not_fit(inputs, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        bduo_runtime.Interpreter(model()).predict(inputs)


def test_one_tensor_of_two_names():
    interpreter = bduo_runtime.Interpreter(model(twice=True))
    assert interpreter.output_names == ["bytes", "difference", "again"]
    small, _, again = interpreter.predict([A, B])
    np.testing.assert_array_equal(small, again)


def test_serving_default_before_others():
    def other(m):
        first = tiny.Builder()
        first.signature({"x": 2, "y": 1}, {"z": 0}, key="another")
        m.signatureDefs.insert(0, first.model.signatureDefs[0])

    assert bduo_runtime.Interpreter(model(change=other)).input_names == ["left", "right"]
    assert bduo_runtime.Interpreter(model("mine")).input_names == ["left", "right"]


TENSORS = ["serving_default_l:0", "serving_default_r:0"]


def without_left(m):
    del m.signatureDefs[0].inputs[1]


def alike(m):
    for entry in m.signatureDefs[0].inputs:
        entry.name = "x"


def unnamed(m):
    m.signatureDefs[0].inputs[0].name = ""


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (model(False), TENSORS),
        (model(change=without_left), [TENSORS[0], "right"]),
        (model(change=alike), TENSORS),
        (model(change=unnamed), ["left", TENSORS[1]]),
    ],
    ids=["none", "one missing", "twice", "empty"],
)
def test_names_of_tensors_where_the_signature_has_none(content, names):
    interpreter = bduo_runtime.Interpreter(content)
    assert interpreter.input_names == names
    np.testing.assert_array_equal(interpreter.predict(dict(zip(names, (A, B), strict=True)))[1], A - B)


def test_a_damaged_signature():
    """The offset of its maps leads out of the file: where LiteRT takes such a file, the tensors' names stand."""
    from bduo_runtime import _graph

    content = bytearray(model())
    place = content.index(b"serving_default\0")
    for start in range(place - 60, place):
        damaged = content[:start] + b"\xff\xff\xff\x7f" + content[start + 4 :]
        inputs, outputs = _graph.signature_names(bytes(damaged))
        for names in (inputs, outputs):
            assert all(isinstance(name, str) for found in names.values() for name in found)
    assert _graph.signature_names(bytes(content[:40])) == ({}, {})


def test_two_inputs_of_one_name():
    def change(m):
        for tensor in m.subgraphs[0].tensors:
            tensor.name = "x"

    interpreter = bduo_runtime.Interpreter(model(False, change=change))
    np.testing.assert_array_equal(interpreter.predict([A, B])[1], A - B)
    with pytest.raises(ValueError, match="are 'x', 'x': a list tells those of one name apart, a dict does not"):
        interpreter.predict({"x": A})


def test_what_has_no_batch():
    """Arrays of just the file's shapes are run as they are; others cannot be cut into runs."""
    interpreter = bduo_runtime.Interpreter(model(shapes=((), (1, 2))))
    np.testing.assert_array_equal(interpreter.predict([A, np.float32(1)])[1], A - 1)
    with pytest.raises(ValueError, match="inputs without a common batch: give arrays of just their shapes"):
        interpreter.predict([np.repeat(A, 2, 0), np.float32(1)])
    interpreter = bduo_runtime.Interpreter(model(shapes=((2,), (1, 2))))
    np.testing.assert_array_equal(interpreter.predict([A, B[0]])[1], A - B)


def test_an_output_without_a_batch():
    b = tiny.Builder()
    x, y = b.tensor("x", (1, 4)), b.tensor("y", (4,))
    b.operator("RESHAPE", [x, b.tensor("shape", (1,), "int32", value=np.array([4]))], y)
    interpreter = bduo_runtime.Interpreter(b.write([x], [y]))
    values = np.arange(8, dtype=np.float32).reshape(2, 4)
    np.testing.assert_array_equal(interpreter.predict(values[:1]), values[0])
    with pytest.raises(bduo_runtime.ModelError, match="outputs without a batch: give arrays of just its inputs'"):
        interpreter.predict(values)


def test_no_inputs():
    interpreter = bduo_runtime.Interpreter(model())
    assert interpreter.input_names
    with pytest.raises(bduo_runtime.ModelError, match="the model has no inputs"):
        bduo_runtime.Interpreter(tiny.edited(model(False), lambda m: setattr(m.subgraphs[0], "inputs", []))).predict([])
