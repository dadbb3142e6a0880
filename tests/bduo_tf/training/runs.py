"""A short run for the tests of train, in this process or in one that dies at a chosen moment."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from train import cli

EPOCHS, FINE_TUNE_EPOCHS = 3, 2

DYING = """
import os, signal, sys
from bduo_tf.training import stages
from train import cli
from bduo_tf.training.callbacks import EpochRecord

def run_and_die(when, arguments):
    # `when` is "stage epoch batch", or "" for never.
    stage, epoch, batch = when.split() if when else ("", -1, -1)
    epoch, batch = int(epoch), int(batch)

    class Dies(EpochRecord):
        def on_train_batch_end(self, at, logs=None):
            super().on_train_batch_end(at, logs)
            if (self._stage, self._epoch) == (stage, epoch) and at >= batch:  # several batches between two calls
                os.kill(os.getpid(), signal.SIGKILL)

    stages.EpochRecord = Dies
    finish = stages._finish

    def dies_before_saving(training, name, *args, **kwargs):
        if (stage, epoch) == (name, -1):
            os.kill(os.getpid(), signal.SIGKILL)
        finish(training, name, *args, **kwargs)

    stages._finish = dies_before_saving
    return cli.main(arguments)
"""


def arguments(run: Path, *more: str) -> list[str]:
    """Of a run of the decoupled VGG-7 on digits that takes seconds."""
    small = "--image-size 16 --width 0.125 --batch-size 64 --augmentation flip --learning-rate 0.01"
    epochs = f"--epochs {EPOCHS} --fine-tune-epochs {FINE_TUNE_EPOCHS}"
    return ["vgg7", "--dataset", "digits", "--run", str(run), *small.split(), *epochs.split(), *more]


def assert_refused(argv: Sequence[str], run: Path, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Asserts that training refuses a command line with one line that has `message` in it, and leaves no run."""
    assert cli.main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("python -m train: error: ")
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not run.exists()


def train_and_die(run: Path, stage: str, epoch: int, batch: int, *more: str) -> int:
    """Trains until SIGKILL after a batch (both counted from 0), or with epoch -1 before the model is saved.

    Returns the exit status, -9 for one that was killed.
    """
    code = f"{DYING}\nsys.exit(run_and_die(sys.argv[1], sys.argv[2:]))"
    command = [sys.executable, "-c", code, f"{stage} {epoch} {batch}", *arguments(run, *more)]
    return subprocess.run(command, capture_output=True, text=True).returncode


def train(run: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Trains to the end in a process of its own."""
    return subprocess.run([sys.executable, "-m", "train", *arguments(run, *more)], capture_output=True, text=True)
