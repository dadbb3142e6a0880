"""Deployment's thresholds decide as the condition that they stand for, evaluated in float64, for every value."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bduo_tf.deployment import _thresholds

F = np.float32


def thresholds(scale, offset, terms=None, strict=False):
    """Thresholds of one channel, with as many copies as there are offsets."""
    offset = np.atleast_2d(np.array(offset, np.float64))
    scale = np.full(offset.shape, scale, np.float64)
    orientation, tau = _thresholds.thresholds(scale, offset, terms=terms, strict=strict)
    assert orientation.shape == (1,)
    assert tau.shape == offset.shape
    assert tau.dtype == F
    return orientation[0], tau[0]


def reachable(terms):
    return np.arange(-terms, terms + 1, 2)


def check_integers(scale, offsets, terms, strict=False):
    orientation, tau = thresholds(scale, offsets, terms, strict)
    y = reachable(terms)
    for offset, t in zip(offsets, tau, strict=True):
        on = np.greater if strict else np.greater_equal
        np.testing.assert_array_equal(orientation * y > t, on(scale * y + offset, 0.5))
        assert t == int(t)
        assert (int(t) - terms) % 2 == 1, "a tie can occur"
        assert abs(t) <= terms + 1


sizable = st.one_of(
    st.floats(-2, 2).filter(lambda s: s == 0 or abs(s) > 1e-12),
    st.sampled_from([0.0, -0.0, 1e-12, -1e-12, 1e30, -1e30, 0.5, -0.5, 1 / 3]),
)
tiny = st.sampled_from([1e-300, -1e-300, 5e-324, 1e-30, -1e-30, 1e-16])
scales = st.one_of(sizable, tiny)
offsets = st.one_of(st.floats(-30, 30), st.sampled_from([0.5, 0.0, 1e30, -1e30, np.nextafter(0.5, 0), 1 / 6]))


@given(scale=sizable, offset=st.lists(offsets, min_size=1, max_size=4), terms=st.integers(1, 300))
@example(scale=0.0, offset=[0.5, 0.25], terms=9)
@example(scale=-0.0, offset=[0.5, 0.75], terms=9)
@example(scale=0.5, offset=[0.0, 0.5, 1.0], terms=27)
@example(scale=-0.25, offset=[0.25, 0.5], terms=28)
def test_step_of_every_reachable_integer(scale, offset, terms):
    check_integers(scale, offset, terms)


@given(scale=tiny, offset=offsets.filter(lambda o: o != 0.5), terms=st.integers(1, 300))
def test_a_tiny_scale_leaves_the_decision_to_the_offset(scale, offset, terms):
    # A sum with a tiny scale is lost in rounding beside an offset near 0.5, so that either side is right.
    if abs(offset - 0.5) > 1e-12:
        check_integers(scale, [offset], terms)


@given(terms=st.integers(1, 60), at=st.integers(-62, 62), scale=st.floats(1e-3, 3), negative=st.booleans())
def test_step_of_every_reachable_integer_when_one_is_at_its_threshold(terms, at, scale, negative):
    scale = -scale if negative else scale
    exact = 0.5 - scale * at
    check_integers(scale, [exact, np.nextafter(exact, -np.inf), np.nextafter(exact, np.inf)], terms)


@pytest.mark.parametrize("strict", [False, True], ids=["at least", "more than"])
def test_every_scale_and_offset_of_small_sums(strict):
    for terms in (1, 2, 3, 8, 9):
        for scale in np.linspace(-1, 1, 41):
            check_integers(scale, np.linspace(-9, 9, 145), terms, strict)


@pytest.mark.parametrize(("scale", "edge"), [(1.0, 0.5), (2.0, 0.25), (-1.0, -0.5)])
def test_a_strict_step_is_off_at_its_threshold_and_on_at_the_next_float(scale, edge):
    _, [tau] = thresholds(scale, [0.0], strict=True)
    assert not F(abs(edge)) * np.sign(edge) * np.sign(scale) > tau
    assert np.nextafter(F(abs(edge)), F(np.inf)) > tau


def on(x, scale, offset):
    return scale * np.float64(x) + offset >= 0.5


@given(scale=scales, offset=offsets)
@example(scale=1.0, offset=0.5)
@example(scale=-1.0, offset=0.5)
@example(scale=0.0, offset=0.5)
@example(scale=0.0, offset=0.0)
@example(scale=1 / 3, offset=1 / 6)
def test_step_of_floats_around_the_threshold(scale, offset):
    orientation, [tau] = thresholds(scale, [offset])
    x: Any = [F(v) for v in (-1e20, -1.0, 0.0, 1.0, 1e20)]
    edge = F(orientation * tau)
    if abs(tau) < 1e29:
        up = down = edge
        for _ in range(4):
            up, down = np.nextafter(up, F(np.inf)), np.nextafter(down, F(-np.inf))
            x += [up, down]
        x.append(edge)
    # Runtimes may flush smaller numbers to zero.
    x = np.array([v for v in x if v == 0 or abs(v) >= np.finfo(F).tiny], F)
    ours = orientation * x > tau
    # The division is rounded in float64: values of x within that rounding of the threshold may be on either side.
    product = scale * x.astype(np.float64)
    clear = np.abs(product + offset - 0.5) > 1e-15 * (np.abs(product) + abs(offset) + 1)
    clear |= scale == 0
    np.testing.assert_array_equal(ours[clear], on(x, scale, offset)[clear])
    assert np.isfinite(tau)


@pytest.mark.parametrize(
    ("scale", "offset", "orientation", "least_on"),
    [
        (1.0, 0.0, 1, 0.5),
        (1.0, 0.25, 1, 0.25),
        (2.0, 0.0, 1, 0.25),
        (-1.0, 0.0, -1, 0.5),  # the activation is on from -0.5 downwards
        (-2.0, 1.0, -1, -0.25),  # the activation is on from 0.25 downwards
        (1.0, -(2.0**24), 1, 2.0**24 + 2),  # 2**24 + 0.5 is no float32
    ],
)
def test_the_least_float_that_is_on(scale, offset, orientation, least_on):
    got_orientation, [tau] = thresholds(scale, [offset])
    assert got_orientation == orientation
    assert np.nextafter(tau, F(np.inf)) == F(least_on)


@pytest.mark.parametrize("offset", [0.5, 0.0], ids=["switches at zero", "switches above zero"])
def test_no_threshold_is_subnormal(offset):
    tiny = np.finfo(F).tiny
    for scale in (1.0, -1.0, 1e30, 1e38, 1e39, 1e44):
        _, [tau] = thresholds(scale, [offset])
        assert tau == 0 or abs(tau) >= tiny


@pytest.mark.parametrize(("offset", "always"), [(0.5, True), (0.49, False), (7.0, True), (-7.0, False)])
@pytest.mark.parametrize("terms", [None, 9])
def test_a_scale_of_zero_is_always_or_never_on(terms, offset, always):
    orientation, [tau] = thresholds(0.0, [offset], terms)
    y = reachable(9) if terms else np.array([-1e20, 0, 1e20])
    assert (orientation * y > tau).all() == (orientation * y > tau).any() == always
