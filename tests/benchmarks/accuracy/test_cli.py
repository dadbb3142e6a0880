"""The command of the comparison: rates that are searched first or given, and trainings that are not repeated."""

from pathlib import Path

import pytest

from bduo_tf.runs import Settings
from benchmarks.accuracy import cli
from benchmarks.accuracy.cli import main
from benchmarks.accuracy.rows import Row, read_rows, write_rows
from benchmarks.accuracy.selection import rates
from tests.benchmarks.accuracy.some import changed

TEN = ["--epochs", "18", "--fine-tune-epochs", "12"]


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """What the command would have trained."""
    some: list[Settings] = []
    monkeypatch.setattr(cli, "train_all", lambda new, *_: some.extend(new))
    return some


def test_rates_are_searched_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["test", "--methods", "duo", "--file", str(tmp_path / "none.csv")])
    message = "no rates were searched for duo with these sizes: run `search` first"
    assert message in " ".join(capsys.readouterr().err.split())


def test_given_rates(trials: list[Settings], tmp_path: Path) -> None:
    command = ["test", "--methods", "duo", "baseline", "--seeds", "3", "--file", str(tmp_path / "none.csv")]
    assert main([*command, "--rates", "0.1", "--fine-tune-rates", "0.2"]) == 0
    assert [(t.method, t.seed, t.validation, rates(t)) for t in trials] == [
        ("duo", 3, 0.0, (0.1, 0.2)),
        ("baseline", 3, 0.0, (0.1,)),
    ]
    for wrong in (
        ["--rates", "0.1"],
        ["--rates", "0.1", "0.2", "--fine-tune-rates", "0.1"],
        ["--fine-tune-rates", "1"],
    ):
        with pytest.raises(SystemExit):
            main([*command, *wrong])
    assert len(trials) == 2


def test_differences_to_a_baseline_of_other_epochs(
    trials: list[Settings], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.csv"
    command = ["--methods", "duo", "baseline", *TEN, "--file", str(file)]
    assert main(["test", *command, "--seeds", "0", "--rates", "1", "--fine-tune-rates", "1"]) == 0
    assert [(t.recipe.epochs, t.recipe.fine_tune_epochs) for t in trials] == [(18, 12)] * 2
    write_rows(file, [Row(t, accuracy=90.0, first_accuracy=80.0, parameters=1, seconds=1.0) for t in trials])
    assert main(["table", *command]) == 0
    duo, baseline = capsys.readouterr().out.splitlines()[2:]
    assert duo.startswith("| BinaryDuo, coupled pairs | 1 | 90.00 | +0.00 |")
    assert baseline.startswith("| binary step | 1 | 90.00 |  |")
    fewer = [changed(t, epochs=12, fine_tune_epochs=8) for t in trials if t.method == "baseline"]
    rows = [Row(t, accuracy=87.0, first_accuracy=87.0, parameters=1, seconds=1.0) for t in fewer]
    write_rows(file, [*read_rows(file), *rows])
    assert main(["table", *command, "--baseline-epochs", "20"]) == 0
    assert [line.split(" | ")[3] for line in capsys.readouterr().out.splitlines()[2:]] == ["+3.00", "+3.00"]


def test_an_option_that_a_method_settles(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["table", "--levels", "2", "--methods", "duo3"])
    assert "--levels: is settled by --method duo3" in capsys.readouterr().err


@pytest.mark.slow
def test_search_test_and_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_RATES", (1e-3, 3e-3))
    file = tmp_path / "accuracy.csv"
    sizes = ["--dataset", "digits", "--image-size", "16", "--epochs", "1", "--fine-tune-epochs", "1"]
    sizes += ["--file", str(file)]
    methods = ["--methods", "baseline", "duo"]
    assert main(["search", *methods, *sizes, "--jobs", "2"]) == 0
    assert len(read_rows(file)) == 2 * (1 + 2)
    assert main(["test", *methods, *sizes, "--seeds", "0", "1"]) == 0
    capsys.readouterr()
    assert main(["test", *methods, *sizes, "--seeds", "0", "1"]) == 0
    assert "4 trainings, 0 of them still to do" in capsys.readouterr().out
    assert main(["table", *sizes]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[1] for line in lines[2:]] == ["2", "2"]
