"""Files changed at random never crash: run in a process of its own, whose exit code tells."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("form", ["pooled_thresholds", "residual_thresholds", "bit_pooled", "signs"])
def test_mutated_files(converted, form):
    path = converted((form,), 5, (8, 8, 16))
    done = subprocess.run(
        [sys.executable, str(HERE / "mutate.py"), str(path), "1", "100"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    # Not all are refused before the delegate sees them.
    assert int(done.stdout.split()[0]) > 0
