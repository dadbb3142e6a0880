"""Slow tests end in time: those that would begin after BDUO_DEADLINE are skipped, which the summary says."""

import os
import time

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    """BDUO_DEADLINE is a time in seconds since 1970, which `.ci/run` sets."""
    deadline = float(os.environ.get("BDUO_DEADLINE", "inf"))
    if item.get_closest_marker("slow") and time.time() > deadline:
        pytest.skip("there was no time left for this slow test: run make test-slow")
