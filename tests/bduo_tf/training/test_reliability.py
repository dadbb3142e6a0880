"""Kills, a full disk and damaged images: the run says what is wrong, keeps what it has and ends as if undisturbed."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bduo_tf.runs import RunFolder
from tests.bduo_tf.training import distributed
from tests.bduo_tf.training.runs import arguments
from train import cli

import tensorflow_datasets as tfds  # isort: skip

KILLS = 20

_KILLED = """
import os, random, signal, sys, threading, time
from pathlib import Path
from bduo_tf.training import methods, optimization, stages
from train import cli
from bduo_tf.training.callbacks import EpochRecord
from tests.bduo_tf.training.test_reliability import assert_whole

kills, steps, arguments = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
settings, run, _ = cli.parse(arguments)
draw = random.Random(0)

def end():
    os.kill(os.getpid(), signal.SIGKILL)

def attempt(stage, batches, delay):
    # A process of its own, which has TensorFlow imported but not started; killed so long after so many batches. Each is
    # a call into TensorFlow of its own, or there would be one moment an epoch.
    if (child := os.fork()) > 0:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = batches

    class Dies(EpochRecord):
        def on_train_batch_end(self, at, logs=None):
            nonlocal left
            super().on_train_batch_end(at, logs)
            left -= self._stage == stage
            if left == 0:
                threading.Timer(delay, end).start()

    stages.EpochRecord = Dies
    optimization._STEPS_PER_EXECUTION = 1
    os._exit(cli.main(arguments))

moments = set()
for kill in range(kills):
    first, second = methods.stages(settings)
    # Half of the kills in either stage, or in what comes after it.
    stage = first if kill < kills // 2 and not run.model(first.name).exists() else second
    remaining = (stage.epochs - len(run.epochs(stage.name))) * steps
    batches = draw.randint(1, max(1, min(steps + 4, remaining - steps)))
    assert attempt(stage.name, batches, draw.uniform(0, 0.3)) == -9, (stage.name, batches)
    assert_whole(run.path)
    moments.add((stage.name, len(run.epochs(stage.name))))
print("moments:", sorted(moments))
assert len(moments) > 4
assert attempt("", -1, 0) == 0
"""


def assert_whole(folder: Path) -> None:
    """Every file under its final name can be read to its end."""
    for path in folder.glob("*.json"):
        json.loads(path.read_text())
    for path in folder.glob("*.keras"):
        with zipfile.ZipFile(path) as file:
            assert file.testzip() is None


@pytest.mark.slow
def test_twenty_kills_at_random_moments(tmp_path: Path) -> None:
    small = ["--batch-size", "128", "--epochs", "6", "--fine-tune-epochs", "6"]
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    code = [sys.executable, "-c", _KILLED, str(KILLS), "12"]
    done = subprocess.run([*code, *arguments(killed, *small)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("resumed after epoch") >= 4
    subprocess.run([sys.executable, "-m", "train", *arguments(undisturbed, *small)], capture_output=True, check=True)
    assert distributed.read(killed) == distributed.read(undisturbed)
    assert {p.name for p in killed.iterdir()} == {p.name for p in undisturbed.iterdir()}


@pytest.fixture
def disk(tmp_path: Path):
    """A folder on a file system of its own, and a function that changes how many KiB fit there."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size: int, *more: str) -> bool:
        options = ",".join([*more, f"size={size}k"])
        return not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True
        ).returncode

    if os.geteuid() != 0 or not mount(64):
        pytest.skip("only root, and not everywhere, may mount a small disk")
    try:
        yield folder, lambda size: mount(size, "remount")
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.slow
def test_a_disk_that_fills(disk, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch) -> None:
    """Wherever it happens, the message says so; with more space the same command goes on from there."""
    folder, resize = disk
    monkeypatch.setattr(RunFolder, "require_space", lambda *_: None)
    options = ["--epochs", "2", "--fine-tune-epochs", "1", "--batch-size", "256"]
    for size in (160, 320, 640):
        assert resize(size)
        assert cli.main(arguments(folder / "run", *options)) == 1
        error = capfd.readouterr().err
        assert "python -m train: error: --run: no space is left on its disk" in error
        assert_whole(folder / "run")
        assert not list((folder / "run").glob(".writing-*"))
    assert resize(64 * 1024)
    assert cli.main(arguments(folder / "run", *options)) == 0
    assert cli.main(arguments(tmp_path / "undisturbed", *options)) == 0
    assert distributed.read(folder / "run") == distributed.read(tmp_path / "undisturbed")


def _stripes(tmp_path: Path, wrong: int = -1) -> Path:
    """The file of the training images of a small data set "stripes" in the folder "data"; one's label may be -1."""
    labels = [-1 if i == wrong else i % 2 for i in range(8)]
    images = [(i, {"image": np.full((16, 16, 1), i, np.uint8), "label": label}) for i, label in enumerate(labels)]
    tfds.dataset_builders.store_as_tfds_dataset(
        name="stripes",
        version="1.0.0",
        features=tfds.features.FeaturesDict(
            {"image": tfds.features.Image(shape=(16, 16, 1)), "label": tfds.features.ClassLabel(num_classes=2)}
        ),
        split_datasets={"train": images, "test": images},
        data_dir=tmp_path / "data",
    )
    [stored] = (tmp_path / "data").rglob("*train*.tfrecord*")
    return stored


@pytest.mark.parametrize("kind", ["damaged", "missing"])
def test_an_image_that_cannot_be_read(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Found in mid-training: named, and nothing of the run is lost."""
    stripes = _stripes(tmp_path)
    content = bytearray(stripes.read_bytes())
    content[-40] ^= 0xFF
    stripes.write_bytes(content) if kind == "damaged" else stripes.unlink()
    options = ["--dataset", "stripes", "--data-dir", str(tmp_path / "data"), "--epochs", "1", "--batch-size", "4"]
    assert cli.main(arguments(tmp_path / "run", *options)) == 1
    error = capsys.readouterr().err
    name = {"damaged": "DataLossError", "missing": "NotFoundError"}[kind]
    assert f"python -m train: error: --dataset: an image cannot be read ({name}" in error
    assert not list((tmp_path / "run").glob("*.keras"))


def test_a_label_that_is_no_class(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    """Beyond those that are looked at beforehand."""
    monkeypatch.setattr("bduo_tf.data.catalog._LABELS", 1)
    _stripes(tmp_path, wrong=7)
    options = ["--dataset", "stripes", "--data-dir", str(tmp_path / "data"), "--epochs", "1", "--batch-size", "4"]
    assert cli.main(arguments(tmp_path / "run", *options)) == 1
    assert "python -m train: error: --dataset: a label is not from 0 to 1, but -1. Once" in capsys.readouterr().err
