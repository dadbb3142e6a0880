"""`python -m train`: what it refuses before the first step, and with which words."""

import dataclasses
import shutil
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest

from bduo_tf.networks import NETWORKS
from bduo_tf.runs import RunFolder, Settings
from bduo_tf.training import methods, optimization, stages
from tests.bduo_tf.runs.finished import CONFIG
from tests.bduo_tf.training.runs import arguments, assert_refused
from train import cli
from train.cli import main
from train.recipes import RECIPES, find


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--dataset", "digitz"], "--dataset: unknown data set 'digitz'"),
        (["--dataset", "glue"], "--dataset: glue is not an image-classification data set"),
        (["--data-dir", "nowhere"], "nowhere is not a folder"),
        (["--image-size", "4"], "--image-size: vgg7: input_shape must be (height, width, channels) from 8x8 on"),
        (["--levels", "1"], "--levels: 1 leaves nothing to decouple: give 2 or more, or train a binary network by"),
        (["--levels", "1", "--method", "scratch"], "--levels: 1 leaves nothing to decouple"),
        (["--levels", "255"], "--width: duo_widths: even 1 channels before the last layer weigh more"),
        (["--levels", "2", "--method", "duo3"], "--levels: is settled by --method duo3: leave it out."),
        (["--gradient", "steep", "--method", "ste_sign"], "--gradient: is settled by --method ste_sign"),
        (["--optimizer", "bop", "--strategy", "mirrored"], "--optimizer: bop is for one device: leave out --strategy"),
        (["--validation", "0.0001"], "--validation: 0.0001 of 1437 images leaves nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refused_with_one_line(more, message, tmp_path, capsys):
    run = tmp_path / "run"
    assert_refused(arguments(run, *more), run, message, capsys)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--epochs", "0"], "argument --epochs: must be at least 1, not 0"),
        (["--epochs", "10000000000"], "argument --epochs: must be at most 1000000, not 10000000000"),
        (["--batch-size", "10000000000"], "argument --batch-size: must be at most 1000000"),
        (["--image-size", "65536"], "argument --image-size: invalid size such as 32 or 32x48 value: '65536'"),
        (["--epochs", "many"], "argument --epochs: invalid whole number value: 'many'"),
        (["--learning-rate", "nan"], "argument --learning-rate: must be at least"),
        (["--learning-rate", "0"], "argument --learning-rate: must be at least"),
        (["--validation", "1"], "argument --validation: must be at least 0 and below 1, not 1"),
        (["--image-size", "0x8"], "argument --image-size: invalid size such as 32 or 32x48 value: '0x8'"),
        (["--levels", "256"], "argument --levels: must be at least 1 and below 256, not 256"),
        (["--optimizer", "adagrad"], "choose from"),
        (["--augmentation", "mixup"], "choose from"),
        (["--epoch", "3"], "unrecognized arguments"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_option_values(more, message, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(arguments(run, *more)) == 2
    assert message in capsys.readouterr().err
    assert not run.exists()


def test_an_unknown_network_lists_the_known(tmp_path, capsys):
    assert main(["vgg8", "--dataset", "digits", "--run", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "vgg8" in error
    assert all(name in error for name in NETWORKS)


def test_a_run_that_is_a_file(tmp_path, capsys):
    (tmp_path / "run").write_text("mine")
    assert main(arguments(tmp_path / "run")) == 2
    assert "--run: " in capsys.readouterr().err
    assert (tmp_path / "run").read_text() == "mine"


def test_an_unwritable_folder(tmp_path, capsys, monkeypatch):
    # Permissions do not bind root, so the failure is played.
    def fail(*args, dir, **kwargs):
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr("tempfile.TemporaryFile", fail)
    assert main(arguments(tmp_path / "run")) == 2
    assert f"--run: {tmp_path / 'run'} cannot be written: Permission denied" in capsys.readouterr().err


def test_a_full_disk_is_noticed_before_training(tmp_path, capsys, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2**30, 2**30 - 2**20, 2**20))
    monkeypatch.setattr(stages, "train_stage", lambda *args: pytest.fail("it trained"))
    assert main(arguments(tmp_path / "run")) == 2
    assert "has 1 MB free, but the run may write" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--seed", "7"], "--seed: {run} holds a run with 0, not 7: choose another --run, or remove that folder."),
        (["--levels", "3"], "--levels: {run} holds a run with 2, not 3"),
        (["--image-size", "8x16"], "--image-size: {run} holds a run with 16x16, not 8x16"),
        (["--method", "baseline"], "--method: {run} holds a run with duo, not baseline"),
        (["--scheme", "baseline"], "--method: {run} holds a run with duo, not baseline"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_folder_of_another_run_is_refused(more, message, tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    settings, *_ = cli.parse(arguments(run))
    RunFolder(run).write_config(dataclasses.replace(CONFIG, settings=settings))
    assert main(arguments(run, *more)) == 2
    assert message.format(run=run) in capsys.readouterr().err


def test_a_run_that_diverges_says_so_and_keeps_the_last_good_epoch(tmp_path, capsys):
    run = tmp_path / "run"
    bad = ["--optimizer", "sgd", "--learning-rate", "1e30"]
    assert main(arguments(run, *bad)) == 1
    error = capsys.readouterr().err
    assert "stage coupled, epoch" in error
    assert "loss is nan" in error
    assert "Try a lower --learning-rate" in error
    assert not list(run.glob("*.keras"))


def test_interrupted_by_hand(tmp_path, capsys, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "train_stage", interrupt)
    assert main(arguments(tmp_path / "run")) == 130
    assert "The same command continues" in capsys.readouterr().err


@pytest.mark.parametrize("scheme", ["scratch", "baseline", "float"])
def test_one_stage_schemes(scheme, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(arguments(run, "--scheme", scheme, "--epochs", "1", "--fine-tune-epochs", "1")) == 0
    metrics = RunFolder(run).metrics()
    assert metrics.final == scheme
    assert metrics.models[scheme].epochs == 2
    assert [p.name for p in run.glob("*.keras")] == [f"{scheme}.keras"]
    assert f"python -m convert {run}" in capsys.readouterr().out


def test_levels_do_not_matter_to_what_is_not_decoupled(tmp_path):
    settings, *_ = cli.parse(arguments(tmp_path, "--levels", "1", "--scheme", "baseline"))
    assert settings.recipe.levels == 1


def test_more_than_memory_holds(tmp_path, capsys):
    assert main(arguments(tmp_path / "run", "--width", "1e9")) == 1
    error = capsys.readouterr().err
    assert error.startswith("python -m train: error: --batch-size, --image-size or --width: memory does not suffice")
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("scheme", "deployable"), [("baseline", False), ("float", True)])
def test_float_weights_are_not_said_to_be_deployable(scheme, deployable, tmp_path, capsys):
    short = ["--epochs", "1", "--fine-tune-epochs", "1", "--image-size", "8"]
    assert main(arguments(tmp_path / "run", "--scheme", scheme, "--float-weights", *short)) == 0
    printed = capsys.readouterr().out
    assert ("python -m convert" in printed) == deployable
    assert ("It has float kernels, which cannot be deployed with binary activations." in printed) != deployable


def test_options_override_the_recipe(tmp_path):
    given = ["--levels", "3", "--no-per-channel", "--float-weights", "--fine-tune-learning-rate", "0.5"]
    settings, *_ = cli.parse(arguments(tmp_path, *given))
    recipe = settings.recipe
    assert (recipe.levels, recipe.per_channel, recipe.float_weights) == (3, False, True)
    assert (recipe.fine_tune_learning_rate, recipe.image_size) == (0.5, (16, 16))
    of_the_recipe = find("vgg7", "digits")
    assert (recipe.optimizer, recipe.weight_decay) == (of_the_recipe.optimizer, of_the_recipe.weight_decay)


def test_help_names_every_recipe():
    done = subprocess.run([sys.executable, "-m", "train", "--help"], capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    for network, dataset in RECIPES:
        assert any(line[:2] == [network, (dataset or "(any other)").split()[0]] for line in lines)
    assert "python -m train vgg7 --dataset digits --run runs/digits" in done.stdout


def test_every_network_has_a_recipe_for_any_data_set():
    for network in NETWORKS:
        assert find(network, "a data set nobody has heard of").epochs >= 1


def test_train_never_imports_convert():
    code = "import sys, train.cli; sys.exit(any(m.split('.')[0] == 'convert' for m in sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("network", "dataset", "stage", "steps", "expected"),
    [
        ("vgg7", "cifar10", 0, (0, 60, 61, 80, 81, 99), [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]),
        ("vgg7", "cifar10", 1, (0, 60, 61, 99), [0.01, 0.01, 0.001, 0.0001]),
        ("resnet18", "imagenet2012", 0, (58, 59, 99), [0.1, 0.01, 0.0001]),
        ("resnet18", "imagenet2012", 1, (50, 51, 75, 76, 99), [0.01, 0.001, 0.001, 0.0001, 0.00001]),
    ],
)
def test_a_drop_schedule_multiplies_by_a_tenth(network, dataset, stage, steps, expected):
    recipe = find(network, dataset)
    settings = Settings(network, dataset, recipe=recipe)
    optimizer = optimization.optimizer(recipe, methods.stages(settings)[stage], 100)
    rates = [float(optimizer._learning_rate(step)) for step in steps]
    np.testing.assert_allclose(rates, expected, rtol=1e-5)
