"""The table: means over seeds at the best rates, and differences of equal seeds."""

from bduo_tf.training.methods import METHODS
from benchmarks.accuracy.table import table
from tests.benchmarks.accuracy.some import SETTINGS, row


def cells(text: str) -> list[list[str]]:
    return [line.split(" | ") for line in text.splitlines()[2:]]


def test_table() -> None:
    test = {"validation": 0.0}
    rows = [
        row(90.0), row(91.0, seed=1), row(80.0, learning_rate=1.0), row(99.0, learning_rate=1.0, seed=1, **test),
        row(92.0, **test), row(93.0, seed=1, **test), row(95.0, schedule="continued"),
        row(85.0, method="baseline"), row(91.0, method="baseline", **test),
        row(90.5, method="baseline", seed=1, **test), row(50.0, width=1.0, **test),
    ]  # fmt: skip
    duo, baseline = cells(table(rows, SETTINGS, list(METHODS), validation=False, baseline_epochs=10))
    assert duo[:5] == ["| BinaryDuo, coupled pairs", "2", "92.50 ± 0.50", "+1.75 ± 0.75", "91.50 ± 0.50"]
    assert baseline[:5] == ["| binary step", "2", "90.75 ± 0.25", "", ""]
    assert (duo[6], baseline[6]) == ("0.001, 0.003", "0.001")
    validation = cells(table(rows, SETTINGS, ["duo"], validation=True, baseline_epochs=10))
    assert [line[:4] for line in validation] == [
        ["| BinaryDuo, coupled pairs", "2", "90.50 ± 0.50", "+5.00"],
        ["| BinaryDuo, coupled pairs, schedule continued", "1", "95.00", "+10.00"],
    ]


def test_what_is_not_as_usual_is_named() -> None:
    rows = [row(90.0, norms=True, weight_decay=0.01), row(90.0, epochs=4, fine_tune_epochs=6), row(90.0, method="duo3")]
    names = [line[0] for line in cells(table(rows, SETTINGS, list(METHODS), validation=True, baseline_epochs=10))]
    assert names == [
        "| BinaryDuo, coupled pairs, decay 0.01, norms 1",
        "| BinaryDuo, coupled pairs, first epochs 4",
        "| BinaryDuo, coupled triples",
    ]
