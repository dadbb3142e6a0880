"""What the numbers of a classifier are shown as: its own probabilities, or what a softmax or sigmoid makes of them."""

from pathlib import Path

import numpy as np
import pytest
import tiny

import bduo_runtime
from bduo_runtime import _graph, _scores
from bduo_runtime._cli import main


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, float)))


def softmax(x):
    odds = np.exp(np.asarray(x, float) - np.max(x))
    return odds / odds.sum()


def ranked(content, values, **known):
    """(index, probability, score) of each class, by class."""
    interpreter = bduo_runtime.Interpreter(content)
    interpreter.metadata = bduo_runtime.Metadata(**known) if known else interpreter.metadata
    values = np.asarray(values)
    outputs = interpreter.predict(values.reshape(1, 1, -1, 1))
    found = interpreter.rank(outputs, top=5000)
    scores = [p.score for p in found]
    assert scores == sorted(scores, reverse=True)
    found = sorted(found, key=lambda p: p.index)
    assert [p.index for p in found] == list(range(len(found)))
    return np.array([p.probability for p in found]), np.array([p.score for p in found])


def described(content, kind):
    return tiny.with_entry(content, {"version": 1, "outputs": [kind]})


FLOATS = np.float32([-1.5, 0.68, 3, 0.2])
ONE = np.float32([0.9])


@pytest.mark.parametrize(
    ("kind", "values", "probabilities", "scores"),
    [
        ("softmax", FLOATS[[1, 3]], FLOATS[[1, 3]], FLOATS[[1, 3]]),
        ("logits", FLOATS, softmax(FLOATS), FLOATS),
        ("sigmoid", FLOATS[[1, 3]], FLOATS[[1, 3]], FLOATS[[1, 3]]),
        ("sigmoid_logits", FLOATS, sigmoid(FLOATS), FLOATS),
        ("softmax", np.float32([1]), [1], [1]),
        ("sigmoid", ONE, [0.1, 0.9], [0.1, 0.9]),
        ("sigmoid", 1 - ONE, [0.9, 0.1], [0.9, 0.1]),
        ("logits", ONE, sigmoid([-0.9, 0.9]), [-0.9, 0.9]),
        ("sigmoid_logits", -ONE, sigmoid([0.9, -0.9]), [0.9, -0.9]),
        ("sigmoid_logits", np.float32([-1000, 1000]), [0, 1], [-1000, 1000]),
        ("logits", np.float32([-1000, 1000]), [0, 1], [-1000, 1000]),
    ],
)
def test_each_kind(kind, values, probabilities, scores):
    """As the file says it, and as its user says it of a file that does not."""
    plain = tiny.scores(len(values), "RESHAPE")
    for content, known in ((described(plain, kind), {}), (plain, {"outputs": (kind,)})):
        found = ranked(content, values, **known)
        np.testing.assert_allclose(found, (probabilities, scores), rtol=1e-6, atol=1e-7)


def test_the_file_is_believed_before_its_operator():
    found, _ = ranked(described(tiny.scores(2, "LOGISTIC"), "logits"), np.float32([0, 2]))
    np.testing.assert_allclose(found, softmax(sigmoid([0, 2])), rtol=1e-6)
    found, _ = ranked(described(tiny.scores(2, "LOGISTIC"), None), np.float32([0, 2]))
    np.testing.assert_allclose(found, sigmoid([0, 2]), rtol=1e-6)


@pytest.mark.parametrize("after", [(), ("RESHAPE",), ("QUANTIZE",), ("QUANTIZE", "DEQUANTIZE", "RESHAPE")])
def test_a_sigmoid_is_known_by_its_operator(after):
    """0.68 stays 0.68, whatever the sum; a single one tells two classes apart."""
    step = 1 / 256 if "QUANTIZE" in after else 1e-6
    found, scores = ranked(tiny.scores(3, "LOGISTIC", *after), np.float32([0.7538, -2, -2]))
    np.testing.assert_allclose(found, sigmoid([0.7538, -2, -2]), atol=step)
    np.testing.assert_array_equal(found, scores)
    found, scores = ranked(tiny.scores(1, "LOGISTIC"), np.float32([-2]))
    np.testing.assert_allclose((found, scores), [sigmoid([2, -2])] * 2, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("classes", [2, 10, 100, 1001])
def test_a_quantized_softmax(dtype, classes):
    """Its rounded values sum to 0.8 or 1.2 when there are many classes; they are probabilities all the same."""
    rng = np.random.default_rng(classes)
    limits = np.iinfo(dtype)
    values = rng.integers(limits.min, limits.min + 60, classes).astype(dtype)
    values[3 % classes] = limits.max
    found, scores = ranked(tiny.scores(classes, "SOFTMAX", dtype=dtype), values)
    wanted = softmax(values.astype(float) * 8 / 256)
    np.testing.assert_allclose(found, wanted, atol=1.5 / 256)
    np.testing.assert_array_equal(found, scores)
    # The same values, by an operator that does not tell: they are believed within their rounding.
    assert _scores.guess(scores, 1 / 256, None) == "softmax"


@pytest.mark.parametrize(
    ("scores", "scale", "operator", "kind"),
    [
        ([0.1, 0.6, 0.3], 0, None, "softmax"),
        ([0.1, 0.6, 0.309], 0, None, "softmax"),
        ([0.1, 0.6, 0.311], 0, None, "logits"),
        ([0.1, 0.6, 0.32], 1 / 64, None, "softmax"),
        ([-0.1, 0.8, 0.3], 0, None, "logits"),
        ([-0.1, 0.8, 0.3], 1 / 4, None, "softmax"),
        ([1.5, -0.5], 1 / 8, None, "logits"),
        ([0.3], 0, None, "sigmoid"),
        ([0.3], 0, _graph.FULLY_CONNECTED, "logits"),
        ([0.3], 0, _graph.CONV_2D, "logits"),
        ([1.3], 0, None, "logits"),
        ([-0.3], 0, None, "logits"),
    ],
)
def test_a_guess_by_values(scores, scale, operator, kind):
    assert _scores.guess(np.array(scores), scale, operator) == kind


def test_a_single_unit_of_a_layer_is_a_logit():
    found, scores = ranked(tiny.scores(1, "FULLY_CONNECTED"), np.float32([0.3]))
    np.testing.assert_allclose(found, sigmoid([-0.3, 0.3]), rtol=1e-6)
    np.testing.assert_allclose(scores, [-0.3, 0.3], rtol=1e-6)


def test_labels_of_a_single_sigmoid(tmp_path, capsys):
    pillow = pytest.importorskip("PIL.Image")
    model, image, labels = (tmp_path / name for name in ("model.tflite", "dark.png", "labels.txt"))
    model.write_bytes(tiny.scores(1, "LOGISTIC"))
    pillow.fromarray(np.array([[0]], np.uint8)).save(image)
    labels.write_text("cat\ndog\n")
    arguments = ["run", str(model), str(image), "--labels", str(labels), "--range", "-2", "2"]
    assert main(arguments) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert shown == [["88.1%", "0.881", "cat"], ["11.9%", "0.119", "dog"]]
    labels.write_text("cat\ndog\nhen\n")
    assert main(arguments) == 1
    assert capsys.readouterr().err.endswith("has 2 classes, but there are 3 labels\n")


def test_the_option_scores(tmp_path, capsys):
    pillow = pytest.importorskip("PIL.Image")
    model, image = tmp_path / "model.tflite", tmp_path / "image.png"
    model.write_bytes(tiny.scores(2, "RESHAPE"))
    pillow.fromarray(np.array([[51, 204]], np.uint8)).save(image)
    shown = {}
    for kind in _scores.KINDS:
        assert main(["run", str(model), str(image), "--range", "0", "1", "--scores", kind]) == 0
        shown[kind] = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert shown == {
        "softmax": ["80.0%", "20.0%"],
        "logits": ["64.6%", "35.4%"],
        "sigmoid": ["80.0%", "20.0%"],
        "sigmoid_logits": ["69.0%", "55.0%"],
    }
    with pytest.raises(SystemExit, match="2"):
        main(["run", str(model), str(image), "--scores", "hinge"])
    error = capsys.readouterr().err.splitlines()[-1]
    assert all(kind in error for kind in ("hinge", *_scores.KINDS))


def test_info_says_what_the_outputs_are(tmp_path, capsys):
    said = {}
    plain = tiny.scores(3, "RESHAPE")
    contents = {
        "file": described(plain, "sigmoid_logits"),
        "operator": tiny.scores(3, "SOFTMAX", "QUANTIZE"),
        "nobody": plain,
    }
    for name, content in contents.items():
        path = Path(tmp_path / f"{name}.tflite")
        path.write_bytes(content)
        assert main(["info", str(path)]) == 0
        said[name] = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("Output"))
    assert said == {
        "file": "Output 'RESHAPE0': float32 1x3, sigmoid_logits.",
        "operator": "Output 'QUANTIZE1': uint8 1x3, softmax.",
        "nobody": "Output 'RESHAPE0': float32 1x3, not said whether logits or probabilities.",
    }


@pytest.mark.parametrize("kinds", [("hinge",), ["softmax"], "softmax", ("softmax", 3)])
def test_kinds_that_are_none(kinds):
    with pytest.raises(ValueError, match="outputs must be a tuple of softmax, logits, sigmoid, sigmoid_logits and"):
        bduo_runtime.Metadata(outputs=kinds)


def test_kinds_for_another_number_of_outputs():
    interpreter = bduo_runtime.Interpreter(tiny.scores(2, "LOGISTIC"))
    assert interpreter.output_kinds == ["sigmoid"]
    interpreter.metadata = bduo_runtime.Metadata(outputs=("softmax", "softmax"))
    with pytest.raises(bduo_runtime.ModelError, match="has 1 outputs, but there are metadata for 2"):
        interpreter.rank(np.float32([[0.5, 0.5]]))


def test_operators_are_found_in_damaged_files():
    """Or not found: None, and no other error."""
    content = tiny.scores(3, "LOGISTIC", "RESHAPE")
    tensor = bduo_runtime.Interpreter(content).litert.get_output_details()[0]["index"]
    assert _graph.maker(content, tensor) == _graph.LOGISTIC
    rng = np.random.default_rng(0)
    found = []
    for _ in range(2000):
        data = np.frombuffer(content, np.uint8).copy()
        places = rng.integers(0, len(data), rng.integers(1, 5))
        data[places] = rng.choice([0, 1, 2, 127, 128, 255, *rng.integers(0, 256, 6)], len(places))
        found.append(_graph.maker(data.tobytes(), tensor))
        _graph.signature_names(data.tobytes())
    assert {None, _graph.LOGISTIC} <= set(found)
