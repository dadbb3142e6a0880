"""The command line, called as functions; bad input gives one clear line and exit code 1."""

import builtins
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bduo_runtime._cli import main

# A float model of 8x10 pixels and 4 classes that brings its labels and scaling: test_metadata.py.
DESCRIBED = str(Path(__file__).parent / "files" / "classifier.tflite")


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


def test_info_on_metadata(model, tmp_path, capsys):
    assert main(["info", DESCRIBED]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "Metadata: pixels 0..255 are scaled by (pixel - 123.675 116.28 103.53) / 58.395 57.12 57.375; "
        "4 labels, cat to hen."
    )
    assert main(["info", model]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Metadata: no scaling of pixels; no labels."
    path = tmp_path / "model.tflite"
    path.write_bytes(Path(DESCRIBED).read_bytes().replace(b"M001", b"M002"))
    assert main(["info", str(path)]) == 0
    assert "Metadata that cannot be used: it is not of the version M001." in capsys.readouterr().out


def test_run_with_the_labels_of_the_model(image, capsys):
    assert main(["run", DESCRIBED, image]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 5
    assert {line.split()[-1] for line in out[1:]} == {"cat", "dog", "émeu", "hen"}


def test_options_take_the_place_of_metadata(image, tmp_path, capsys):
    labels = tmp_path / "labels.txt"
    labels.write_text("1\n2\n3\n4\n")
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(Path(DESCRIBED).read_bytes().replace(b"M001", b"M002"))
    for path in (DESCRIBED, str(broken)):
        assert main(["run", path, image, "--labels", str(labels), "--range", "0", "1"]) == 0
        assert {line.split()[-1] for line in capsys.readouterr().out.splitlines()[1:]} == {"1", "2", "3", "4"}
    check_error(["run", str(broken), image, "--range", "0", "1"], "has metadata that cannot be used", capsys)


def test_several_images(image, capsys):
    assert main(["run", DESCRIBED, image, image, image]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 3 * 5 + 1
    assert out[-1].startswith("3 images, median ")
    assert out[-1].endswith(" ms")


def test_a_bad_image_does_not_stop_the_others(image, tmp_path, capsys):
    bad = tmp_path / "bad.png"
    bad.write_text("this is no image")
    assert main(["run", DESCRIBED, image, str(bad), str(tmp_path / "none.png"), image]) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1].startswith("2 images, median ")
    errors = [line for line in captured.err.splitlines() if "error: " in line]
    assert len(errors) == 2
    assert "bad.png is not an image that Pillow can read" in errors[0]
    assert "none.png: No such file or directory" in errors[1]


def test_an_image_lies_as_its_camera_says(tmp_path):
    """As phones write them: lying, with the way to turn them."""
    pillow = pytest.importorskip("PIL.Image")
    from bduo_runtime._pictures import read_picture

    pixels = np.arange(8 * 12, dtype=np.uint8).reshape(8, 12)
    orientation = pillow.Exif()
    orientation[0x0112] = 6
    path = tmp_path / "turned.png"
    pillow.fromarray(pixels).save(path, exif=orientation)
    np.testing.assert_array_equal(read_picture(str(path))[..., 0], np.rot90(pixels, -1))


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


@pytest.fixture
def folder(image, tmp_path):
    """Files that are not what they should be."""
    pillow = pytest.importorskip("PIL.Image")
    (tmp_path / "text.png").write_text("this is no image")
    (tmp_path / "empty.png").touch()
    (tmp_path / "cut.png").write_bytes(Path(image).read_bytes()[:300])
    pillow.fromarray(np.full((4, 4), 40000, np.uint16)).save(tmp_path / "deep.png")
    (tmp_path / "two.txt").write_text("a\nb\n")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\0")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "empty.tflite").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{0}/none.png"], "none.png: No such file or directory"),
        (["{0}"], ": Is a directory"),
        (["{0}/text.png"], "text.png is not an image that Pillow can read"),
        (["{0}/empty.png"], "empty.png is not an image that Pillow can read"),
        (["{0}/cut.png"], "cut.png is not an image that Pillow can read"),
        (["{0}/deep.png"], "deep.png is not an image that Pillow can read: more than 8 bits a channel"),
        (["{0}/image.png", "--labels", "{0}/none.txt"], "none.txt: No such file or directory"),
        (["{0}/image.png", "--labels", "{0}"], ": Is a directory"),
        (["{0}/image.png", "--labels", "{0}/two.txt"], "has 4 classes, but there are 2 labels"),
        (["{0}/image.png", "--labels", "{0}/bytes.txt"], "bytes.txt is not a text file in UTF-8"),
        (["{0}/image.png", "--labels", "{0}/empty.txt"], "empty.txt is not a text file with one class name a line"),
        (["{0}/image.png", "--range", "1", "1"], "--range: black and white must be two different numbers, not 1 and 1"),
        (["{0}/image.png", "--range", "0", "inf"], "--range: black and white must be two different numbers"),
    ],
)
def test_bad_input(folder, arguments, message, capsys):
    check_error(["run", DESCRIBED, *(a.format(folder) for a in arguments)], message, capsys)


@pytest.mark.parametrize("arguments", [["--range", "a", "b"], ["--range", "1"], ["--top", "0"], ["--threads", "none"]])
def test_bad_options(image, arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["run", DESCRIBED, image, *arguments])
    assert f"error: argument {arguments[0]}: " in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.starts_python
def test_the_error_is_the_last_line(folder, image):
    """After what LiteRT prints itself, of the process as a whole."""
    shutil.copy(DESCRIBED, folder / "model.tflite")
    for arguments in (["info", "empty.tflite"], ["run", "model.tflite", image, "text.png"]):
        done = subprocess.run(
            [sys.executable, "-m", "bduo_runtime", *arguments], capture_output=True, text=True, cwd=folder
        )
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("python -m bduo_runtime: error: ")
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (b"LceBconv9d", "neither LiteRT nor bduo_runtime knows the operator LceBconv9d"),
        (b"NewBconv2d", "NewBconv2d"),
        (b"Lce\x1b[2Jv2d", r"knows the operator Lce\x1b[2Jv2d"),
    ],
)
def test_an_unknown_operator(model, tmp_path, name, message, capsys):
    path = tmp_path / "new.tflite"
    path.write_bytes(Path(model).read_bytes().replace(b"LceBconv2d", name))
    check_error(["info", str(path)], message, capsys)


def test_an_operator_of_a_later_version(model, tmp_path, capsys):
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    content = schema.ModelT.InitFromObj(schema.Model.GetRootAs(Path(model).read_bytes(), 0))
    (code,) = (c for c in content.operatorCodes if c.customCode == b"LceBconv2d")
    code.version = 2
    builder = flatbuffers.Builder(1024)
    builder.Finish(content.Pack(builder), b"TFL3")
    path = tmp_path / "new.tflite"
    path.write_bytes(builder.Output())
    message = "LceBconv2d of version 2 is newer than bduo_runtime, which knows version 1"
    check_error(["run", str(path), "image.png"], message, capsys)


def test_not_a_classifier(model, image, capsys):
    check_error(["run", model, image], "does not take images of 1, 3 or 4 channels: its input is 1x8x8x16", capsys)
