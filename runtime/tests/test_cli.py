"""The command line, called as functions; bad input gives one clear line and exit code 1."""

import builtins

import numpy as np
import pytest

from bduo_runtime._cli import main


@pytest.fixture(scope="module")
def model(converted):
    return str(converted(("thresholds",), 5, (8, 8, 16)))


@pytest.fixture(scope="module")
def classifier(converted):
    return str(converted(("classifier",), 0, (10, 12, 3)))


@pytest.fixture
def image(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    path = tmp_path / "image.png"
    pillow.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)).save(path)
    return str(path)


def test_info(model, capsys):
    assert main(["info", model]) == 0
    out = capsys.readouterr().out
    assert "LceBconv2d" in out
    assert "fused into" in out
    assert "operators run in" in out


def test_bench(model, capsys):
    assert main(["bench", model, "--rounds", "2", "--threads", "2", "--vs", model]) == 0
    out = capsys.readouterr().out
    assert out.count("median") == 3
    assert "MAC/ns" in out


def test_run(classifier, image, tmp_path, capsys):
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\ndog\nbird\n")
    assert main(["run", classifier, image, "--labels", str(labels), "--top", "2"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 3
    assert out[0].endswith("ms")
    assert out[1].split()[-1] in ("cat", "dog", "bird")


def test_run_without_pillow(classifier, image, capsys, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("PIL"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    check_error(["run", classifier, image], "needs Pillow: pip install 'bduo-runtime[images]'", capsys)


def check_error(arguments, message, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("python -m bduo_runtime: error: ")]
    assert len(lines) == 1
    assert message in lines[0]


def test_missing_file(capsys):
    for command in ("info", "bench"):
        check_error([command, "none.tflite"], "none.tflite: No such file or directory", capsys)


def test_not_a_model(tmp_path, capsys):
    path = tmp_path / "text.tflite"
    path.write_text("this is no model")
    check_error(["info", str(path)], "text.tflite is not a TFLite model", capsys)


def test_truncated_model(model, tmp_path, capsys):
    path = tmp_path / "short.tflite"
    with open(model, "rb") as file:
        path.write_bytes(file.read()[:-500])
    check_error(["info", str(path)], "short.tflite: ", capsys)


def test_not_an_image(classifier, tmp_path, capsys):
    pytest.importorskip("PIL")
    path = tmp_path / "text.png"
    path.write_text("this is no image")
    check_error(["run", classifier, str(path)], "text.png is not an image that Pillow can read", capsys)


def test_not_a_classifier(model, image, capsys):
    check_error(["run", model, image], "does not take images of 1 or 3 channels: its input is 1x8x8x16", capsys)
