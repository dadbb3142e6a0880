"""A whole run on real digits: what it leaves behind, and that the same command continues it after a kill."""

import json
from pathlib import Path

import numpy as np
import pytest

from bduo_tf import data
from bduo_tf.backend import keras
from bduo_tf.runs import Metrics, RunFolder
from tests.bduo_tf.training.runs import EPOCHS, FINE_TUNE_EPOCHS, train, train_and_die

SIZE = (16, 16)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An undisturbed run: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    done = train(folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def _load(folder: Path, name: str) -> keras.Model:
    return keras.models.load_model(folder / f"{name}.keras", compile=False)


def _metrics(folder: Path) -> Metrics:
    return RunFolder(folder).metrics()


def test_files(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    assert sorted(p.name for p in folder.iterdir()) == [
        "config.json",
        "coupled.keras",
        "curves.png",
        "decoupled.keras",
        "evaluation.npz",
        "fine_tuned.keras",
        "history-coupled.csv",
        "history-fine_tuned.csv",
        "metrics.json",
        "report.html",
        "tensorboard",
        "versions.json",
    ]
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list(folder.glob("tensorboard/*/*/events.out.tfevents.*"))
    config = RunFolder(folder).config()
    assert config.input_shape == (16, 16, 1)
    assert config.fit == data.Fit((16, 16), whole=False)
    assert (config.stages, _metrics(folder).final) == (("coupled", "fine_tuned"), "fine_tuned")
    assert {"tensorflow", "larq", "tf-keras", "date", "python"} <= json.loads(
        (folder / "versions.json").read_text()
    ).keys()


def test_metrics_are_those_of_the_saved_models(finished: tuple[Path, str]) -> None:
    folder, printed = finished
    metrics = _metrics(folder)
    assert (list(metrics.models), metrics.final) == (["coupled", "decoupled", "fine_tuned"], "fine_tuned")
    test = data.load("digits", SIZE).test.batch(360)
    for name in ("coupled", "decoupled", "fine_tuned"):
        model = _load(folder, name)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        loss, accuracy = model.evaluate(test, verbose=0)
        assert metrics.models[name].accuracy == pytest.approx(accuracy, abs=1e-6)
        assert metrics.models[name].loss == pytest.approx(loss, rel=1e-4)
        assert f"{metrics.models[name].accuracy:.2%}" in printed
    # Trained, not merely run: chance is 0.1.
    assert metrics.models["coupled"].accuracy > 0.3


def test_decoupling_changes_nothing(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    images = np.concatenate([x for x, _ in data.load("digits", SIZE).test.batch(360).as_numpy_iterator()])
    coupled, decoupled = (_load(folder, name).predict(images, verbose=0) for name in ("coupled", "decoupled"))
    difference = np.abs(coupled - decoupled).max(axis=-1)
    # A sum that float32 rounds the other way may flip an activation: in an image or two, not in all.
    assert np.median(difference) <= 1e-4
    assert np.sum(difference > 1e-4) <= 3


def test_history_has_every_epoch_once(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    for stage, epochs in (("coupled", EPOCHS), ("fine_tuned", FINE_TUNE_EPOCHS)):
        rows = RunFolder(folder).epochs(stage)
        assert [row["epoch"] for row in rows] == list(range(epochs))
        assert all(row["seconds"] > 0 for row in rows)
        rates = [row["learning_rate"] for row in rows]
        assert rates == sorted(rates, reverse=True)  # cosine decay ...
        assert rates[-1] < 1e-2 * rates[0]  # ... to zero
        assert rows[-1]["val_accuracy"] == pytest.approx(_metrics(folder).models[stage].accuracy, abs=1e-6)


def _same_run(folder: Path, other: Path) -> None:
    ours, theirs = _metrics(folder).models, _metrics(other).models
    for name in ("coupled", "decoupled", "fine_tuned"):
        assert (ours[name].loss, ours[name].accuracy) == (theirs[name].loss, theirs[name].accuracy)
        for one, same in zip(_load(folder, name).get_weights(), _load(other, name).get_weights(), strict=True):
            np.testing.assert_array_equal(one, same)
    for stage in ("coupled", "fine_tuned"):
        one, same = (RunFolder(f).epochs(stage) for f in (folder, other))
        assert [{**row, "seconds": 0} for row in one] == [{**row, "seconds": 0} for row in same]


def _killed_and_continued(folder: Path, kills: list[tuple[str, int, int]]) -> None:
    for kill in kills:
        assert train_and_die(folder, *kill) == -9, f"was not killed at {kill}"
    continued = train(folder)
    assert continued.returncode == 0, continued.stderr
    assert not list(folder.glob(".writing-*"))
    assert not (folder / "backup").exists()


@pytest.mark.slow
def test_killed_runs_end_as_undisturbed_ones(finished: tuple[Path, str], tmp_path: Path) -> None:
    """In the middle of an epoch of either stage."""
    folder = tmp_path / "run"
    _killed_and_continued(folder, [("coupled", 1, 3), ("fine_tuned", 1, 2)])
    _same_run(folder, finished[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    "kills",
    [
        [("coupled", 0, 0)],  # nothing backed up yet
        [("coupled", 2, 5), ("coupled", 2, 5), ("coupled", -1, 0)],  # last batch, again, and trained but not saved
        [("decoupled", -1, 0), ("fine_tuned", 0, 0), ("fine_tuned", -1, 0)],  # between the stages
    ],
    ids=["at once", "end of the first stage", "between the stages"],
)
def test_kills_at_awkward_moments(
    finished: tuple[Path, str], tmp_path: Path, kills: list[tuple[str, int, int]]
) -> None:
    folder = tmp_path / "run"
    _killed_and_continued(folder, kills)
    _same_run(folder, finished[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [["--optimizer", "bop"], ["--transfer", "0.5", "--norms", "--schedule", "continued", "--clip", "0.5"]],
    ids=["bop", "the rest"],
)
def test_what_else_is_tried_continues_too(more: list[str], tmp_path: Path) -> None:
    small = [*more, "--image-size", "8", "--epochs", "2"]
    assert train(tmp_path / "undisturbed", *small).returncode == 0
    for stage in ("coupled", "fine_tuned"):
        assert train_and_die(tmp_path / "killed", stage, 1, 0, *small) == -9
    assert train(tmp_path / "killed", *small).returncode == 0
    _same_run(tmp_path / "killed", tmp_path / "undisturbed")


def test_a_finished_run_is_not_trained_again(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    before = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    again = train(folder)
    assert again.returncode == 0
    assert "Epoch" not in again.stdout
    assert "fine_tuned" in again.stdout
    assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == before
