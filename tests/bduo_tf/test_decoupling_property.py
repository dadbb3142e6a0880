"""The decoupled network computes the same function as the coupled one, for random graphs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bduo_tf
from bduo_tf.backend import keras
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
    Separable,
    Shared,
    Transposed,
    assert_same_function,
    outputs_of,
    programs,
    step_kinds,
)


def levels_of(model: keras.Model) -> list[int]:
    return [step.levels for layer in model._flatten_layers() if (step := step_of(layer)) is not None]


def check(program: Program) -> None:
    model, images = program.model(), program.images()
    if max(levels_of(model), default=1) == 1:
        with pytest.raises(ValueError, match="nothing to decouple"):
            bduo_tf.decouple(model)
        return
    expected = outputs_of(model, images)
    before = model.get_weights()

    decoupled = bduo_tf.decouple(model)

    assert set(levels_of(decoupled)) == {1}
    assert_same_function(expected, outputs_of(decoupled, images))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


VALID = Conv(3, 2, padding="valid", levels=3, scale="channel", bias=True)
EXAMPLES = {
    "a convolution": (Conv(),),
    "stride 2": (Conv(5, 3, strides=2, levels=2),),
    "valid, stride 2": (Conv(5, 2, strides=2, padding="valid", levels=3),),
    "dilation": (Conv(3, 3, dilation=2, levels=4, scale="channel"),),
    "groups": (Conv(2, 3, groups=2, levels=2), Conv(1, 3, groups=4, levels=3, scale=None)),
    "DoReFa of two bits": (Conv(levels="dorefa2"), Conv(levels="dorefa1"), Conv(levels="dorefa2", scale=None)),
    "kernels of sign alone": (Conv(scale="sign"), Conv(levels="dorefa2", scale="sign", groups=2)),
    "Heaviside between": (Conv(levels="heaviside"), Conv(scale="sign")),
    "float kernels": (Conv(scale=None), Conv(levels=3, scale=None, bias=True)),
    "relu in the layer": (Conv(activation="relu"), Conv()),
    "no quantizer at all": (Conv(levels=None, scale=None), Conv()),
    "transposed": (Transposed(3, 3, 2, "same", 2, "layer"), Transposed(2, 2, 1, "valid", 3, None)),
    "separable": (Separable(3, 3, 2, 2, "layer", "channel"), Separable(2, 2, 1, 3, "sign", "sign"), Conv()),
    "separable, float kernels": (Separable(3, 1, 1, 4, None, None), Separable(2, 3, 2, None, None, None), Conv()),
    "pools": (Pool("max", 2, 2, "valid", True), Conv(), Pool("average", 3, 1, "same", False), Conv()),
    "pool then norm": (PoolThenNorm(Conv(), 2), PoolThenNorm(Conv(levels=4), 3)),
    "dropout": (Plain("dropout"), Conv()),
    "residual sums": (Residual(Conv()), Residual(Conv(levels=3))),
    "branches": (Branches(Conv(), Conv(2, 1, levels=3)),),
    "activation, two readers": (Activation(2, False, "max", (Conv(), Conv(kernel=1, scale=None))),),
    "activation, wrapped": (Activation(3, True, "pad", (VALID,)),),
    "activation, average pool": (Activation(3, False, "average", (VALID,)),),
    "activation, upsampled": (Activation(2, False, "up", (Conv(groups=3),)),),
    "mixed levels, one kernel": (MixedLevels((2, 3), True, Conv(scale=None)), MixedLevels((4, 4), False, Conv())),
    "shared": (Shared(Conv(), 2),),
    "nested": (Nested(Conv(), Conv(levels=3), False, None, False),),
    "nested, twice": (Nested(Conv(), Conv(levels=3), False, None, True),),
    "nested, reads copies": (Nested(Conv(), Conv(levels=3), False, 2, True),),
    "nested sequential": (Nested(Conv(), Conv(levels=1), True, None, True),),
    "nested sequential, reads copies": (Nested(Conv(), Conv(levels=3), True, 4, True),),
}


@pytest.mark.parametrize("steps", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_decoupled_equals_coupled(steps):
    check(Program(steps, heads=("dense", "float"), dictionary=len(steps) == 1, inputs=len(steps)))


@pytest.mark.parametrize("head", sorted(set(HEADS) - {"float"}))
@pytest.mark.parametrize("levels", [2, 3, "dorefa2"])
def test_decoupled_equals_coupled_at_the_head(head, levels):
    check(Program((Pool("max", 2, 2, "valid", True),), heads=(head,), head=Conv(levels=levels)))


@pytest.mark.parametrize("kind", step_kinds())
@settings(max_examples=FEW, phases=GENERATE)
@given(data=st.data())
def test_decoupled_equals_coupled_on_random_graphs(kind, data):
    check(data.draw(programs(kind)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", step_kinds())
@settings(max_examples=MANY, phases=GENERATE)
@given(data=st.data())
def test_decoupled_equals_coupled_on_many_random_graphs(kind, data):
    check(data.draw(programs(kind)))
