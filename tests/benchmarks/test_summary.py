"""The tables of benchmarks: every figure in its place. No test here depends on the speed of the machine."""

import numpy as np
import pytest

import bduo_tf
from benchmarks import latency, summary
from convert.cli import main as convert
from tests.bduo_tf.conversion.models import decoupled
from tests.bduo_tf.runs.finished import finished_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    finished_run(folder, decoupled(), coupled=0.5, decoupled=0.25, fine_tuned=0.75)
    assert convert([str(folder), "--float", "--samples", "64"]) == 0
    return folder


def test_summary_shows_every_stage_file_and_latency(run, capsys):
    assert summary.main([str(run), "--rounds", "3"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "test accuracy coupled 50.00%" in lines
    assert "test accuracy decoupled, not fine-tuned 25.00%" in lines
    assert "test accuracy decoupled, fine-tuned 75.00%" in lines
    assert "arg max as Keras' the .tflite in LCE 64 of 64" in lines
    assert "arg max as Keras' the .tflite in bduo_runtime 64 of 64" in lines
    assert f"file size binary {(run / 'model.tflite').stat().st_size:,} bytes" in lines
    latencies = [line for line in lines if line.startswith("latency")]
    assert [line.split(")")[0] for line in latencies] == [
        "latency binary (bduo_runtime",
        "latency binary (LCE",
        "latency float32 (LiteRT, XNNPACK",
        "latency int8 (LiteRT, XNNPACK",
    ]
    assert latencies[0].endswith("1.00 x")


def test_latency_compares_with_the_first_line(run, capsys):
    files = [str(run / "model.tflite"), str(run / "model-float32.tflite")]
    assert latency.main([*files, "--rounds", "3"]) == 0
    _, _, first, _, second = capsys.readouterr().out.splitlines()
    assert float(first.split()[2]) == 1.0
    assert 0.01 < float(second.split()[2]) < 100


def test_every_interpreter_runs_the_model(run):
    running = latency.runners(run / "model.tflite")
    assert list(running) == ["bduo_runtime", "LCE"]
    running["bduo_runtime"]()
    [output] = running["LCE"]()
    assert np.asarray(output).shape == (1, 10)
    assert list(latency.runners(run / "model-int8.tflite")) == ["LiteRT, XNNPACK"]


def test_measure_takes_turns():
    order = []
    figures = latency.measure({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=5, turn=0)
    assert order[-10:] == ["a", "b"] * 5
    assert all(0 <= f.minimum <= f.median for f in figures.values())


def test_ratios_are_of_neighbouring_turns():
    slow, fast = latency.Latency((4.0, 8.0, 12.0)), latency.Latency((1.0, 4.0, 3.0))
    assert slow.ratio_to(fast) == 4.0
    assert (slow.median, slow.minimum) == (8.0, 4.0)


@pytest.mark.parametrize(
    ("main", "arguments", "message"),
    [
        (summary.main, ["nowhere"], "nowhere is not the folder of a training run: it has no config.json"),
        (latency.main, ["nowhere.tflite"], "nowhere.tflite does not exist"),
        (latency.main, ["README.md", "--rounds", "0"], "--threads and --rounds must be at least 1"),
    ],
)
def test_wrong_arguments(main, arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_version_is_that_of_the_package():
    assert bduo_tf.__version__.count(".") == 2
