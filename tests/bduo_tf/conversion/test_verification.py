"""Verification passes a file that computes what its model computes, and names what is wrong with others."""

import re

import numpy as np
import pytest

from bduo_tf.backend import keras, tf
from bduo_tf.conversion.errors import ConversionError
from bduo_tf.conversion.interpreters import interpreters, lce_interpreter
from bduo_tf.conversion.tflite import convert_lce
from bduo_tf.conversion.tracing import unexplained
from bduo_tf.conversion.verification import verify
from bduo_tf.deployment import deploy
from tests.bduo_tf.conversion.models import binary, decoupled, random_inputs, several
from tests.bduo_tf.graphs import randomize


@pytest.fixture(scope="module")
def deployment():
    return deploy(decoupled())


@pytest.fixture(scope="module")
def file(deployment):
    return convert_lce(deployment.graph)


def batches(count=40, size=16, labels=None):
    images = np.random.default_rng(0).uniform(-1, 1, (count, 16, 16, 1)).astype(np.float32)
    for start in range(0, count, size):
        chosen = slice(start, start + size)
        yield images[chosen], None if labels is None else labels[chosen]


@pytest.mark.parametrize("name", ["LCE", "bduo_runtime"])
def test_the_file_of_a_model_passes(deployment, file, name):
    result = verify(deployment, file, batches(), interpreter=interpreters()[name])
    assert result.problems == []
    assert (result.images, result.agreeing, result.traced) == (40, 40, 40)
    assert result.disagreements == {}
    assert 0 < result.largest_difference < 1e-4 * result.logit_scale
    totals = {name: total for name, (_, total) in result.flips.items()}
    assert totals == {
        "conv2": 40 * 16 * 16 * 22,
        "conv3": 40 * 8 * 8 * 22,
        "conv4": 40 * 4 * 4 * 46,
        "conv5": 40 * 2 * 2 * 46,
        "conv6": 40 * 168,
    }
    assert all(flipped <= 5 for flipped, _ in result.flips.values())


def test_accuracy_is_that_of_the_labels(deployment, file):
    images = np.concatenate([x for x, _ in batches()])
    predicted = np.asarray(deployment.binary(images)).argmax(-1)
    labels = np.where(np.arange(40) < 10, predicted, (predicted + 1) % 10)
    result = verify(deployment, file, batches(labels=labels))
    assert result.accuracy == result.keras_accuracy == 0.25


def test_another_models_file_fails_and_says_where(deployment):
    other = convert_lce(deploy(decoupled(seed=1)).graph)
    result = verify(deployment, other, batches())
    assert result.agreeing < 40
    assert any("the arg max agrees on" in problem for problem in result.problems)
    assert any("on an image on which no activation flipped" in problem for problem in result.problems)
    # What is traced is the graph of this model, whose activations did not flip. The file is of another graph.
    assert any("although no activation flipped" in problem for problem in result.problems)
    assert set(result.disagreements) == {
        int(i) for p in result.problems if p.startswith("image ") for i in [p.split()[1]]
    }


@pytest.mark.parametrize(("nudge", "passes"), [(1e-5, True), (0.5, False)])
def test_logits_as_close_as_rounding_may_change_places(nudge, passes):
    model = decoupled()
    classifier = model.get_layer("conv7")
    kernel, *rest = classifier.get_weights()
    kernel[..., 0] = kernel[..., 1] = np.abs(kernel).max()  # these two logits are the largest of every image, and equal
    classifier.set_weights([kernel, *rest])
    tied = deploy(model)

    class Nudged:
        def __init__(self, file):
            self.running = lce_interpreter(file)

        def predict(self, images):
            values = np.array(self.running.predict(images))
            if values.shape[-1] == 10:  # these are logits, and not what is probed on the way
                values[..., 1] += nudge
            return values

    result = verify(tied, convert_lce(tied.graph), batches(), interpreter=Nudged, min_agreement=0.0)
    assert result.agreeing == 0
    assert any("another arg max although no activation flipped" in p for p in result.problems) != passes
    assert (result.problems == []) == passes


def test_a_changed_threshold_is_traced_to_its_layer(deployment):
    changed = deploy(decoupled())
    compare = changed.graph.get_layer("conv4_compare")
    weights = compare.get_weights()
    compare.set_weights([weights[0] + 40, *weights[1:]])
    flips = deployment.count_flips(*(lambda x: (x, np.asarray(changed.probes()(x))))(next(batches())[0]))
    assert flips["conv2"][0] == flips["conv3"][0] == 0
    assert flips["conv4"][0] > 100
    result = verify(changed, convert_lce(changed.graph), batches())
    problem, *_ = [p for p in result.problems if "more than rounding explains" in p]
    assert "activations of layer conv4 flipped" in problem
    assert result.clean == 0


@pytest.mark.parametrize(
    ("flips", "named"),
    [
        ({"a": (0, 1000), "b": (3, 1000)}, None),  # ties are rare
        ({"a": (0, 1000), "b": (4, 1000)}, "b"),
        ({"a": (10, 100_000), "b": (90, 100_000), "c": (900, 100_000)}, None),  # a float stream carries them on
        ({"a": (10, 100_000), "b": (90, 100_000), "c": (1000, 100_000)}, "c"),
        ({"a": (5100, 100_000)}, "a"),
    ],
)
def test_flips_beyond_rounding_are_a_failure(flips, named):
    problems = unexplained(flips)
    assert len(problems) == (named is not None)
    assert all(f"of layer {named} flipped" in problem for problem in problems)


@pytest.mark.parametrize(
    ("flips", "problem"),
    [
        # In one image there is a flip early, which a deep network carries far, and in the other there is none.
        ({"a": ([1, 0], 1000), "b": ([9, 0], 1000), "c": ([80, 0], 1000), "d": ([400, 0], 1000)}, None),
        ({"a": ([1, 0], 1000), "b": ([9, 0], 1000), "c": ([80, 200], 1000)}, "200 of 1000 .* layer c .* image 1,"),
        ({"a": ([1, 0], 1000), "b": ([9, 0], 1000), "c": ([200, 0], 1000)}, "200 of 1000 .* layer c .* image 0,"),
        # A few in an image are rounding; a few in every image are not.
        ({"a": ([2] + [0] * 63, 1000)}, None),
        ({"a": ([2] * 64, 1000)}, "2 of 1000 .* layer a .* and in 63 images more"),
    ],
)
def test_flips_are_judged_image_by_image(flips, problem):
    problems = unexplained({name: (np.array(counts), total) for name, (counts, total) in flips.items()})
    assert len(problems) == (problem is not None)
    assert all(re.search(problem, found) for found in problems)


def test_nothing_to_compare_is_a_failure(deployment, file):
    assert verify(deployment, file, iter([])).problems == ["there was no image to compare"]


def model_of(outputs):
    """Deploys a binary network of small images whose outputs a function makes of its features."""
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 3))
    return deploy(randomize(keras.Model(x, outputs(keras.layers.BatchNormalization()(binary(x))))))


def small_batches(count=20, labels=None):
    images = np.random.default_rng(0).uniform(-1, 1, (count, 8, 8, 3)).astype(np.float32)
    for start in range(0, count, 8):
        yield images[start : start + 8], None if labels is None else labels[start : start + 8]


class Wrong:
    """LCE's interpreter, but with other outputs for the first images."""

    def __init__(self, file, wrong, shape):
        self.running, self.wrong, self.shape, self.seen = lce_interpreter(file), wrong, shape, 0

    def predict(self, images):
        found = np.array(self.running.predict(images))
        if found.shape[1:] == self.shape:  # not what is probed on the way
            for i in range(len(found)):
                if self.seen + i < self.wrong:
                    found[i] = found[i][::-1] + 1
            self.seen += len(found)
        return found


HEADS = {
    "a map": lambda x: keras.layers.Conv2D(5, 1)(x),
    "boxes": lambda x: keras.layers.Reshape((16, 4))(keras.layers.Dense(64)(keras.layers.Flatten()(x))),
    "a unit": lambda x: keras.layers.Dense(1, "sigmoid")(keras.layers.Flatten()(x)),
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_outputs_of_any_shape_are_compared_image_by_image(head):
    deployment = model_of(head)
    file = convert_lce(deployment.graph)
    result = verify(deployment, file, small_batches())
    assert (result.problems, result.images, result.agreeing, result.agreement) == ([], 20, 20, "outputs")
    assert (result.accuracy, result.disagreements) == (None, {})

    shape = deployment.graph.output_shape[1:]
    result = verify(
        deployment, file, small_batches(), interpreter=lambda file: Wrong(file, 3, shape), min_agreement=0.9
    )
    assert (result.images, result.agreeing, sorted(result.disagreements)) == (20, 17, [0, 1, 2])
    assert "the outputs agree on 17 of 20 images, fewer than 90.00%" in result.problems
    assert "image 2 has other outputs although no activation flipped" in result.problems


@pytest.mark.parametrize("kind", ["sigmoid", None])
def test_accuracy_of_one_unit_is_the_side_it_is_on(kind):
    deployment = model_of(lambda x: keras.layers.Dense(1, kind)(keras.layers.Flatten()(x)))
    found = np.asarray(deployment.binary(np.concatenate([x for x, _ in small_batches()])))[:, 0]
    boundary = float(np.median(found))
    labels = (found > boundary).astype(int)
    labels[:5] = 1 - labels[:5]
    result = verify(deployment, convert_lce(deployment.graph), small_batches(labels=labels), boundary=boundary)
    assert result.accuracy == result.keras_accuracy == 0.75


def test_several_inputs_and_outputs():
    deployment = deploy(several())
    inputs = random_inputs(deployment.binary, 20)
    file = convert_lce(deployment.graph)
    for make in interpreters().values():
        batches = [([x[:12] for x in inputs], None), ([x[12:] for x in inputs], None)]
        result = verify(deployment, file, batches, interpreter=make, names=("map", "b"))
        assert (result.problems, result.agreeing, result.images) == ([], 20, 20)
        assert {name: found["agreeing"] for name, found in result.outputs.items()} == {"map": 20, "b": 20}
        assert result.flips["map"][1] == 20 * 8 * 8 * 8
    swapped = [([inputs[1], inputs[0], *inputs[2:]], None)]
    expected = verify(deployment, file, swapped)
    assert expected.problems == []


def test_swapped_inputs_are_a_failure():
    deployment = deploy(several())

    class Swapped:
        def __init__(self, file):
            self.running = lce_interpreter(file)

        def predict(self, inputs):
            return self.running.predict([inputs[1], inputs[0], *inputs[2:]])

    batches = [(random_inputs(deployment.binary, 20), None)]
    assert verify(deployment, convert_lce(deployment.graph), batches, interpreter=Swapped).problems


@pytest.mark.parametrize("count", [3, 8, 20])
def test_fixed_batches(count):
    x = keras.Input((8, 8, 3), batch_size=8)
    deployment = deploy(
        randomize(keras.Model(x, keras.layers.Dense(4)(keras.layers.Flatten()(binary(x, name="conv")))))
    )
    file = convert_lce(deployment.graph)
    for make in interpreters().values():
        result = verify(deployment, file, small_batches(count), interpreter=make)
        assert (result.problems, result.agreeing, result.images, result.traced) == ([], count, count, count)
        assert result.flips["conv"][1] == count * 8 * 8 * 8


def test_an_output_without_an_axis_of_the_batch_is_refused():
    x = keras.Input((8, 8, 3))
    deployment = deploy(keras.Model(x, tf.reshape(x, [-1])))
    with pytest.raises(ConversionError, match="without an axis of the batch"):
        verify(deployment, convert_lce(deployment.graph), small_batches())
