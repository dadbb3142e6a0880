"""`.keras` files: every object and every kind of model is loaded without custom_objects."""

import json

import numpy as np
import pytest

import bduo_tf
from bduo_tf import CoupledStep, ScaledSign, ThresholdSplit
from bduo_tf.backend import keras, lq
from bduo_tf.deployment._layers import ChannelAffine, ThresholdCompare
from bduo_tf.layers import ChannelPad
from bduo_tf.quantizers import ScaledQuantizer
from tests.bduo_tf.graphs import Activation, Conv, Nested, Program, images_for, outputs_of
from tests.bduo_tf.test_keras_choice import run

PROGRAM = Program(
    (
        Conv(3, 2, levels=3, scale="channel", bias=True),
        Activation(2, True, "max", (Conv(), Conv())),
        Nested(Conv(), Conv(levels=4), False, None, True),
    ),
    heads=("dense", "float"),
    dictionary=True,
)


def moves():
    """A binary network whose deployment graph has every kind of deployment's layers."""
    image = keras.Input((8, 8, 3))
    activation = CoupledStep(1)(ThresholdSplit(2)(image))
    conv = lq.layers.QuantConv2D(4, 3, groups=2, kernel_quantizer=ScaledSign())
    moved = conv(keras.layers.ZeroPadding2D()(activation)[:, ::2])
    sign = lq.layers.QuantDense(3, input_quantizer="ste_sign", kernel_quantizer="ste_sign")
    signs = sign(keras.layers.GlobalMaxPool2D()(keras.layers.BatchNormalization()(moved)))
    floats = keras.layers.Flatten()(keras.layers.AveragePooling2D()(activation))
    return keras.Model(image, keras.layers.Concatenate()([signs, floats]))


MODELS = {
    "coupled": lambda: PROGRAM.model(),
    "decoupled": lambda: bduo_tf.decouple(PROGRAM.model()),
    "deployed": lambda: bduo_tf.to_lce_graph(bduo_tf.decouple(PROGRAM.model())),
    "deployed_moves": lambda: bduo_tf.to_lce_graph(moves()),
    "vgg7": lambda: bduo_tf.networks.vgg7((8, 8, 3), width=0.1),
    "resnet18": lambda: bduo_tf.networks.resnet18((8, 8, 3), 3, width=0.05),
    "decoupled_signs": lambda: bduo_tf.decouple(Program((Conv(levels="dorefa2", scale="sign"),)).model()),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_models(make, tmp_path):
    model, images = make(), images_for(0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    for old, new in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_allclose(outputs_of(loaded, images), outputs_of(model, images), atol=1e-5)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_hdf5_files(make, tmp_path):
    model, images = make(), images_for(0)
    model.save(tmp_path / "model.h5")
    loaded = keras.models.load_model(tmp_path / "model.h5", compile=False)
    np.testing.assert_allclose(outputs_of(loaded, images), outputs_of(model, images), atol=1e-5)


def test_a_loaded_model_decouples_and_deploys_to_the_same_function(tmp_path):
    model, images = PROGRAM.model(), images_for(0)
    model.save(tmp_path / "model.keras")
    decoupled = bduo_tf.decouple(keras.models.load_model(tmp_path / "model.keras"))
    decoupled.save(tmp_path / "decoupled.keras")
    deployed = bduo_tf.to_lce_graph(keras.models.load_model(tmp_path / "decoupled.keras"))
    expected = outputs_of(bduo_tf.to_lce_graph(bduo_tf.decouple(model)), images)
    np.testing.assert_allclose(outputs_of(deployed, images), expected, atol=1e-4)


def test_optimizer_state_of_a_decoupled_model_comes_back(tmp_path):
    model = MODELS["decoupled"]()
    model.compile("adam", "mse")
    images = images_for(0)
    targets = {k: np.zeros((16, *v.shape[1:])) for k, v in model.output.items()}
    model.fit(images, targets, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert len(loaded.optimizer.variables) > 2 * len(model.trainable_variables)
    for old, new in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(old.numpy(), new.numpy())


OBJECTS = {
    "step": CoupledStep(3, "swish_sign", name="object"),
    "wrapped step": keras.layers.Activation(CoupledStep(3), name="object"),
    "split": ThresholdSplit(3, name="object"),
    "affine": ChannelAffine(2, name="object"),
    "pad": ChannelPad(5, name="object"),
    "scaled quantizer": lq.layers.QuantDense(
        2, input_quantizer=CoupledStep(1), kernel_quantizer=ScaledQuantizer("ste_sign", 0.25), name="object"
    ),
    "compare": ThresholdCompare(2, name="object"),
    "oriented compare": ThresholdCompare(2, oriented=True, name="object"),
    "quantizers": lq.layers.QuantDense(
        2, input_quantizer=CoupledStep(4, "steep"), kernel_quantizer=ScaledSign(True), name="object"
    ),
    "quantizers by alias": lq.layers.QuantDense(
        2, input_quantizer="coupled_step", kernel_quantizer="scaled_sign", name="object"
    ),
}


@pytest.mark.parametrize("layer", OBJECTS.values(), ids=OBJECTS.keys())
def test_objects(layer, tmp_path):
    x = keras.Input((5, 3))
    model = keras.Model(x, layer(x))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    restored = loaded.get_layer("object")
    assert type(restored) is type(layer)
    assert json.dumps(restored.get_config()) == json.dumps(layer.get_config())
    x = images_for(0, 4, (5, 3))
    np.testing.assert_array_equal(loaded(x), model(x))


def test_another_process_needs_only_import_bduo_tf(tmp_path):
    images = images_for(0)
    np.save(tmp_path / "images.npy", images)
    for name, make in MODELS.items():
        model = make()
        model.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.npy", outputs_of(model, images))
    code = f"""
import bduo_tf
import numpy as np
import tensorflow as tf
images = np.load(r"{tmp_path}/images.npy")
for name in {list(MODELS)}:
    model = tf.keras.models.load_model(rf"{tmp_path}/{{name}}.keras")
    outputs = model(images, training=False)
    outputs = [outputs[k] for k in sorted(outputs)] if isinstance(outputs, dict) else [outputs]
    outputs = np.concatenate([np.reshape(y, (len(y), -1)) for y in outputs], axis=-1)
    np.testing.assert_allclose(outputs, np.load(rf"{tmp_path}/{{name}}.npy"), atol=1e-5)
    print(name)
"""
    process = run(code)
    assert process.returncode == 0, process.stderr
    assert process.stdout.split() == list(MODELS)
