"""Labels and scaling that a file brings along, and pictures to predictions with them.

files/classifier.tflite is a float model of 8x10 pixels and 4 classes, its metadata written by Google's tflite-support
0.4.4: mean and std one a channel, labels in l.txt.
"""

import io
import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tiny

import bduo_runtime
from bduo_runtime._images import fit, with_channels
from bduo_runtime._metadata import MetadataError, read_metadata

HERE = Path(__file__).parent
MODEL = (HERE / "files" / "classifier.tflite").read_bytes()
GRAPH_ALONE = tiny.edited(MODEL, lambda model: setattr(model, "metadata", []))
GRAPH, LABELS = MODEL[: MODEL.index(b"PK\x03\x04")], ("cat", "dog", "émeu", "hen")
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def picture(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def archive(content, name="l.txt", compression=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        file.writestr(name, content)
    return stream.getvalue()


def test_what_the_file_says():
    known = bduo_runtime.Interpreter(MODEL).metadata
    assert known.labels == LABELS
    np.testing.assert_allclose((known.mean, known.std), (MEAN, STD), rtol=1e-6)


def test_a_file_that_says_nothing(converted):
    interpreter = bduo_runtime.Interpreter(converted(("classifier",), 0, (10, 12, 3)))
    assert interpreter.metadata == bduo_runtime.Metadata()
    image = picture(10, 12, 3)
    np.testing.assert_allclose(interpreter.preprocess(image)[0], image / 127.5 - 1, atol=1e-6)
    assert {p.label for p in interpreter.classify(image)} == {"class 0", "class 1", "class 2"}


def test_a_picture_is_classified():
    interpreter = bduo_runtime.Interpreter(MODEL)
    image = picture(8, 10, 3)
    logits = interpreter.predict(((image - np.array(MEAN)) / STD)[None])[0]
    found = interpreter.classify(image, top=3)
    assert [p.index for p in found] == np.argsort(-logits).tolist()[:3]
    assert [p.label for p in found] == [LABELS[p.index] for p in found]
    np.testing.assert_allclose([p.score for p in found], np.sort(logits)[::-1][:3], rtol=1e-5)
    odds = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose([p.probability for p in found], np.sort(odds)[::-1][:3], rtol=1e-5)


def test_probabilities_stay_as_they_are():
    found = bduo_runtime.Interpreter(MODEL).rank(np.array([[0.1, 0.6, 0.3, 0]], np.float32))
    assert [p.label for p in found] == ["dog", "émeu", "cat", "hen"]
    np.testing.assert_allclose([p.probability for p in found], [0.6, 0.3, 0.1, 0], rtol=1e-6)


def test_metadata_may_be_assigned():
    interpreter = bduo_runtime.Interpreter(MODEL)
    interpreter.metadata = bduo_runtime.Metadata(labels=("a", "b", "c", "d")).with_range(0, 1)
    image = picture(8, 10, 3)
    np.testing.assert_allclose(interpreter.preprocess(image)[0], image / 255, atol=1e-6)
    assert interpreter.classify(image)[0].label in "abcd"
    interpreter.metadata = bduo_runtime.Metadata(labels=("a", "b"))
    with pytest.raises(bduo_runtime.ModelError, match="has 4 classes, but there are 2 labels"):
        interpreter.classify(image)


@pytest.mark.parametrize("limits", [(1, 1), (0, float("nan")), (float("inf"), 0)])
def test_a_range_that_is_none(limits):
    with pytest.raises(ValueError, match="black and white must be two different numbers"):
        bduo_runtime.Metadata().with_range(*limits)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 10, 3), np.float32), r"must be uint8 .*, not float32 of shape \(8, 10, 3\)"),
        (np.zeros((8, 10, 5), np.uint8), r"not uint8 of shape \(8, 10, 5\)"),
        (np.zeros((1, 8, 10, 3), np.uint8), r"not uint8 of shape \(1, 8, 10, 3\)"),
        (np.zeros((0, 10, 3), np.uint8), "must have pixels"),
        (None, "must be uint8"),
    ],
)
def test_what_is_no_picture(image, message):
    with pytest.raises(ValueError, match=message):
        bduo_runtime.Interpreter(MODEL).classify(image)


def test_a_model_that_takes_no_pictures(converted):
    with pytest.raises(
        bduo_runtime.ModelError, match="does not take images of 1, 3 or 4 channels: its input is 1x8x8x16"
    ):
        bduo_runtime.Interpreter(converted(("thresholds",), 5, (8, 8, 16))).classify(picture(8, 8))


def test_grey_and_colour():
    image = picture(4, 5, 3)
    np.testing.assert_array_equal(with_channels(image, 3), image)
    np.testing.assert_array_equal(with_channels(image[..., :1], 3), np.repeat(image[..., :1], 3, 2))
    # Grey stays what it is on its way through colour.
    np.testing.assert_array_equal(with_channels(np.repeat(image[..., :1], 3, 2), 1), image[..., :1])
    pillow = pytest.importorskip("PIL.Image")
    grey = np.asarray(pillow.fromarray(image).convert("L"))
    np.testing.assert_array_equal(with_channels(image, 1)[..., 0], grey)


def test_a_few_missing_pixels_become_a_margin():
    image = picture(28, 27, 1)
    np.testing.assert_array_equal(fit(image, (32, 32)), np.pad(image, ((2, 2), (2, 3), (0, 0))))


def test_the_centre_is_resized():
    pytest.importorskip("PIL")
    image = np.zeros((60, 100, 3), np.uint8)
    image[:, 20:80] = 200  # the centre's square
    np.testing.assert_array_equal(fit(image, (30, 30)), np.full((30, 30, 3), 200))
    np.testing.assert_array_equal(fit(image[..., :1], (15, 25))[:, 6:19], np.full((15, 13, 1), 200))
    np.testing.assert_array_equal(fit(np.full((1, 1000, 1), 7, np.uint8), (9, 9)), np.full((9, 9, 1), 7))


def test_resizing_without_pillow(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    interpreter = bduo_runtime.Interpreter(MODEL)
    assert len(interpreter.classify(picture(8, 10, 3))) == 4
    with pytest.raises(ImportError, match=r"pip install 'bduo-runtime\[images\]'"):
        interpreter.classify(picture(80, 100, 3))


def float32(value):
    return struct.pack("<f", value)


MALFORMED = {
    "version": (MODEL.replace(b"M001", b"M009"), "it is not of the version M001"),
    "std 0": (MODEL.replace(float32(57.12), float32(0)), "its normalization is not one of finite numbers"),
    "mean nan": (MODEL.replace(float32(116.28), float32(np.nan)), "its normalization is not one of finite numbers"),
    "no archive": (GRAPH, r"its label file 'l\.txt' cannot be read \(BadZipFile\)"),
    "cut archive": (MODEL[:-30], "cannot be read"),
    "no label file": (GRAPH + archive("cat", "m.txt"), r"its label file 'l\.txt' is missing"),
    "no text": (GRAPH + archive(b"\xff\xfe"), "is not a text file in UTF-8"),
    "empty": (GRAPH + archive(b"\n"), "is not a text file with one class name a line"),
    "control characters": (GRAPH + archive("cat\x1b[2J\n"), "is not a text file with one class name a line"),
    "zip bomb": (GRAPH + archive(bytes(1 << 24)), "has more than 1048576 bytes"),
    "another compression": (GRAPH + archive("cat", compression=zipfile.ZIP_LZMA), "in another way than 'deflate'"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_metadata(case):
    """The model runs all the same; one line says what is wrong with what it says of itself."""
    model, message = MALFORMED[case]
    interpreter = bduo_runtime.Interpreter(model)
    assert interpreter.predict(np.zeros((1, 8, 10, 3), np.float32)).shape == (1, 4)
    with pytest.raises(bduo_runtime.ModelError, match=message) as error:
        interpreter.classify(picture(8, 10, 3))
    assert str(error.value).startswith("the model has metadata that cannot be used: ")
    assert "\n" not in str(error.value)


def test_metadata_mutated_at_random():
    """Whatever its bytes are: labels and numbers, or one error."""
    rng = np.random.default_rng(0)
    start = MODEL.index(b"M001") - 4
    described = tiny.with_entry(MODEL, SAID)
    errors = []
    for i in range(4000):
        data = np.frombuffer(described if i % 2 else MODEL, np.uint8).copy()
        places = rng.integers(start if rng.integers(2) else 0, len(data), rng.integers(1, 5))
        data[places] = rng.choice([0, 1, 2, 127, 128, 255, *rng.integers(0, 256, 6)], len(places))
        try:
            read_metadata(data.tobytes())
        except MetadataError as e:
            errors.append(str(e))
    assert 100 < len(errors) < 3900
    assert not any("\n" in error for error in errors)


SAID = {"version": 1, "fit": {"resize": [9, 12], "whole": True}, "outputs": ["softmax"]}


def test_fit_and_outputs():
    known = read_metadata(tiny.with_entry(MODEL, SAID) + MODEL[len(GRAPH) :])
    assert known == bduo_runtime.Metadata(LABELS, known.mean, known.std, bduo_runtime.Fit((9, 12), True), ("softmax",))
    assert known.mean
    for said in ({"version": 1}, {"version": 1, "fit": None, "outputs": None, "of a later one": {}}):
        assert read_metadata(tiny.with_entry(GRAPH_ALONE, said)) == bduo_runtime.Metadata()
    said = {"version": 1, "outputs": [None], "fit": {"resize": [32768, 1], "whole": False, "also": 1}}
    known = read_metadata(tiny.with_entry(GRAPH_ALONE, said))
    assert known == bduo_runtime.Metadata(fit=bduo_runtime.Fit((32768, 1), False), outputs=(None,))


def fit_of(resize, whole=True):
    return SAID | {"fit": {"resize": resize, "whole": whole}}


DAMAGED = {
    "later": (SAID | {"version": 2}, "is newer than version 1, which bduo-runtime knows: update it"),
    "much later": (b'{"version": 1' + b"0" * 1000 + b"}", "is newer than version 1"),
    "no version": ({}, "has no version"),
    "true version": ({"version": True}, "has no version"),
    "text version": ({"version": "1"}, "has no version"),
    "version 0": ({"version": 0}, "has no version"),
    "no object": ([1], "has no version"),
    "empty": (b"", r"is no JSON \(JSONDecodeError\)"),
    "cut": (json.dumps(SAID).encode()[:-1], "is no JSON"),
    "not UTF-8": (b'{"version": 1, "\xff": 1}', r"is no JSON \(UnicodeDecodeError\)"),
    "deep": (b"[" * 60_000 + b"]" * 5_000, r"is no JSON \((RecursionError|JSONDecodeError)\)"),
    "digits": (b'{"version": ' + b"1" * 60_000 + b"}", "is no JSON|is newer"),
    "large": (SAID | {"more": "x" * (1 << 16)}, "has more than 65536 bytes"),
    "kind": (SAID | {"outputs": ["hinge"]}, "outputs must be a tuple of softmax, logits, "),
    "kinds": (SAID | {"outputs": "softmax"}, "the outputs in its entry bduo are no list"),
    "list of lists": (SAID | {"outputs": [["softmax"]]}, "outputs must be a tuple of"),
    "two outputs": (SAID | {"outputs": ["softmax", "softmax"]}, "tells of 2 outputs, the file has 1"),
    "fit": (SAID | {"fit": [9, 12]}, "fit must have a list resize"),
    "no resize": (SAID | {"fit": {"whole": True}}, "fit must have a list resize"),
    "side 0": (fit_of([0, 12]), "resize must be two positive integers"),
    "side negative": (fit_of([9, -12]), "resize must be two positive integers"),
    "side float": (fit_of([9.0, 12]), "resize must be two positive integers"),
    "side true": (fit_of([True, 12]), "resize must be two positive integers"),
    "side null": (fit_of([None, 12]), "resize must be two positive integers"),
    "three sides": (fit_of([9, 12, 3]), "resize must be two positive integers"),
    "too large": (fit_of([9, 32769]), "resize must be at most 32768"),
    "whole 1": (fit_of([9, 12], 1), "whole must be true or false"),
    "no whole": (SAID | {"fit": {"resize": [9, 12]}}, "whole must be true or false"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_description(case):
    said, message = DAMAGED[case]
    interpreter = bduo_runtime.Interpreter(tiny.with_entry(GRAPH_ALONE, said))
    assert interpreter.predict(np.zeros((1, 8, 10, 3), np.float32)).shape == (1, 4)
    with pytest.raises(bduo_runtime.ModelError, match=message) as error:
        interpreter.classify(picture(8, 10, 3))
    assert str(error.value).startswith("the model has metadata that cannot be used: ")
    assert "\n" not in str(error.value)


def test_a_fit_that_is_assigned():
    interpreter = bduo_runtime.Interpreter(GRAPH_ALONE)
    image = picture(16, 20, 3)
    plain = interpreter.preprocess(image)
    interpreter.metadata = bduo_runtime.Metadata(fit=bduo_runtime.Fit((16, 20), whole=True))
    np.testing.assert_allclose(interpreter.preprocess(image)[0], image[4:12, 5:15] / 127.5 - 1, atol=1e-6)
    assert np.abs(interpreter.preprocess(image) - plain).max() > 0.1
    with pytest.raises(ValueError, match=r"fit must be a bduo_runtime\.Fit or None"):
        bduo_runtime.Metadata(fit=(16, 20))


def test_quantized_inputs(monkeypatch):
    """A model that takes bytes gets the pixels' values in its own scale."""

    interpreter = bduo_runtime.Interpreter(MODEL)
    detail = interpreter._inputs[0]
    monkeypatch.setattr(bduo_runtime.Interpreter, "_inputs", [detail])
    detail["dtype"], detail["quantization"] = np.int8, (1 / 127.5, -1)
    interpreter.metadata = bduo_runtime.Metadata().with_range(-1, 1)
    image = picture(8, 10, 3)
    prepared = interpreter.preprocess(image)
    assert prepared.dtype == np.int8
    assert np.abs(prepared[0].astype(int) - (image.astype(int) - 128)).max() <= 1
    detail["quantization"] = (0.0, 0)
    with pytest.raises(bduo_runtime.ModelError, match="takes int8 without saying how images become that"):
        interpreter.preprocess(image)


@pytest.mark.starts_python
def test_the_package_starts_without_pillow_and_tensorflow():
    code = "import sys, bduo_runtime; sys.exit(any(m in sys.modules for m in ('PIL', 'tensorflow')))"
    subprocess.run([sys.executable, "-c", code], check=True)
