"""From a folder of one's own pictures to their classes on a device, by the three command lines."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from bduo_runtime import _cli
from bduo_tf import data
from bduo_tf.backend import keras, tf
from bduo_tf.data.folder import open_folder
from bduo_tf.runs import RunFolder
from bduo_tf.training.errors import failure
from convert.cli import main as convert
from examples.draw_pictures import SHAPES
from tests.bduo_tf.data.pictures import KINDS, picture_folder
from train.cli import main as train

SMALL = "--image-size 16 --width 0.125 --batch-size 16 --learning-rate 0.01 --fine-tune-learning-rate 0.003"


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return picture_folder(tmp_path / "shapes", 5 * len(KINDS))


@pytest.mark.slow
def test_pictures_are_classified_on_the_device_as_in_keras(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = RunFolder(tmp_path / "run")
    command = ["vgg7", "--method", "baseline", "--dataset", "folder:shapes", "--run", "run", *SMALL.split()]
    assert train([*command, "--epochs", "6", "--fine-tune-epochs", "6"]) == 0
    config = run.config()
    assert (config.settings.dataset, config.class_names) == (f"folder:{shapes}", SHAPES)
    assert run.metrics().models["baseline"].accuracy > 0.8  # so that it is no constant that is compared below

    monkeypatch.chdir("/")  # the run knows where its pictures are
    assert convert([str(run.path)]) == 0
    summary = json.loads((run.path / "model.json").read_text())
    assert summary["verified_on"] == f"36 test images of folder:{shapes}"
    assert all(v["agreeing"] == v["images"] == 36 for v in summary["verification"].values())

    test = data.load(config.settings.dataset, (16, 16)).test.batch(36)
    expected = np.argmax(keras.models.load_model(run.final(), compile=False).predict(test, verbose=0), axis=1)
    files = [
        path.decode() for path, _ in open_folder(config.settings.dataset, (16, 16)).test.files().as_numpy_iterator()
    ]
    capsys.readouterr()
    assert _cli.main(["run", str(run.path / "model.tflite"), *files, "--top", "1"]) == 0
    found = re.findall(r"^  +[\d.]+%  +\S+  (\w+)$", capsys.readouterr().out, re.MULTILINE)
    assert found == [SHAPES[label] for label in expected]
    assert len(set(found)) == len(SHAPES)

    shutil.move(shapes, tmp_path / "moved")
    assert convert([str(run.path)]) == 2
    error = capsys.readouterr().err
    assert (
        f"error: The pictures of the run are not in {shapes} any more: say where they are by --dataset folder:" in error
    )
    assert convert([str(run.path), "--dataset", f"folder:{tmp_path / 'moved'}", "--samples", "4"]) == 0


def test_a_folder_that_changed_since_the_run_began_is_not_trained_on(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    command = ["vgg7", "--dataset", f"folder:{shapes}", "--run", str(tmp_path / "run"), *SMALL.split()]
    (shapes / "disc" / "notes.txt").write_text("mine")
    with monkeypatch.context() as patched:
        patched.setattr("bduo_tf.training.stages.train_stage", interrupt)
        assert train(command) == 130
    assert "Left out of " in capsys.readouterr().out
    (shapes / "disc" / "000.jpg").unlink()
    assert train(command) == 2
    error = capsys.readouterr().err
    assert f"--dataset: folder:{shapes} has changed since the run in {tmp_path / 'run'} began. It had 144" in error


def test_a_picture_that_is_gone_while_training(shapes: Path) -> None:
    batches = data.train_batches(data.load(f"folder:{shapes}", (16, 16)), 16, seed=0, epochs=1)
    shutil.rmtree(shapes / "disc")
    with pytest.raises(tf.errors.OpError) as error:
        list(batches)
    assert re.fullmatch(rf"--dataset: a picture is gone or damaged: {shapes}/disc/\d+\.\w+", failure(error.value))
