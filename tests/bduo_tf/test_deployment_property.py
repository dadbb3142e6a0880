"""Deployment graphs of random models compute what the models compute, and their thresholds on integers have no ties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bduo_tf
from bduo_tf.backend import keras, lq
from bduo_tf.deployment import deploy
from bduo_tf.deployment._layers import ThresholdCompare
from bduo_tf.quantizers import step_of
from tests.bduo_tf.graphs import (
    FEW,
    GENERATE,
    HEADS,
    MANY,
    Activation,
    Branches,
    Conv,
    MixedLevels,
    Nested,
    Plain,
    Pool,
    PoolThenNorm,
    Program,
    Residual,
    Shared,
    assert_same_function,
    outputs_of,
    programs,
    step_kinds,
)


def is_binary(layer: keras.layers.Layer) -> bool:
    return isinstance(getattr(layer, "input_quantizer", None), lq.quantizers.SteSign)


def terms_of(tensor: keras.layers.Layer) -> int | None:
    """How many numbers +1 and -1 a tensor of a deployment graph is the sum of; None if it is no such sum."""
    layer = tensor._keras_history.layer
    if is_binary(layer):
        return int(np.prod(layer.kernel.shape[:-1]))
    passes = (keras.layers.MaxPool2D, keras.layers.Reshape, keras.layers.Flatten)
    if isinstance(layer, passes) or layer.name.endswith("_orient"):
        return terms_of(layer.get_input_at(tensor._keras_history.node_index))
    return None


def check_thresholds(graph: keras.Model) -> int:
    """Asserts that thresholds on integers lie midway between two that can occur; returns how many layers have such."""
    integer = 0
    for layer in graph.layers:
        if isinstance(layer, ThresholdCompare) and (terms := terms_of(layer.input)) is not None:
            tau = layer.tau.numpy()
            np.testing.assert_array_equal((tau - terms) % 2, 1)
            assert np.abs(tau).max() <= terms + 1
            integer += 1
    return integer


def binary_model(program: Program) -> keras.Model:
    model = program.model()
    steps = [step_of(layer) for layer in model._flatten_layers()]
    return bduo_tf.decouple(model) if any(step and step.levels > 1 for step in steps) else model


def check(program: Program) -> None:
    model, images = binary_model(program), program.images()
    before = model.get_weights()
    deployment = deploy(model)

    assert_same_function(outputs_of(model, images), outputs_of(deployment.graph, images))
    assert deployment.graph.name == f"{model.name}_lce"
    assert not any(isinstance(layer, (keras.layers.Dropout, keras.Model)) for layer in deployment.graph.layers)
    check_thresholds(deployment.graph)
    if deployment.readers:
        flips = deployment.count_flips(images, deployment.probes()(images, training=False).numpy())
        assert sum(f for f, _ in flips.values()) <= max(1, 1e-3 * sum(n for _, n in flips.values()))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


EXAMPLES = {
    "two levels": (Conv(), Conv(3)),
    "one level": (Conv(levels=1), Conv(3, levels=1)),
    "mixed levels": (Conv(levels=3), Conv(5, levels=1, scale="channel"), Conv(1, levels=4)),
    "valid, stride 2": (Conv(5, 2, strides=2, padding="valid", levels=3), Conv(3, 2, padding="valid")),
    "same, stride 2": (Conv(5, 3, strides=2), Conv(3, 2, strides=2)),
    "dilation": (Conv(3, 3, dilation=2, levels=4), Conv(3, 2, dilation=2, padding="valid")),
    "groups": (Conv(3, groups=2), Conv(2, groups=3, levels=3)),
    "DoReFa and Heaviside": (Conv(levels="dorefa1"), Conv(levels="heaviside"), Conv(levels="dorefa2")),
    "kernels of sign alone": (Conv(scale="sign"), Conv(levels="dorefa2", scale="sign"), Conv(scale="sign", levels=1)),
    "biases and relu": (Conv(bias=True), Conv(activation="relu", bias=True), Conv()),
    "pool then norm": (PoolThenNorm(Conv(), 2), PoolThenNorm(Conv(levels=3), 2), Conv()),
    "norm then pool": (Conv(), Pool("max", 2, 2, "valid", False), Conv(), Pool("max", 3, 1, "same", True), Conv()),
    "average pools": (Conv(), Pool("average", 2, 2, "valid", False), Conv()),
    "norms in a row": (Conv(), Plain("norm"), Plain("norm"), Conv()),
    "dropout": (Conv(), Plain("dropout"), Conv()),
    "residual sums": (Residual(Conv()), Residual(Conv(levels=3)), Plain("relu"), Residual(Conv())),
    "branches": (Branches(Conv(), Conv(2, 1, levels=3)), Conv()),
    "activation, two readers": (Conv(), Activation(2, False, "max", (Conv(), Conv(kernel=1)))),
    "activation, one level": (Conv(), Activation(1, True, "nothing", (Conv(), Conv(kernel=2)))),
    "activation, padded": (Conv(), Activation(3, True, "pad", (Conv(),)), Conv()),
    "activation, average pool": (Conv(), Activation(3, False, "average", (Conv(),)), Conv()),
    "concatenated activations": (Conv(), MixedLevels((2, 2), False, Conv()), Conv()),
    "shared": (Conv(), Shared(Conv(), 2)),
    "nested": (Conv(), Nested(Conv(), Conv(levels=3), False, 2, True), Conv()),
    "nested sequential": (Conv(), Nested(Conv(), Conv(levels=1), True, None, True), Conv()),
}


@pytest.mark.parametrize("zero_gamma", [False, True], ids=["gammas of both signs", "one gamma is zero"])
@pytest.mark.parametrize("steps", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_deployed_equals_binary(steps, zero_gamma):
    check(Program(steps, heads=("dense", "float"), inputs=len(steps) % 2 + 1, zero_gamma=zero_gamma, channels=5))


@pytest.mark.parametrize("head", sorted(set(HEADS) - {"float"}))
@pytest.mark.parametrize("levels", [1, 2, "dorefa2", "heaviside"])
def test_deployed_equals_binary_at_the_head(head, levels):
    check(Program((Conv(), Pool("max", 2, 2, "valid", True)), heads=(head,), head=Conv(levels=levels)))


@pytest.mark.parametrize(
    ("steps", "integer"),
    [
        ((Conv(), Conv(), Conv()), 3),  # all convolutions but the first, and the dense layer
        ((PoolThenNorm(Conv(), 2), PoolThenNorm(Conv(), 2)), 2),
        ((Conv(), Pool("max", 2, 2, "valid", True), Conv()), 2),
        ((Conv(), Residual(Conv())), 1),  # the convolution in the branch, not the one that reads the sum
        ((Conv(activation="relu"), Conv()), 1),
    ],
    ids=["convolutions", "pool then norm", "norm then pool", "residual sum", "relu"],
)
def test_which_thresholds_act_on_integers(steps, integer):
    assert check_thresholds(deploy(binary_model(Program(steps))).graph) == integer


@pytest.mark.parametrize("kind", step_kinds(deployable=True))
@settings(max_examples=FEW, phases=GENERATE)
@given(data=st.data())
def test_deployed_equals_binary_on_random_graphs(kind, data):
    check(data.draw(programs(kind, deployable=True)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", step_kinds(deployable=True))
@settings(max_examples=MANY, phases=GENERATE)
@given(data=st.data())
def test_deployed_equals_binary_on_many_random_graphs(kind, data):
    check(data.draw(programs(kind, deployable=True)))
