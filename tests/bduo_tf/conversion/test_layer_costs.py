"""Where bytes, multiply-accumulates and milliseconds go: each layer by its name, and their sums those of the file."""

import json

import pytest

import bduo_tf
from bduo_tf.backend import keras
from bduo_tf.conversion import convert_float32, layer_costs
from bduo_tf.conversion.operators import read_operators
from bduo_tf.conversion.timing import runners
from tests.bduo_tf.conversion.models import decoupled


@pytest.fixture(scope="module")
def converted():
    return bduo_tf.to_tflite(decoupled(), samples=8)


def test_each_layer_has_its_name_and_bits(converted):
    layers = converted.report.layers
    assert [layer.name for layer in layers] == ["conv1", "conv2", "conv3", "conv4", "conv5", "conv6", "conv7"]
    assert [layer.bits for layer in layers] == [32, 1, 1, 1, 1, 1, 32]


def test_the_layers_add_up_to_the_file(converted):
    layers, macs = converted.report.layers, converted.report.cost.macs
    for bits in (1, 32):
        assert sum(layer.macs for layer in layers if layer.bits == bits) == macs[bits]
    stored = {t.buffer: t.stored for o in read_operators(converted.file) for t in o.inputs if t is not None}
    assert sum(layer.size for layer in layers) == sum(stored.values())
    numbers = [number for layer in layers for number in layer.operators]
    assert numbers == list(range(len(read_operators(converted.file))))


def test_what_no_layer_names_has_its_operators_name():
    image = keras.Input((4, 4, 2))
    model = keras.Model(image, keras.layers.Dense(2, name="head")(keras.layers.Conv2D(2, 3, name="conv")(image)))
    file = convert_float32(model)
    assert [layer.name for layer in layer_costs(file, ["conv", "head"])] == ["conv", "head"]
    assert layer_costs(file)[0].name == "CONV_2D 0"


def test_operators_before_the_first_layer_are_the_inputs():
    image = keras.Input((8, 8, 2))
    model = keras.Model(image, keras.layers.Conv2D(2, 3, name="conv")(keras.layers.MaxPool2D()(image * 2.0 + 1.0)))
    first, second = layer_costs(convert_float32(model), ["conv"])
    assert (first.name, first.bits, first.macs) == ("input", 0, 0)
    assert first.operators[-1] + 1 == second.operators[0]
    assert second.name == "conv"


def test_times_are_the_layers(converted):
    assert converted.report.timing is None
    report = converted.timed({"float32": convert_float32(decoupled())}).report
    names = ["binary, bduo_runtime", "binary, LCE", "float32, LiteRT, XNNPACK"]
    assert list(report.timing.milliseconds) == list(report.timing.ratios) == names
    assert report.timing.ratios["binary, bduo_runtime"] == 1
    assert all(layer.milliseconds > 0 for layer in report.layers if layer.bits == 1)
    assert sum(layer.milliseconds or 0 for layer in report.layers) > 0
    assert json.loads(json.dumps(report.as_json()))["timing"]["threads"] == 1


def test_a_plot_has_the_layers_in_order(converted, tmp_path):
    figure = converted.report.plot()
    bytes_, macs, flips = figure.axes
    assert [label.get_text() for label in bytes_.get_yticklabels()] == [x.name for x in converted.report.layers]
    assert [bar.get_width() for bar in bytes_.patches] == [x.size for x in converted.report.layers]
    assert [bar.get_width() for bar in macs.patches] == [x.macs for x in converted.report.layers]
    assert flips.get_xlabel() == "share of flipped activations"
    figure.savefig(tmp_path / "report.png")
    assert len(converted.timed().report.plot().axes) == 4


def test_flips_are_the_most_of_any_interpreter(converted):
    found = converted.report.flips
    assert set(found) == {f"conv{i}" for i in range(2, 7)}
    assert all(total > 0 for _, total in found.values())


def test_integers_are_fed_as_indices():
    text = keras.Input((5,), dtype="int32")
    model = keras.Model(text, keras.layers.Dense(2)(keras.layers.Flatten()(keras.layers.Embedding(2, 3)(text))))
    [run] = runners(convert_float32(model)).values()
    run()  # LiteRT raises an error for an index that is none
