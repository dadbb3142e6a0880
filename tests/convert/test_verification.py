"""Verification passes what is equal and names what is not."""

import numpy as np
import pytest

from bduo_tf.deployment import deploy
from convert.interpreters import interpreters, lce_interpreter
from convert.tflite import convert_lce
from convert.tracing import unexplained
from convert.verification import verify
from tests.convert.models import decoupled


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
    # The graph of this model is traced, and its activations did not flip: the file is not this graph.
    assert any("although no activation flipped" in problem for problem in result.problems)
    assert set(result.disagreements) == {
        int(i) for p in result.problems if p.startswith("image ") for i in [p.split()[1]]
    }


@pytest.mark.parametrize(("nudge", "passes"), [(1e-6, True), (0.5, False)])
def test_logits_as_close_as_rounding_may_change_places(nudge, passes):
    model = decoupled()
    classifier = model.get_layer("conv7")
    kernel, *rest = classifier.get_weights()
    kernel[..., 0] = kernel[..., 1] = np.abs(kernel).max()  # the two largest logits of every image, and equal
    classifier.set_weights([kernel, *rest])
    tied = deploy(model)

    class Nudged:
        def __init__(self, file):
            self.running = lce_interpreter(file)

        def predict(self, images):
            values = np.array(self.running.predict(images))
            if values.shape[-1] == 10:  # logits, not what is probed on the way
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
        ({"a": (0, 1000), "b": (3, 1000)}, None),  # rare ties
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


def test_nothing_to_compare_is_a_failure(deployment, file):
    assert verify(deployment, file, iter([])).problems == ["there was no image to compare"]
