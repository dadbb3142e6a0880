"""The kind of scores that an output has is read from the layers that made it."""

import pytest

from bduo_tf.backend import keras, tf
from bduo_tf.deployment import deploy
from bduo_tf.scores import output_kinds

layers = keras.layers


def dense(x, units=4, activation=None, **options):
    return layers.Dense(units, activation, **options)(layers.Flatten()(x))


def nested(x):
    y = keras.Input((8, 8, 3))
    return layers.Flatten()(keras.Model(y, dense(y, activation="softmax"))(x))


@pytest.mark.parametrize(
    ("outputs", "kind"),
    [
        (lambda x: dense(x), "logits"),
        (lambda x: dense(x, activation="softmax"), "softmax"),
        (lambda x: dense(x, activation=tf.nn.sigmoid), "sigmoid"),
        (lambda x: dense(x, 1, "sigmoid"), "sigmoid"),
        (lambda x: layers.Softmax()(dense(x)), "softmax"),
        (lambda x: layers.Activation("softmax", dtype="float32")(dense(x)), "softmax"),
        (lambda x: layers.Activation("linear")(layers.Dropout(0.1)(layers.Softmax()(dense(x)))), "softmax"),
        (lambda x: tf.nn.softmax(dense(x)), "softmax"),
        (lambda x: tf.cast(tf.sigmoid(dense(x)), "float64"), "sigmoid"),
        (lambda x: layers.BatchNormalization()(dense(x)), "logits"),
        (lambda x: layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x)), "logits"),
        (lambda x: layers.Flatten()(layers.Conv2D(4, 8, activation="softmax")(x)), "softmax"),
        (nested, "softmax"),
        (lambda x: layers.Conv2D(4, 3, activation="softmax")(x), "softmax"),  # a softmax of each place
        # Flattened, the softmaxes of four places stand in a row.
        (lambda x: layers.Flatten()(layers.Conv2D(4, 7, activation="softmax")(x)), None),
        (lambda x: layers.Conv2D(4, 3)(x), None),
        (lambda x: layers.Softmax(axis=1)(x), None),
        (lambda x: tf.nn.softmax(x, axis=2), None),
        (lambda x: dense(x, activation="relu"), None),
        (lambda x: dense(x, 1), None),  # it may be a logit or any other number
        (lambda x: dense(x, 1, "softmax"), None),
        (lambda x: tf.reduce_mean(x), None),
        (lambda x: x, None),
    ],
)
def test_kinds(outputs, kind, tmp_path):
    x = keras.Input((8, 8, 3))
    keras.Model(x, outputs(x)).save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras", compile=False)
    assert output_kinds(deploy(loaded).binary) == (kind,)


def test_one_for_each_output():
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, {"b": dense(x, activation="softmax"), "a": dense(x, 1, "sigmoid"), "c": layers.ReLU()(x)})
    assert output_kinds(model) == ("sigmoid", "softmax", None)
