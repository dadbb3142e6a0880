"""The comparison of ways to train: equal weights, rows that are kept, rates from the validation split."""

import dataclasses

import numpy as np
import pytest

from benchmarks import accuracy
from benchmarks.accuracy import METHODS, Row, Trial

TRIAL = Trial("duo", 0, "validation", 1e-3, 3e-3)


def row(value, **changes):
    return Row(dataclasses.replace(TRIAL, **changes), value, value - 1, 100, 60.0)


def test_mean_and_error():
    assert accuracy.mean_and_error([90.0]) == (90.0, 0.0)
    mean, error = accuracy.mean_and_error([90.0, 92.0, 94.0])
    assert mean == 92.0
    assert error == pytest.approx(2 / np.sqrt(3))


def test_rows_are_read_as_written(tmp_path):
    file = tmp_path / "accuracy.csv"
    assert accuracy.read_rows(file) == []
    rows = [row(90.25), row(91.0, method="baseline", split="test", fine_tune_rate=0.0)]
    accuracy._write_rows(file, rows)
    assert accuracy.read_rows(file) == rows
    assert [f.name for f in tmp_path.iterdir()] == ["accuracy.csv"]


def test_best_rates():
    setting = accuracy._setting(TRIAL)
    rows = [
        row(90.0), row(92.0, seed=1), row(90.9, rate=1e-2), row(90.9, rate=1e-2, seed=1),
        row(99.0, rate=5.0, split="test"), row(99.0, rate=5.0, method="duo3"), row(99.0, rate=5.0, width=1.0),
    ]  # fmt: skip
    assert accuracy.best_rates(rows, setting) == (1e-3, 3e-3)
    assert accuracy.best_rates(rows, dataclasses.replace(setting, epochs=3)) is None


def test_rates_are_searched_first(tmp_path):
    with pytest.raises(SystemExit, match="no rates were searched for duo with these sizes: run `search` first"):
        accuracy.main(["test", "--methods", "duo", "--file", str(tmp_path / "none.csv")])


@pytest.mark.parametrize("name", METHODS)
def test_equal_weights(name):
    """All have about the baseline's weights, except half of a network, and convolve what they are named for."""
    from bduo_tf import decouple

    method = METHODS[name]
    model = method.build("vgg7", (28, 28, 1), 10, 0.25)
    model = decouple(model) if method.decoupled else model
    weights, baseline = (
        sum(w.shape.num_elements() for w in m.weights if "kernel" in w.name)
        for m in (model, METHODS["baseline"].build("vgg7", (28, 28, 1), 10, 0.25))
    )
    assert weights / baseline == pytest.approx(0.5 if name == "coupled" else 1.0, abs=0.1)
    activation = {"ste_sign": "SteSign", "approx_sign": "ApproxSign", "swish_sign": "SwishSign", "dorefa": "DoReFa"}
    quantizer = getattr(model.get_layer("conv3"), "input_quantizer", None)
    if name in activation:
        assert type(quantizer).__name__ == activation[name]


@pytest.mark.slow
def test_search_test_and_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(accuracy, "_RATES", (1e-3, 3e-3))
    file = tmp_path / "accuracy.csv"
    sizes = ["--dataset", "digits", "--size", "16", "--epochs", "2", "--first-epochs", "1", "--file", str(file)]
    methods = ["--methods", "baseline", "duo"]
    assert accuracy.main(["search", *methods, *sizes, "--jobs", "2"]) == 0
    rows = accuracy.read_rows(file)
    assert len(rows) == len(accuracy._RATES) * (1 + len(accuracy._RATES))
    assert accuracy.main(["test", *methods, *sizes, "--seeds", "0", "1"]) == 0
    capsys.readouterr()
    assert accuracy.main(["test", *methods, *sizes, "--seeds", "0", "1"]) == 0
    assert "4 trainings, 0 of them still to do" in capsys.readouterr().out
    assert accuracy.main(["table", *sizes]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[1] for line in lines[2:]] == ["2", "2"]
