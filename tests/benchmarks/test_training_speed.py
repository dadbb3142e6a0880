"""The table of training_speed: every figure in its place. No test here depends on the machine's speed."""

import re

import numpy as np
import pytest

from bduo_tf.backend import tf
from benchmarks import training_speed
from benchmarks.training_speed import Entry, measure, rows

TINY = ["--width", "0.05", "--size", "8", "--batch", "4", "--rounds", "2", "--steps", "2", "--nondeterministic"]


def _cells(printed: str) -> list[list[str]]:
    return [[c.strip() for c in line.strip("|").split("|")] for line in printed.splitlines() if line.startswith("| ")]


@pytest.mark.slow
def test_forms_and_pipeline(capsys):
    assert training_speed.main([*TINY, "--pipeline"]) == 0
    printed = capsys.readouterr().out
    head, *body = _cells(printed)
    assert head == ["", "images/s", "ratio", "middle half", "to", "goal"]
    against = {row[0]: row[4] for row in body}
    assert list(against) == [
        "float, in coupled widths",
        "coupled",
        "decoupled",
        "float, in baseline widths",
        "binary baseline",
        "input, digits, augmentation none",
        "input, digits, augmentation flip",
        "input, digits, augmentation crop_flip",
    ]
    assert against["coupled"] == against["decoupled"] == "float, in coupled widths"
    assert against["binary baseline"] == "float, in baseline widths"
    speeds = {row[0]: float(row[1].replace(",", "")) for row in body}
    assert min(speeds.values()) > 0
    fastest = max(list(speeds)[:5], key=lambda name: speeds[name])
    for name, _, ratio, half, other, goal in body:
        if name.startswith("float"):
            assert (ratio, half, other, goal) == ("-", "-", "-", "-")
            continue
        low, high = map(float, half.split(" to "))
        assert 0 < low <= float(ratio) <= high
        if name.startswith("input"):
            assert other == fastest
        required = {"coupled": 0.9, "decoupled": 0.6}.get(name)
        assert bool(required) == (goal != "-")
        if required:
            assert re.fullmatch(rf"{required}, (met|missed)", goal)
    assert "vgg7 of width 0.05, 8x8x3, batches of 4, all threads, nondeterministic; images/s: median of 2" in printed


def test_forms_are_what_they_are_called(monkeypatch):
    models = {}
    monkeypatch.setattr(training_speed._Bench, "training", lambda self, model, **settings: models.setdefault(model))
    bench = training_speed._Bench("vgg7", 0.1, 8, 4, 2)
    entries = training_speed._forms(bench)
    weights = {e.name: model.count_params() for e, model in zip(entries, models, strict=True)}
    assert weights["coupled"] == weights["float, in coupled widths"] < weights["decoupled"]
    assert weights["binary baseline"] == weights["float, in baseline widths"]
    kinds = {e.name: {type(layer).__name__ for layer in m.layers} for e, m in zip(entries, models, strict=True)}
    assert ["QuantConv2D" in kinds[e.name] for e in entries] == [False, True, True, False, True]
    assert ["ThresholdSplit" in kinds[e.name] for e in entries] == [False, False, True, False, False]


def test_settings_change_what_they_name(monkeypatch):
    compiled = []
    training = training_speed._Bench.training

    def record(self, model, **settings):
        turn = training(self, model, **settings)
        policies = {layer.dtype_policy.name for layer in model.layers if layer.weights}
        compiled.append((int(model._steps_per_execution.numpy()), model.jit_compile, policies, settings))
        return turn

    monkeypatch.setattr(training_speed._Bench, "training", record)
    bench = training_speed._Bench("vgg7", 0.1, 8, 4, 2)
    entries = training_speed._settings(bench)
    names = ["steps_per_execution=1", "jit_compile=True (XLA)", "mixed_bfloat16", "widths 4, 4, 8, 8, 32, 51"]
    assert [e.name for e in entries] == [f"{form}, {name}" for form in ("coupled", "decoupled") for name in names]
    assert [e.against for e in entries] == ["coupled"] * 4 + ["decoupled"] * 4
    plain = {"float32"}
    for one, xla, mixed, fours in (compiled[:4], compiled[4:]):
        assert one == (1, None, plain, {"steps_per_execution": 1})
        assert xla == (fours[0], True, plain, {"jit_compile": True})
        assert mixed == (fours[0], None, {"mixed_bfloat16"}, {})
        assert fours[0] > 1
    assert entries[2].run() > 0  # under mixed precision the quantizers fit the layers they are in


def test_rows_of_known_speeds(capsys):
    def fails():
        raise tf.errors.UnimplementedError(None, None, "no such kernel")

    turns = {"a": iter([0, 10, 20, 40]), "b": iter([0, 9, 10, 10]), "input": iter([0, 20, 80, 40])}
    entries = [
        Entry("a", lambda: next(turns["a"])),
        Entry("b", lambda: next(turns["b"]), "a", 0.6),
        Entry("c", fails, "a"),
        Entry("input", lambda: next(turns["input"]), training_speed._FASTEST),
    ]
    speeds = measure(entries, 3)
    np.testing.assert_array_equal(speeds["b"], [9, 10, 10])
    assert "c: does not run: no such kernel" in capsys.readouterr().err
    assert rows(entries, speeds)[1:] == [
        ["a", "20", "-", "-", "-", "-"],
        ["b", "10", "0.50", "0.38 to 0.70", "a", "0.6, missed"],
        ["c", "does not run", "-", "-", "-", "-"],
        ["input", "40", "2.00", "1.50 to 3.00", "a", "-"],
    ]


def test_what_cannot_be_measured_is_refused(capsys, tmp_path):
    for arguments, message in (
        (["--network", "vgg8"], "invalid choice: 'vgg8'"),
        (["--rounds", "0"], "must be at least 1"),
        ([*TINY, "--size", "4"], "from 8x8 on"),
        ([*TINY, "--pipeline", "--data-dir", str(tmp_path / "none")], "is not a folder"),
    ):
        with pytest.raises(SystemExit):
            training_speed.main(arguments)
        assert message in capsys.readouterr().err
