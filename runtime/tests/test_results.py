"""What `run` prints of its results: text, lines of JSON, and one refreshed line of a stream in a terminal."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

from bduo_runtime import Interpreter, Prediction
from bduo_runtime._cli import main
from bduo_runtime._results import Results
from bduo_runtime._source import Image, Source

DESCRIBED = str(Path(__file__).parent / "files" / "classifier.tflite")


class Clock:
    """A clock that goes on by a fixed time whenever it is asked."""

    def __init__(self, step):
        self.now, self.step = 0.0, step

    def __call__(self):
        self.now += self.step
        return self.now


def source(**options):
    return Source((image for image in ()), "frame", **options)


def frame(number):
    return Image(f"frame {number}", {"file": "clip.avi", "frame": number}, lambda: None)


def found(label, probability=0.75, score=2.0):
    return Prediction(label, probability, score, 1)


@pytest.fixture
def arrays(tmp_path):
    """Two pictures in NumPy's format, coloured and grey, of the model's size."""
    paths = []
    for name, shape in (("a.npy", (8, 10, 3)), ("grey.npy", (8, 10))):
        np.save(tmp_path / name, np.random.default_rng(len(shape)).integers(0, 256, shape, np.uint8))
        paths.append(str(tmp_path / name))
    return paths


def test_a_line_of_json_for_each_image(arrays, capsys):
    assert main(["run", DESCRIBED, *arrays, "--json", "--top", "3"]) == 0
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    interpreter = Interpreter(DESCRIBED)
    for line, path in zip(lines, arrays, strict=True):
        assert list(line) == ["file", "ms", "classes"]
        assert line["file"] == path
        assert line["ms"] > 0
        assert line["classes"] == [vars(p) for p in interpreter.classify(np.load(path), top=3)]
    assert captured.err.splitlines()[-1].startswith("python -m bduo_runtime: 2 images, median ")


def test_arrays_as_pictures(arrays, capsys):
    assert main(["run", DESCRIBED, arrays[0]]) == 0
    best = Interpreter(DESCRIBED).classify(np.load(arrays[0]))[0]
    assert capsys.readouterr().out.splitlines()[1] == f"  {best.probability:6.1%}  {best.score:9.3f}  {best.label}"


def test_an_error_is_no_line_of_json(arrays, tmp_path, capsys):
    (tmp_path / "bad.npy").write_text("this is no array")
    assert main(["run", DESCRIBED, str(tmp_path / "bad.npy"), arrays[0], "none.npy", "--json"]) == 1
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    assert json.loads(line)["file"] == arrays[0]
    errors = [line for line in captured.err.splitlines() if "bduo_runtime: error: " in line]
    assert len(errors) == 2
    assert "bad.npy is not an image in NumPy's format" in errors[0]
    assert "none.npy: No such file or directory" in errors[1]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((8, 10)), "an image must be uint8 of shape (height, width, 3) or (height, width)"),
        (np.zeros((8, 10, 7), np.uint8), "an image must be uint8 of shape"),
        (np.zeros((0, 10, 3), np.uint8), "an image must have pixels"),
        (np.array([{}]), "Object arrays cannot be loaded"),
        ((1 << 60, 3), "Unable to allocate"),
        ((1 << 10, 3), ""),
    ],
)
def test_arrays_that_are_no_pictures(array, message, tmp_path, capsys):
    path = tmp_path / "a.npy"
    if isinstance(array, tuple):  # a header without the pixels that it tells of
        header = {"descr": "|u1", "fortran_order": False, "shape": array}
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
    else:
        np.save(path, array, allow_pickle=True)
    assert main(["run", DESCRIBED, str(path)]) == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "error: " in line)
    assert "a.npy is not an image in NumPy's format: " in line
    assert message in line


def test_json_has_no_word_for_infinity(tmp_path, capsys):
    """Of a model whose "scores" are its pixels, divided by next to nothing."""
    model = tmp_path / "model.tflite"
    model.write_bytes(tiny.image_model((1, 2, 1)))
    np.save(tmp_path / "a.npy", np.uint8([[0, 255]]))
    arguments = ["run", str(model), str(tmp_path / "a.npy"), "--range", "0", "3e38", "--scores", "logits", "--json"]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["classes"][0]["probability"] == 1
    results = Results(source(), as_json=True)
    results.add(frame(1), 1.0, [found("a", math.nan, math.inf)])
    line = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert line["classes"] == [{"label": "a", "probability": None, "score": None, "index": 1}]


def test_frames_in_text(capsys):
    results = Results(source(brief=True), as_json=False, clock=Clock(0.25))
    for number, label in ((1, "cat"), (2, "a long label"), (4, "dog")):
        results.add(frame(number), 0.5, [found(label)])
    results.end(broken=False)
    assert capsys.readouterr().out.splitlines() == [
        "frame 1  0.50 ms  4.0 a second   75.0%  cat",
        "frame 2  0.50 ms  4.0 a second   75.0%  a long label",
        "frame 4  0.50 ms  4.0 a second   75.0%  dog",
        "3 frames, 3.0 a second, median 0.50 ms",
    ]


def test_frames_in_json(capsys):
    results = Results(source(brief=True), as_json=True, clock=Clock(0.25))
    results.add(frame(7), 0.5, [found("cat"), found("dog", 0.25)])
    results.end(broken=False)
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {
        "file": "clip.avi",
        "frame": 7,
        "ms": 0.5,
        "fps": 4.0,
        "classes": [
            {"label": "cat", "probability": 0.75, "score": 2.0, "index": 1},
            {"label": "dog", "probability": 0.25, "score": 2.0, "index": 1},
        ],
    }
    assert captured.err == "python -m bduo_runtime: 1 frame, 2.0 a second, median 0.50 ms\n"


def test_one_refreshed_line_in_a_terminal(capsys, monkeypatch):
    """Each text covers what was longer before it, and none is as long as the terminal is wide."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    results = Results(source(brief=True), as_json=False, clock=Clock(0.25))
    for number, label in ((1, "a long label"), (2, "cat"), (3, "b" * 100)):
        results.add(frame(number), 0.5, [found(label)])
    results.end(broken=False)
    head = "0.50 ms  4.0 a second   75.0%"
    assert capsys.readouterr().out == (
        f"\rframe 1  {head}  a long label"
        f"\rframe 2  {head}  cat         "
        f"\rframe 3  {head}  {'b' * 19}\n"
        "3 frames, 3.0 a second, median 0.50 ms\n"
    )


def test_memory_does_not_grow_with_a_stream(capsys):
    results = Results(source(), as_json=False, clock=Clock(0.001))
    for number in range(10_050):
        results.add(frame(number), 100.0 if number < 5_000 else 1.0, [])
    assert max(len(results._times), len(results._ends)) == 10_000
    results.end(broken=False)
    assert capsys.readouterr().out.splitlines()[-1].startswith("10050 frames, ")


def test_a_name_cannot_steer_the_terminal(tmp_path, capsys):
    path = tmp_path / "a\x1b[2J.npy"
    np.save(path, np.zeros((8, 10, 3), np.uint8))
    assert main(["run", DESCRIBED, str(path)]) == 0
    assert r"a\x1b[2J.npy  " in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give images, --watch, --camera or --video"),
        (["a.png", "--watch", "b"], "give either images or one of --watch, --camera and --video"),
        (["--camera", "0", "--video", "b"], "argument --video: not allowed with argument --camera"),
        (["a.png", "--show"], "--show goes with --camera and --video"),
        (["--watch", "b", "--show"], "--show goes with --camera and --video"),
    ],
)
def test_what_to_classify(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["run", DESCRIBED, *arguments])
    assert capsys.readouterr().err.splitlines()[-1] == f"python -m bduo_runtime run: error: {message}"


def test_images_may_stand_behind_options(arrays, capsys):
    assert main(["run", "--threads", "1", DESCRIBED, "--top", "1", *arrays]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 * 2 + 1
