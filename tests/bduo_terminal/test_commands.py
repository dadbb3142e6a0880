"""Each command as a user starts it: every line on the terminal is the command's own, unless more is asked for."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bduo_tf.training.runs import arguments

# All that TensorFlow has to say, whatever the tests themselves ask of it.
TALKATIVE = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"}
OURS = re.compile(
    r"|vgg7 \([\d,]+ parameters\) on digits: .*|(coupled|decoupled|fine_tuned): .*|Epoch \d/\d|\d+/\d+ - .* - loss: .*"
    r"|model +test accuracy .*|(coupled|decoupled|fine_tuned) +\d.*|The model to deploy is .*|  python -m convert .*"
    r"|The whole of it as a page: .*"
)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, env=TALKATIVE)


def test_train_from_the_data_set_on(tmp_path: Path) -> None:
    small = ["--image-size", "8", "--epochs", "1", "--fine-tune-epochs", "1", "--batch-size", "512"]
    done = _run("train", *arguments(tmp_path / "run", *small, "--data-dir", str(tmp_path)))
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if not OURS.fullmatch(line)] == []
    assert len(done.stdout.splitlines()) > 10


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (
            ["train", "vgg7", "--dataset", "digits", "--run", "r", "--levels", "1"],
            r"python -m train: error: --levels.*",
        ),
        (["convert", "nothing.keras"], r"error: nothing.keras does not exist.*"),
        (["benchmarks.summary", "nothing"], r"usage: .*\npython -m benchmarks.summary: error: nothing.*"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_an_error_is_all_there_is(command: list[str], error: str) -> None:
    done = _run(*command)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(error + r"\n", done.stderr)


@pytest.mark.parametrize("command", ["train", "convert", "benchmarks.conversion", "benchmarks.accuracy"])
def test_help_names_the_option(command: str) -> None:
    done = _run(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--verbose" in done.stdout


@pytest.mark.parametrize("command", ["train", "convert", "benchmarks.conversion"])
def test_verbose_shows_what_tensorflow_says(command: str) -> None:
    assert re.search(r"I0000 .*\.cc:\d+\]", _run(command, "--help", "-v").stderr)


def test_imported_a_benchmark_hides_nothing() -> None:
    code = "import os, benchmarks.summary; os.write(2, b'native')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.endswith("native")
