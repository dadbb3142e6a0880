"""Which operators are fused into which pass: a silent fallback would pass any comparison of outputs."""

import numpy as np
import pytest

from bduo_runtime import _operators


def fused(path, threads=1):
    return [step.operators for step in _operators.steps(str(path), threads, lambda _: None)]


CASES = [
    ("thresholds", 0, {"LceBconv2d", "SUB", "LceQuantize"}),
    ("pooled_thresholds", 1, {"LceBconv2d", "MAX_POOL_2D", "SUB", "LceQuantize"}),
    ("float_thresholds", 0, {"MUL", "SUB", "CONCATENATION", "LceQuantize"}),
    ("residual", 1, {"LceBconv2d", "ADD"}),
    ("residual_thresholds", 1, {"LceBconv2d", "ADD"}),
    ("residual_thresholds", 1, {"SUB", "CONCATENATION", "LceQuantize"}),
]


@pytest.mark.parametrize(("form", "seed", "expected"), CASES, ids=[f"{c[0]}-{'-'.join(sorted(c[2]))}" for c in CASES])
def test_recognised(converted, form, seed, expected):
    steps = [set(operators) for operators in fused(converted((form,), seed, (8, 8, 16)))]
    also = [set(), {"CONCATENATION"}, {"CONCATENATION", "MUL"}]  # as the form's random number of copies has it
    assert any(expected | more in steps for more in also), steps


def test_value_read_elsewhere_stays(converted):
    """A product reads the convolution's float output as well, so it is written, and compared in a pass of its own."""
    steps = fused(converted(("read_twice",), 0, (8, 8, 16)))
    assert ["LceBconv2d"] in steps
    assert any("SUB" in operators and "LceBconv2d" not in operators for operators in steps)


def test_times_are_taken(converted):
    path = converted(("thresholds",), 0, (8, 8, 16))
    steps = _operators.steps(str(path), 1, lambda i: i.predict(np.zeros((3, 8, 8, 16), np.float32)))
    assert all(step.runs == 3 and step.nanoseconds > 0 for step in steps)
    assert sum(step.macs for step in steps) > 0
