"""The README's Python runs as it stands, and its commands are ones that exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text()

_DATA = """
import numpy as np
labels = np.arange(64) % 10
images = np.random.default_rng(0).normal(size=(64, 28, 28, 1)).astype("float32") + labels[:, None, None, None] / 5
frame = np.zeros((28, 28), np.uint8)
"""

_CHECK = """
expected = binary.predict(images)
assert expected.shape == logits.shape == (64, 10)
assert np.mean(expected.argmax(-1) == logits.argmax(-1)) > 0.9
"""


def test_the_python_examples(tmp_path: Path) -> None:
    example, running = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    # The example first: it shows in which order to import.
    define, separator, train = example.partition("model.compile(")
    script = define + _DATA + separator + train + running + _CHECK
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model.tflite").stat().st_size > 1000


def test_every_make_target_exists() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"(?:^ {4}|`)make ([a-z-]+)", README, re.MULTILINE))
    assert {"demo", "test"} <= named <= targets
