"""The table of a finished run."""

from bduo_tf.runs import Metrics, ModelMetrics
from bduo_tf.training.report import table


def test_one_line_a_model() -> None:
    metrics = Metrics({"coupled": ModelMetrics(0.5, 1.25, 3, 12.5), "decoupled": ModelMetrics(0.5, 1.25)}, "coupled")
    lines = [line.split() for line in table(metrics).splitlines()]
    assert lines == [
        ["model", "test", "accuracy", "loss", "epochs", "seconds"],
        ["coupled", "50.00%", "1.2500", "3", "12.5"],
        ["decoupled", "50.00%", "1.2500", "-", "-"],
    ]
    assert "validation accuracy" in table(metrics, validation=True)
