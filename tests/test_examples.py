"""The examples run as they stand, with few epochs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def run(folder: Path, name: str, *arguments: str) -> str:
    command = [sys.executable, "-m", f"examples.{name}", "--output", str(folder), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
    assert "Exception ignored" not in done.stderr
    return done.stdout


def test_five_minutes(tmp_path):
    printed = run(tmp_path, "five_minutes", "--epochs", "3")
    assert printed.count("arg max    agrees on 360 of 360") == 2
    assert {p.name for p in tmp_path.iterdir()} == {"model.tflite", "layers.png"}
    assert len(re.findall(r"^ *[\d.]+%  \d$", printed, re.MULTILINE)) == 3


def test_from_larq(tmp_path):
    printed = run(tmp_path, "from_larq", "--epochs", "3")
    accuracies = dict(re.findall(r"^(larq|binaryduo) +([\d.]+)% of the test images", printed, re.MULTILINE))
    assert set(accuracies) == {"larq", "binaryduo"}
    assert min(map(float, accuracies.values())) > 30, "three times what guessing has"
    # The second file weighs about as much as the first.
    first, second = ((tmp_path / f"{name}.tflite").stat().st_size for name in ("larq", "binaryduo"))
    assert 0.8 < second / first < 1.2
