"""Several replicas train as one device does: on two processors of one process, and in two processes on the loopback.

In float64 they differ by what the order of sums leaves (1e-15 measured), so long as none of it meets a threshold. With
float weights none does. Binary ones make sums that would be equal but for rounding, between which a max pool or a
threshold then chooses: such runs drift apart as they do from one processor to the next. With rates so small that no
weight moves they too stay together.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from bduo_tf.backend import keras, tf
from bduo_tf.training import distribution as distributions
from tests.bduo_tf.training import distributed
from tests.bduo_tf.training.runs import arguments
from train import cli
from train.cli import main

TOLERANCE = 1e-9
WEIGHTS = {
    "float weights": ("--float-weights",),
    "binary weights": ("--learning-rate", "1e-12", "--fine-tune-learning-rate", "1e-12"),
}


def _arguments(run: Path, *more: str) -> list[str]:
    # 1437 images in batches of 64 leave 29 for the last one, 15 and 14 for two replicas.
    return arguments(run, "--epochs", "2", "--fine-tune-epochs", "2", "--weight-decay", "1e-3", *more)


@pytest.fixture(scope="module", params=WEIGHTS.values(), ids=WEIGHTS)
def alone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[str, ...]]:
    """A run on one device, and its options."""
    run = tmp_path_factory.mktemp("alone") / "run"
    process = distributed.start(_arguments(run, *request.param))
    [printed] = distributed.end([process])
    assert process.returncode == 0, printed
    return run, request.param


def _assert_same(run: Path, other: Path) -> None:
    for ours, theirs in zip(distributed.read(run), distributed.read(other), strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours:
            for one, same in zip(np.atleast_1d(ours[name]), np.atleast_1d(theirs[name]), strict=True):
                assert one == pytest.approx(same, rel=TOLERANCE)
    for name in ("coupled", "decoupled", "fine_tuned"):
        one, same = (keras.models.load_model(r / f"{name}.keras", compile=False) for r in (run, other))
        # What is saved knows nothing of the workers.
        assert one.get_config() == same.get_config()
        for weight, expected in zip(one.get_weights(), same.get_weights(), strict=True):
            np.testing.assert_allclose(weight, expected, rtol=1e-6, atol=1e-8)
    assert {p.name for p in run.iterdir()} == {p.name for p in other.iterdir()}


@pytest.mark.slow
def test_two_processors(alone: tuple[Path, tuple[str, ...]], tmp_path: Path) -> None:
    process = distributed.start(_arguments(tmp_path / "run", *alone[1], "--strategy", "mirrored"), devices=2)
    [printed] = distributed.end([process])
    assert process.returncode == 0, printed
    assert "2 replicas" in printed
    _assert_same(tmp_path / "run", alone[0])


@pytest.mark.slow
def test_two_workers(alone: tuple[Path, tuple[str, ...]], tmp_path: Path) -> None:
    workers = distributed.start_workers(_arguments(tmp_path / "run", *alone[1]))
    printed = distributed.end(workers)
    assert [worker.returncode for worker in workers] == [0, 0], printed
    assert "Epoch" not in printed[1]
    _assert_same(tmp_path / "run", alone[0])


@pytest.mark.slow
def test_killed_workers_continue_and_so_does_one_device(alone: tuple[Path, tuple[str, ...]], tmp_path: Path) -> None:
    """A worker in mid-epoch of the first stage, all start again; then the chief in the second: one device goes on."""
    options = _arguments(tmp_path / "run", *alone[1])
    for killed, when in ((1, "coupled 1 3"), (0, "fine_tuned 1 2")):
        workers = distributed.start_workers(options, dies={killed: when})
        printed = distributed.end(workers)
        assert workers[killed].returncode == -9, printed[killed]
        if killed:  # without the chief TensorFlow itself may end the others
            assert workers[0].returncode == 1, printed[0]
            assert printed[0].count("python -m train: error: --strategy: another worker is gone") == 1
    process = distributed.start(options)
    [printed_last] = distributed.end([process])
    assert process.returncode == 0, printed_last
    assert "resumed after epoch 1" in printed_last
    _assert_same(tmp_path / "run", alone[0])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "multi_worker needs the environment variable TF_CONFIG, such as {"),
        ("{", "TF_CONFIG is malformed (Expecting property name"),
        ({"cluster": {"worker": ["a:1"]}}, "TF_CONFIG is malformed ('task' is missing)"),
        ({"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}, "there is no ps 0 in its cluster"),
        ({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}, "there is no worker 1"),
        ({"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}, "address must be host:port"),
        ([], "TF_CONFIG is malformed (list indices"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_wrong_tf_config(config, message, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config if isinstance(config, str) else json.dumps(config))
    assert main(arguments(tmp_path / "run", "--strategy", "multi_worker")) == 2
    error = capsys.readouterr().err
    assert error.startswith("python -m train: error: --strategy: ")
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_no_devices(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [])
    assert main(arguments(tmp_path / "run", "--strategy", "mirrored")) == 2
    assert "--strategy: mirrored needs GPUs, of which TensorFlow finds none here" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_fewer_images_than_replicas(tmp_path, capsys, monkeypatch):
    hosts = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": hosts, "task": {"type": "worker", "index": 0}}))
    assert distributions._cluster() == (["a:1", "b:1", "c:1"], 1)
    assert main(arguments(tmp_path / "run", "--strategy", "multi_worker", "--batch-size", "2")) == 2
    assert "--batch-size: 2 images are too few for 3 replicas of the model." in capsys.readouterr().err


def test_a_last_batch_too_small_for_the_replicas(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(distributions.Distribution, "replicas", 3)
    assert main(arguments(tmp_path / "run", "--batch-size", "359")) == 2  # 1437 = 4 x 359 + 1
    error = capsys.readouterr().err
    assert "--batch-size: 1437 training images in batches of 359 leave 1 for the last, too few for 3 replicas" in error
    assert not (tmp_path / "run").exists()


def test_an_unknown_strategy_lists_the_known(tmp_path, capsys):
    assert main(arguments(tmp_path / "run", "--strategy", "horovod")) == 2
    error = capsys.readouterr().err
    assert all(name in error for name in distributions.STRATEGIES)


def test_the_strategy_is_no_part_of_what_a_run_is(tmp_path):
    one, other = (cli.parse(arguments(tmp_path, "--strategy", s))[0] for s in distributions.STRATEGIES[:2])
    assert one == other
