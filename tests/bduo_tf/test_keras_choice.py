"""bduo_tf needs Keras 2, and says so when TensorFlow already uses Keras 3. Each case runs in a process of its own."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    clean = {k: v for k, v in os.environ.items() if k not in ("TF_USE_LEGACY_KERAS", "PYTHONWARNINGS")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**clean, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    ("code", "environment", "message"),
    [
        ("import tensorflow as tf; tf.keras.layers.Layer; import bduo_tf", {}, "it was imported before bduo_tf"),
        ("import tensorflow as tf; import bduo_tf", {}, "Import bduo_tf first, or set the environment variable"),
        ("import bduo_tf", {"TF_USE_LEGACY_KERAS": "0"}, "TF_USE_LEGACY_KERAS is '0'. Set it to 1, or leave it unset."),
    ],
    ids=["tf.keras was touched", "TensorFlow was imported", "the environment says Keras 3"],
)
def test_keras_3_is_refused(code, environment, message):
    process = run(code, **environment)
    assert process.returncode == 1
    last = process.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: bduo_tf needs Keras 2, but TensorFlow was already using Keras 3")
    assert message in last


@pytest.mark.parametrize(
    ("code", "environment"),
    [
        ("import bduo_tf, tensorflow as tf", {}),
        ("import tensorflow as tf, bduo_tf", {"TF_USE_LEGACY_KERAS": "1"}),
    ],
    ids=["bduo_tf first", "the environment says Keras 2"],
)
def test_keras_2_is_chosen(code, environment):
    process = run(f"{code}; print(tf.keras.layers.Layer.__module__)", **environment)
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("tf_keras.")
