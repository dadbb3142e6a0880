"""Timing: functions take turns, and ratios are of neighbouring turns. No test here depends on the machine's speed."""

import pytest

from bduo_runtime import Latency, bench


def test_functions_take_turns():
    order: list[str] = []
    found = bench({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=5, turn=0)
    assert order[-10:] == ["a", "b"] * 5
    assert list(found) == ["a", "b"]
    assert all(len(latency.rounds) == 5 and 0 <= latency.minimum <= latency.median for latency in found.values())


def test_a_turn_is_as_long_as_asked(monkeypatch):
    now, calls = [0.0], []

    def run():
        now[0] += 0.002
        calls.append(now[0])

    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    found = bench({"a": run}, rounds=3, turn=20)["a"]
    assert len(calls) == 3 + 3 + 3 * 10  # two warm-ups, and three turns of ten calls
    assert found.rounds == pytest.approx((2.0,) * 3)


def test_ratios_are_of_neighbouring_turns():
    slow, fast = Latency((4.0, 8.0, 12.0)), Latency((1.0, 4.0, 3.0))
    assert slow.ratio_to(fast) == 4.0
    assert (slow.median, slow.minimum) == (8.0, 4.0)
