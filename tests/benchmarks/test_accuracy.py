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


def test_a_column_that_is_missing_is_at_its_default(tmp_path):
    file = tmp_path / "accuracy.csv"
    accuracy._write_rows(file, [row(90.25)])
    head, values = (line.split(",") for line in file.read_text().splitlines())
    at = head.index("schedule")
    file.write_text("\n".join(",".join(cells[:at] + cells[at + 1 :]) for cells in (head, values)))
    assert accuracy.read_rows(file) == [row(90.25)]


def test_best_rates():
    setting = accuracy._setting(TRIAL)
    rows = [
        row(90.0), row(92.0, seed=1), row(90.9, rate=1e-2), row(90.9, rate=1e-2, seed=1),
        row(99.0, rate=5.0, split="test"), row(99.0, rate=5.0, method="duo3"), row(99.0, rate=5.0, width=1.0),
    ]  # fmt: skip
    assert accuracy.best_rates(rows, setting) == (1e-3, 3e-3)
    assert accuracy.best_rates(rows, dataclasses.replace(setting, epochs=3)) is None


def test_table():
    rows = [
        row(90.0), row(91.0, seed=1), row(80.0, rate=1.0), row(99.0, rate=1.0, seed=1, split="test"),
        row(92.0, split="test"), row(93.0, seed=1, split="test"), row(95.0, schedule="continued"),
        row(85.0, method="baseline", fine_tune_rate=0.0),
        row(91.0, method="baseline", fine_tune_rate=0.0, split="test"),
        row(90.5, method="baseline", fine_tune_rate=0.0, split="test", seed=1),
        row(50.0, width=1.0, split="test"),
    ]  # fmt: skip
    sizes = dataclasses.replace(accuracy._setting(TRIAL), method="")
    duo, baseline = [
        line.split(" | ") for line in accuracy._table(rows, sizes, list(METHODS), "test", 10).splitlines()[2:]
    ]
    assert duo[:5] == ["| BinaryDuo, coupled pairs", "2", "92.50 ± 0.50", "+1.75 ± 0.75", "91.50 ± 0.50"]
    assert baseline[:5] == ["| binary step", "2", "90.75 ± 0.25", "", ""]
    validation = accuracy._table(rows, sizes, ["duo"], "validation", 10).splitlines()[2:]
    assert [line.split(" | ")[:4] for line in validation] == [
        ["| BinaryDuo, coupled pairs", "2", "90.50 ± 0.50", "+5.00"],
        ["| BinaryDuo, coupled pairs, schedule continued", "1", "95.00", "+10.00"],
    ]


def test_rates_are_searched_first(tmp_path):
    with pytest.raises(SystemExit, match="no rates were searched for duo with these sizes: run `search` first"):
        accuracy.main(["test", "--methods", "duo", "--file", str(tmp_path / "none.csv")])


def test_given_rates(monkeypatch, tmp_path):
    trials = []
    monkeypatch.setattr(accuracy, "_run", lambda some, *_: trials.extend(some))
    command = ["test", "--methods", "duo", "baseline", "--seeds", "3", "--file", str(tmp_path / "none.csv")]
    assert accuracy.main([*command, "--rates", "0.1", "--fine-tune-rates", "0.2"]) == 0
    assert [(t.method, t.seed, t.split, t.rate, t.fine_tune_rate) for t in trials] == [
        ("duo", 3, "test", 0.1, 0.2),
        ("baseline", 3, "test", 0.1, 0.0),
    ]
    for wrong in (
        ["--rates", "0.1"],
        ["--rates", "0.1", "0.2", "--fine-tune-rates", "0.1"],
        ["--fine-tune-rates", "1"],
    ):
        with pytest.raises(SystemExit):
            accuracy.main([*command, *wrong])
    assert len(trials) == 2


def test_the_first_stage_has_three_fifths_of_the_epochs(monkeypatch, tmp_path, capsys):
    trials, file = [], tmp_path / "rows.csv"
    monkeypatch.setattr(accuracy, "_run", lambda some, *_: trials.extend(some))
    command = ["--methods", "duo", "baseline", "--epochs", "30", "--file", str(file)]
    assert accuracy.main(["test", *command, "--seeds", "0", "--rates", "1", "--fine-tune-rates", "1"]) == 0
    assert [t.first_epochs for t in trials] == [18, 18]
    accuracy._write_rows(file, [Row(t, accuracy=90.0, first_accuracy=80.0, parameters=1, seconds=1.0) for t in trials])
    assert accuracy.main(["table", *command]) == 0
    duo, baseline = capsys.readouterr().out.splitlines()[2:]
    assert duo.startswith("| BinaryDuo, coupled pairs | 1 | 90.00 | +0.00 |")
    assert baseline.startswith("| binary step | 1 | 90.00 |  |")
    fewer = [dataclasses.replace(t, epochs=20, first_epochs=12) for t in trials if t.method == "baseline"]
    rows = [Row(t, accuracy=87.0, first_accuracy=87.0, parameters=1, seconds=1.0) for t in fewer]
    accuracy._write_rows(file, [*accuracy.read_rows(file), *rows])
    assert accuracy.main(["table", *command, "--baseline-epochs", "20"]) == 0
    assert [line.split(" | ")[3] for line in capsys.readouterr().out.splitlines()[2:]] == ["+3.00", "+3.00"]
    with pytest.raises(SystemExit):
        accuracy.main(["test", "--epochs", "1", "--file", str(file)])


def test_what_a_first_stage_depends_on():
    assert TRIAL.first == dataclasses.replace(TRIAL, fine_tune_rate=1.0, transfer=0.5).first
    for change in ({"seed": 1}, {"rate": 1.0}, {"schedule": "continued"}, {"split": "test"}, {"first_epochs": 5}):
        assert TRIAL.first != dataclasses.replace(TRIAL, **change).first


def test_a_schedule_from_a_step_on():
    from bduo_tf.backend import keras

    cosine = keras.optimizers.schedules.CosineDecay(0.1, 100)
    later = accuracy._from_step(cosine, 60)
    for step in (0, 1, 39):
        assert float(later(step)) == float(cosine(step + 60))


def test_softened_labels():
    import tensorflow as tf

    images, logits = tf.zeros([2, 3]), tf.constant([[0.0, 1.0, 2.0], [5.0, 0.0, 0.0]])

    def teacher(images, training):
        assert not training
        return images + logits

    batches = tf.data.Dataset.from_tensors((images, tf.constant([1, 0], tf.int64)))
    [(_, labels)] = accuracy._softened(batches, teacher, 0.25)
    expected = 0.75 * np.eye(3)[[1, 0]] + 0.25 * tf.nn.softmax(logits).numpy()
    np.testing.assert_allclose(labels, expected, atol=1e-6)


def test_estimated_norms_are_the_means_of_the_batches():
    import tensorflow as tf

    from bduo_tf.backend import keras

    values = np.random.default_rng(0).normal(3, 2, (40, 6)).astype("float32")
    norms = [keras.layers.BatchNormalization(), keras.layers.BatchNormalization(momentum=0.9)]
    model = keras.Sequential([keras.Input((6,)), *norms])
    accuracy._estimate_norms(model, tf.data.Dataset.from_tensor_slices((values, values)).batch(20))
    parts = values.reshape(2, 20, 6)
    np.testing.assert_allclose(norms[0].moving_mean, parts.mean((0, 1)), rtol=1e-4)
    np.testing.assert_allclose(norms[0].moving_variance, parts.var(1).mean(0), rtol=1e-4)
    np.testing.assert_allclose(norms[1].moving_mean, 0, atol=1e-4)  # what it reads is normalized by the batch
    assert [norm.momentum for norm in norms] == [0.99, 0.9]


def test_clipped_kernels():
    model = accuracy._clipped(METHODS["baseline"].build("vgg7", (16, 16, 1), 10, 0.125), 0.5)
    constraints = {layer.name: layer.kernel_constraint for layer in model.layers if hasattr(layer, "kernel")}
    assert [name for name, constraint in constraints.items() if constraint] == [f"conv{i}" for i in range(2, 7)]
    assert constraints["conv2"].clip_value == 0.5


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
    if name == "coupled":
        assert weights / baseline == pytest.approx(0.5, abs=0.02)
    else:
        assert 0.99 <= weights / baseline <= 1
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


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [{"transfer": 0.5}, {"optimizer": "bop", "bop_threshold": 1e-6, "bop_gamma": 1e-3}])
def test_other_recipes_learn(recipe):
    sizes = {"dataset": "digits", "size": 16, "width": 0.125, "epochs": 4, "first_epochs": 2, "batch": 32}
    [row] = accuracy.train([Trial("duo", 0, "test", 1e-2, 3e-3, **sizes, **recipe)], None)
    assert min(row.first_accuracy, row.accuracy) > 50
