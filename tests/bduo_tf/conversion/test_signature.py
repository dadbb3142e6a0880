"""LCE's, float32 and int8 files have the inputs and outputs of a model in its order and under its names."""

import numpy as np
import pytest

import bduo_runtime
import bduo_tf
from bduo_tf.backend import keras, tf
from bduo_tf.conversion.interpreters import interpreters
from bduo_tf.conversion.signature import Names, names_of
from bduo_tf.conversion.tflite import convert_float32, convert_int8, convert_lce
from tests.bduo_tf.conversion.models import random_inputs, several


def two(inputs, outputs):
    """A model of two inputs and two outputs of one shape, in a given order and structure."""
    keras.utils.set_random_seed(0)
    known = {name: keras.Input((4,), name=name) for name in ("zeta", "a", "unused")}
    known["q"] = keras.layers.Dense(4, name="q")(keras.layers.Subtract()([known["zeta"], known["a"]]))
    known["b"] = keras.layers.Dense(4, name="b")(known["a"])
    pick = lambda names: tf.nest.map_structure(known.get, names)  # noqa: E731
    return keras.Model(pick(inputs), pick(outputs))


MODELS = {
    "in the order of the alphabet": (["a", "zeta"], ["b", "q"]),
    "against it": (["zeta", "a"], ["q", "b"]),
    "with an input that nothing reads": (["unused", "zeta", "a"], ["b", "q"]),
    "an output twice, and an input as one": (["zeta", "a"], ["q", "q", "a", "b"]),
    "dictionaries": ({"x": "zeta", "i": "a"}, {"one": "q", "an": "b"}),
}


def files(model, inputs):
    examples = [tuple(x[i] for x in inputs) for i in range(len(inputs[0]))]
    return {"LCE": convert_lce(model), "float32": convert_float32(model), "int8": convert_int8(model, examples)}


@pytest.mark.parametrize("structure", MODELS.values(), ids=MODELS)
def test_predict_takes_and_returns_what_keras_does(structure):
    model = two(*structure)
    inputs = random_inputs(model, 5)
    expected = tf.nest.flatten(model(tf.nest.pack_sequence_as(model._nested_inputs, inputs)))
    for kind, file in files(model, inputs).items():
        for make in interpreters().values():
            found = make(file).predict(inputs)
            for ours, theirs in zip(found, expected, strict=True):
                np.testing.assert_allclose(ours, theirs, atol=0.05 if kind == "int8" else 1e-5)


def test_names_are_in_the_file():
    for names, structure in [
        (Names(("zeta", "a"), ("q", "b")), MODELS["against it"]),
        (Names(("i", "x"), ("an", "one")), MODELS["dictionaries"]),
    ]:
        model = two(*structure)
        for file in files(model, random_inputs(model, 4)).values():
            litert = bduo_runtime.Interpreter(file).litert
            signature = litert.get_signature_list()["serving_default"]
            assert (set(signature["inputs"]), set(signature["outputs"])) == (set(names.inputs), set(names.outputs))
            run = litert.get_signature_runner("serving_default")
            indices = [d["index"] for d in litert.get_input_details()]
            assert [run.get_input_details()[name]["index"] for name in names.inputs] == indices


def test_names_that_are_no_identifiers_or_occur_twice():
    shapes = {"Image-1": 1, "image_1": 2, "1st": 3, "class": 4, "ö b": 5}
    inputs = [keras.Input((n,), name=name) for name, n in shapes.items()]
    outputs = [keras.layers.ReLU(name=f"out/{n}")(x) for n, x in enumerate(inputs)]
    model = keras.Model(inputs, [*outputs, outputs[0]])
    assert names_of(model).inputs == ("Image_1", "image_1_1", "input_1st", "class_", "input___b")
    assert names_of(model).outputs == ("out/0", "out/1", "out/2", "out/3", "out/4", "out/0_1")
    assert bduo_runtime.Interpreter(convert_lce(model)).input_shapes == [(1, n) for n in shapes.values()]


def test_a_binary_network_of_several_inputs_and_outputs():
    model = several()
    inputs = random_inputs(model, 3)
    file = convert_lce(bduo_tf.to_lce_graph(model))
    for make in interpreters().values():
        for ours, theirs in zip(make(file).predict(inputs), model.predict(inputs, verbose=0), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_batches_of_a_fixed_size_are_filled_up_and_cut():
    x = keras.Input((4,), batch_size=8)
    model = keras.Model(x, keras.layers.Dense(2)(x))
    inputs = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    expected = inputs @ model.get_weights()[0]
    for make in interpreters().values():
        np.testing.assert_allclose(make(convert_lce(model)).predict(inputs), expected, atol=1e-5)
