"""Metadata leave the graph of a .tflite as it was, to the byte, and readers find labels and scaling in it."""

import io
import json
import zipfile

import numpy as np
import pytest

import bduo_runtime
import bduo_tf
from bduo_runtime._metadata import read_metadata
from bduo_tf.backend import keras
from bduo_tf.conversion.errors import ConversionError
from bduo_tf.conversion.inspection import operators
from bduo_tf.conversion.interpreters import interpreters
from bduo_tf.conversion.metadata import LABEL_FILE, Metadata, add_metadata
from bduo_tf.conversion.tflite import convert_float32, convert_int8, convert_lce
from bduo_tf.data import Fit
from convert.cli import main
from convert.options import read_labels
from tests.bduo_tf.conversion.models import binary, decoupled
from tests.bduo_tf.runs.finished import finished_run

from tensorflow.lite.python import schema_py_generated as schema  # isort: skip

CLASSES = ("T-shirt/top", "Ankle boot", "émeu", *"3456789")
METADATA = Metadata("net", CLASSES, (-1.0, 1.0), 1)


@pytest.fixture(scope="module")
def plain():
    return convert_lce(bduo_tf.to_lce_graph(decoupled()))


@pytest.fixture(scope="module")
def described(plain):
    return add_metadata(plain, METADATA)


def images(count=3, shape=(16, 16, 1)):
    return np.random.default_rng(0).uniform(-1, 1, (count, *shape)).astype(np.float32)


def test_the_file_as_it_was_stands_in_the_new_one(plain, described):
    place = described.index(plain)
    assert place % 16 == 0
    # The difference is that of names and numbers: a label file of ten lines and its surroundings.
    assert len(described) - len(plain) < 1200


def buffers(file):
    """Yields where each buffer begins, and its content."""
    model = schema.Model.GetRootAs(file, 0)
    for i in range(model.BuffersLength()):
        buffer = model.Buffers(i)
        yield (
            buffer._tab.Vector(buffer._tab.Offset(4)) if buffer.DataLength() else None,
            (buffer.DataAsNumpy().tobytes() if buffer.DataLength() else b""),
        )


def custom_options(file):
    model = schema.Model.GetRootAs(file, 0)
    graph = model.Subgraphs(0)
    return [
        (model.OperatorCodes(op.OpcodeIndex()).CustomCode(), op.CustomOptionsAsNumpy().tobytes())
        for op in map(graph.Operators, range(graph.OperatorsLength()))
        if op.CustomOptionsLength()
    ]


@pytest.mark.parametrize("padding", [0, 4, 8, 12])
def test_buffers_keep_content_and_alignment(plain, padding):
    """This holds for every length of the file."""
    old = plain + bytes(padding)
    before, after = list(buffers(old)), list(buffers(add_metadata(old, METADATA)))
    assert len(after) == len(before) + 1
    for (old_place, old_content), (place, content) in zip(before, after[:-1], strict=True):
        assert content == old_content
        assert old_place is None or (place - old_place) % 16 == 0
    assert after[-1][0] % 16 == 0
    assert after[-1][1][4:8] == b"M001"


def test_nothing_else_changes(plain, described):
    assert custom_options(described) == custom_options(plain) != []
    assert operators(described) == operators(plain)
    old, new = (schema.ModelT.InitFromObj(schema.Model.GetRootAs(file, 0)) for file in (plain, described))
    assert (new.version, new.description) == (old.version, old.description)
    assert [s.signatureKey for s in new.signatureDefs] == [s.signatureKey for s in old.signatureDefs]
    assert [m.name for m in new.metadata] == [*(m.name for m in old.metadata), b"TFLITE_METADATA"]


@pytest.mark.parametrize("name", ["LCE", "bduo_runtime"])
def test_interpreters_run_it_to_the_same_bits(plain, described, name):
    make = interpreters()[name]
    np.testing.assert_array_equal(make(described).predict(images()), make(plain).predict(images()))


def test_the_device_reads_it(described):
    known = read_metadata(described)
    assert known.labels == CLASSES
    assert (known.mean, known.std) == ((127.5,), (127.5,))


def test_unzip_reads_the_labels(described):
    with zipfile.ZipFile(io.BytesIO(described)) as archive:
        assert archive.testzip() is None
        (info,) = archive.infolist()
        assert info.filename == LABEL_FILE
        # It is where the archive says, for readers that map the file.
        assert info.compress_type == zipfile.ZIP_STORED
        assert described[info.header_offset :].startswith(b"PK\x03\x04")
        assert archive.read(info).decode().splitlines() == list(CLASSES)


@pytest.mark.parametrize(
    ("limits", "mean", "std"), [((-1, 1), 127.5, 127.5), ((0, 1), 0, 255), ((0, 255), 0, 1), ((1, -1), 127.5, -127.5)]
)
def test_ranges(plain, limits, mean, std):
    known = read_metadata(add_metadata(plain, Metadata("net", (), limits, 1)))
    assert (known.labels, known.mean, known.std) == ((), (mean,), (std,))
    assert (known.mean, known.std) == (lambda m: (m.mean, m.std))(bduo_runtime.Metadata().with_range(*limits))


def test_parts_of_it(plain):
    assert add_metadata(plain, Metadata("net")) == plain
    known = read_metadata(add_metadata(plain, Metadata("net", CLASSES)))
    assert (known.labels, known.mean) == (CLASSES, ())


def said(file):
    """Returns what the entry "bduo" of a file says; None if there is none."""
    model = schema.Model.GetRootAs(file, 0)
    entries = {model.Metadata(i).Name(): model.Metadata(i).Buffer() for i in range(model.MetadataLength())}
    return json.loads(model.Buffers(entries[b"bduo"]).DataAsNumpy().tobytes()) if b"bduo" in entries else None


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (Metadata("net", scores=("softmax",)), {"outputs": ["softmax"]}),
        (Metadata("net", scores=("sigmoid_logits",)), {"outputs": ["sigmoid_logits"]}),
        (Metadata("net", fit=Fit((36, 40), True)), {"fit": {"resize": [36, 40], "whole": True}}),
        (
            Metadata("net", CLASSES, (0, 1), 1, ("logits",), Fit((16, 16), False)),
            {"fit": {"resize": [16, 16], "whole": False}, "outputs": ["logits"]},
        ),
    ],
)
def test_fitting_and_scores(plain, metadata, expected):
    file = add_metadata(plain, metadata)
    assert said(file) == {"version": 1, **expected}
    assert read_metadata(file).labels == metadata.labels
    for make in interpreters().values():
        np.testing.assert_array_equal(make(file).predict(images()), make(plain).predict(images()))


def test_unknown_scores_are_not_mentioned(plain):
    assert add_metadata(plain, Metadata("net", scores=(None,))) == plain


def test_a_run_says_how_its_images_are_fitted(run_folder):
    assert main([str(run_folder), "--samples", "4"]) == 0
    known = bduo_runtime.Interpreter(run_folder / "model.tflite").metadata
    # The digits' 8 pixels become 16.
    assert known.fit == bduo_runtime.Fit((16, 16), False)
    assert known.outputs == ("logits",)


@pytest.mark.parametrize(("options", "kind"), [([], "sigmoid"), (["--scores", "sigmoid_logits"], "sigmoid_logits")])
def test_two_classes_of_one_unit(options, kind, tmp_path):
    x = keras.Input((8, 8, 3))
    outputs = keras.layers.Dense(1, "sigmoid")(keras.layers.Flatten()(binary(x)))
    keras.Model(x, outputs).save(tmp_path / "net.keras")
    labels = tmp_path / "two.txt"
    labels.write_text("no\nyes\n")
    assert main([str(tmp_path / "net.keras"), "--samples", "4", "--labels", str(labels), *options]) == 0
    file = (tmp_path / "net.tflite").read_bytes()
    assert read_metadata(file).labels == ("no", "yes")
    assert said(file)["outputs"] == [kind]


def test_names_of_several_inputs(plain):
    file = add_metadata(plain, Metadata("net", CLASSES, inputs=("one", "two")))
    assert read_metadata(file).labels == CLASSES
    assert b"one\0" in file
    assert b"two\0" in file


def test_float_peers_carry_it_too():
    inputs = keras.Input((6, 6, 3))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
    for file in (convert_float32(model), convert_int8(model, images(4, (6, 6, 3)))):
        described = add_metadata(file, Metadata("net", ("a", "b"), (-1, 1), 3))
        x = images(2, (6, 6, 3))
        plain, new = bduo_runtime.Interpreter(file), bduo_runtime.Interpreter(described)
        np.testing.assert_array_equal(new.predict(x), plain.predict(x))
        assert new.metadata.labels == ("a", "b")


def test_label_files(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffcat\r\nbig dog\r\n\r\n".encode())
    assert read_labels(path) == ("cat", "big dog")
    for content, message in [
        (b"\xff\xfe\0", "not a text file in UTF-8"),
        (b"a\n\nb", "one class name a line"),
        (b"", "one"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ConversionError, match=message):
            read_labels(path)
    with pytest.raises(ConversionError, match="cannot be read: No such file"):
        read_labels(tmp_path / "none.txt")


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "net.keras"
    decoupled().save(path)
    return path


def test_options_of_the_command(keras_file, tmp_path, capsys):
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(CLASSES))
    output = tmp_path / "out.tflite"
    given = ["--labels", str(labels), "--range", "0", "1", "--samples", "16"]
    assert main([str(keras_file), "-o", str(output), *given]) == 0
    known = bduo_runtime.Interpreter(output).metadata
    assert (known.labels, known.mean, known.std) == (CLASSES, (0.0,), (255.0,))
    assert json.loads(output.with_suffix(".json").read_text())["verified_on"].startswith("16 inputs, uniform in [0, 1]")


def test_without_options_nothing_is_said(keras_file, tmp_path):
    output = tmp_path / "out.tflite"
    assert main([str(keras_file), "-o", str(output), "--samples", "16"]) == 0
    assert b"TFLITE_METADATA" not in output.read_bytes()
    assert said(output.read_bytes()) == {"version": 1, "outputs": ["logits"]}


@pytest.fixture
def run_folder(tmp_path):
    finished_run(tmp_path, decoupled(), decoupled=0.1)
    return tmp_path


def test_a_run_says_what_its_data_set_does(run_folder):
    assert main([str(run_folder), "--samples", "16", "--float"]) == 0
    for name in ("model", "model-float32", "model-int8"):
        known = bduo_runtime.Interpreter(run_folder / f"{name}.tflite").metadata
        assert (known.labels, known.mean, known.std) == (tuple("0123456789"), (127.5,), (127.5,))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--labels", "{two}"], "has outputs (10,), {two} has 2 classes"),
        (["--labels", "{two}.none"], "--labels: {two}.none cannot be read"),
        (["--range", "1", "1"], "--range takes two different numbers, not 1 and 1"),
        (["--range", "0", "nan"], "--range takes two different numbers, not 0 and nan"),
        (["--dataset", "digits", "--range", "0", "1"], "--range is for models without a data set"),
    ],
)
def test_wrong_options(keras_file, tmp_path, capsys, options, message):
    two = tmp_path / "two.txt"
    two.write_text("a\nb\n")
    assert main([str(keras_file), *(option.format(two=two) for option in options)]) == 2
    error = capsys.readouterr().err
    assert message.format(two=two) in error
    assert len(error.strip().splitlines()) == 1
