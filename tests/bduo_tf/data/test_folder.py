"""A folder of pictures as a data set: what is read, how it is divided, and what is refused in which words."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bduo_runtime
from bduo_runtime import _pictures
from bduo_runtime._images import with_channels
from bduo_tf import data
from bduo_tf.backend import keras
from bduo_tf.conversion.metadata import Metadata, add_metadata
from bduo_tf.conversion.tflite import convert_float32
from bduo_tf.data import pictures
from bduo_tf.data.folder import open_folder
from bduo_tf.data.images import INPUT_RANGE
from examples.draw_pictures import SHAPES, draw
from tests.bduo_tf.data.pictures import KINDS, picture_folder, save

SIZE = (16, 16)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _files(source_part) -> list[str]:
    return ["/".join(Path(os.fsdecode(path)).parts[-2:]) for path, _ in source_part.files().as_numpy_iterator()]


def _load(root: Path, **options) -> data.Dataset:
    return data.load(f"folder:{root}", SIZE, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_is_read_as_the_device_reads_it(kind: str, tmp_path: Path) -> None:
    file = save(draw("disc", (40, 24), 3), tmp_path / "a", kind)
    here = pictures.read_picture(file)
    np.testing.assert_array_equal(here, with_channels(_pictures.read_picture(str(file)), 3))
    assert here.shape == (24, 40, 3)  # the rotated picture too
    expected = np.asarray(draw("disc", (40, 24), 3))
    if kind == "png":
        np.testing.assert_array_equal(here, expected)
    if "transparent" in kind or "alpha" in kind:
        assert here[0, 0].tolist() == [0, 0, 0]


def test_a_part_is_set_aside_of_each_class(tmp_path: Path) -> None:
    root = picture_folder(tmp_path / "shapes", 12)
    dataset = _load(root)
    assert dataset.class_names == SHAPES
    assert (dataset.num_train, dataset.num_test, dataset.input_shape) == (30, 6, (16, 16, 3))
    assert dataset.fit == data.Fit((18, 18), whole=True)
    assert dataset.test_split == "20% of each class"
    assert sorted(int(label) for _, label in dataset.test_pixels) == [0, 0, 1, 1, 2, 2]
    source = open_folder(f"folder:{root}", SIZE)
    train, test = _files(source.train), _files(source.test)
    assert sorted(train + test) == sorted(f"{kind}/{p.name}" for kind in SHAPES for p in (root / kind).iterdir())


def test_the_division_is_that_of_every_process_and_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = picture_folder(tmp_path / "shapes", 6, kinds=("png",))
    test = _files(open_folder(f"folder:{root}", SIZE).test)
    code = (
        "import os, sys; from bduo_tf.data.folder import open_folder\n"
        "part = open_folder(sys.argv[1], (16, 16)).test\n"
        "print(*('/'.join(os.fsdecode(p).split('/')[-2:]) for p, _ in part.files().as_numpy_iterator()))"
    )
    moved = Path(shutil.copytree(root, tmp_path / "moved"))
    done = subprocess.run([sys.executable, "-c", code, f"folder:{moved}"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == test
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: reversed(list(scandir(path))))
    assert _files(open_folder(f"folder:{root}", SIZE).test) == test


def test_validation_leaves_the_test_pictures_alone(tmp_path: Path) -> None:
    root = picture_folder(tmp_path / "shapes", 10, kinds=("png",))
    whole = open_folder(f"folder:{root}", SIZE)
    part = open_folder(f"folder:{root}", SIZE, validation=0.25)
    assert (part.train.count, part.test.count) == (18, 6)
    assert set(_files(part.train)) | set(_files(part.test)) == set(_files(whole.train))


@pytest.mark.parametrize(
    ("parts", "evaluated"),
    [(("val",), "val"), (("validation",), "validation"), (("test",), "test"), (("test", "val"), "test")],
)
def test_parts_are_used_as_they_are(parts: tuple[str, ...], evaluated: str, tmp_path: Path) -> None:
    root = tmp_path / "shapes"
    picture_folder(root / "train", 2, kinds=("png",))
    for number, part in enumerate(parts):
        picture_folder(root / part, 1 + number, kinds=("png",), classes=SHAPES[1:])  # a class may be missing
    dataset = _load(root)
    assert (dataset.num_train, dataset.test_split, dataset.class_names) == (6, evaluated, SHAPES)
    assert [int(label) for _, label in dataset.test_pixels] == [1, 2]
    assert ("val (a folder beside those that are used)" in dataset.remark) == (len(parts) == 2)


def test_a_class_that_is_called_train(tmp_path: Path) -> None:
    root = picture_folder(tmp_path / "vehicles", 3, kinds=("png",), classes=("car", "train"))
    assert _load(root).class_names == ("car", "train")


def test_channels_and_sizes(tmp_path: Path) -> None:
    root = picture_folder(tmp_path / "grey", 4, kinds=("grey",))
    for file in (root / "disc").iterdir():  # grey pictures are often saved in colour
        Image.open(file).convert("RGB").save(file)
    assert _load(root).input_shape == (16, 16, 1)
    with pytest.raises(data.DataError, match="images of several sizes") as error:
        data.load(f"folder:{root}")
    assert error.value.argument == "image_size"
    for file in root.glob("*/*"):
        Image.open(file).resize((20, 12)).save(file)
    dataset = data.load(f"folder:{root}")
    assert (dataset.input_shape, dataset.fit) == ((12, 20, 1), data.Fit((12, 20), whole=False))
    Image.new("RGB", (20, 12), (1, 2, 3)).save(root / "disc" / "colour.png")
    assert data.describe(f"folder:{root}") == (SHAPES, (12, 20, 3))


def test_pixels_are_the_device_s(tmp_path: Path) -> None:
    """On the whole way, from the file to the network's input."""
    root = picture_folder(tmp_path / "shapes", 12)
    dataset, source = _load(root), open_folder(f"folder:{root}", SIZE)
    image = keras.Input(dataset.input_shape)
    file = convert_float32(keras.Model(image, keras.layers.GlobalAveragePooling2D()(image)))
    device = bduo_runtime.Interpreter(add_metadata(file, Metadata("net", (), INPUT_RANGE, 3, fit=dataset.fit)))
    for images, part in ((dataset.train, source.train), (dataset.test, source.test)):
        for (here, _), path in zip(images.as_numpy_iterator(), _files(part), strict=True):
            there = device.preprocess(_pictures.read_picture(str(root / path)))[0]
            assert np.abs(here - there).max() <= 1.01 * 2 / 255, path


@pytest.mark.parametrize("augmentation", ["crop_flip", "resized_crop_flip"])
def test_batches(augmentation: str, tmp_path: Path) -> None:
    root = picture_folder(tmp_path / "shapes", 12)
    dataset = _load(root)
    batches = list(data.train_batches(dataset, 8, seed=1, epochs=1, augmentation=augmentation))
    assert [images.shape for images, _ in batches] == [(8, 16, 16, 3)] * 3 + [(6, 16, 16, 3)]
    again = list(data.train_batches(dataset, 8, seed=1, epochs=1, augmentation=augmentation))
    for (a, _), (b, _) in zip(batches, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_no_picture_is_left_out_in_one_line(tmp_path: Path) -> None:
    root = picture_folder(tmp_path / "shapes", 3, kinds=("png",))
    for hidden in (".DS_Store", "Thumbs.db", ".hidden.png"):
        (root / "disc" / hidden).write_text("not to be read")
    (root / ".git").mkdir()
    assert _load(root).remark == ""
    (root / "disc" / "notes.txt").write_text("mine")
    (root / "frame" / "list.csv").write_text("mine")
    (root / "frame" / "more").mkdir()
    shutil.copy(root / "disc" / "000.png", root / "stray.png")
    remark = _load(root).remark
    assert remark.startswith(f"Left out of {root}: ")
    assert "disc/notes.txt and 1 more (no picture by its name)" in remark
    assert "frame/more (a folder in that of a class)" in remark
    assert "stray.png (in no folder of a class)" in remark
    assert len(remark.splitlines()) == 1


def test_pictures_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    root = picture_folder(tmp_path / "shapes", 5, kinds=("jpeg",))
    truncated = root / "disc" / "001.jpg"
    truncated.write_bytes(truncated.read_bytes()[:-200])
    (root / "frame" / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic")
    Image.fromarray(np.zeros((4, 4), np.float32)).save(root / "stripes" / "deep.tif")
    for name in ("000", "002"):
        (root / "stripes" / f"{name}.jpg").write_bytes(b"no picture")
    for _ in range(2):  # nothing that is damaged is kept as good
        with pytest.raises(data.DataError) as error:
            _load(root)
        assert error.value.argument == "name"
        assert f"5 of 17 pictures in {root} cannot be read: " in str(error.value)
        assert "(image file is truncated" in str(error.value)
        assert "frame/photo.heic (cannot identify image file)" in str(error.value)
        assert " and 2 more." in str(error.value)
    for name in ("disc/001.jpg", "frame/photo.heic", "stripes/deep.tif"):
        (root / name).unlink()
    with pytest.raises(data.DataError, match=r"2 of 14 .* stripes/000.jpg \(cannot identify image file\), stripes/002"):
        _load(root)


def test_a_second_start_reads_only_what_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = picture_folder(tmp_path / "shapes", 4, kinds=("png",))
    read, seen = pictures.read_picture, []

    def seeing(path: Path) -> np.ndarray:
        seen.append(path.name)
        return read(path)

    monkeypatch.setattr(pictures, "read_picture", seeing)
    first = open_folder(f"folder:{root}", SIZE)
    assert len(seen) == 12
    seen.clear()
    assert open_folder(f"folder:{root}", SIZE).shape == first.shape
    assert seen == []
    os.utime(root / "disc" / "001.png", ns=(0, 0))
    save(draw("disc", (24, 20), 9), root / "frame" / "new", "png")
    open_folder(f"folder:{root}", SIZE)
    assert sorted(seen) == ["001.png", "new.png"]
    seen.clear()
    for file in (tmp_path / "cache").rglob("*.json"):
        file.write_text("damaged")
    open_folder(f"folder:{root}", SIZE)
    assert len(seen) == 13


def _without_classes(root: Path) -> None:
    for file in root.glob("*/*"):
        file.rename(root / f"{file.parent.name}{file.name}")
    for folder in root.iterdir():
        if folder.is_dir():
            folder.rmdir()


def _one_class(root: Path) -> None:
    shutil.rmtree(root / "disc")
    shutil.rmtree(root / "frame")


def _empty_class(root: Path) -> None:
    (root / "empty").mkdir()


def _single_picture(root: Path) -> None:
    for file in sorted((root / "frame").iterdir())[1:]:
        file.unlink()


def _unknown_class(root: Path) -> None:
    picture_folder(root / "test", 1, kinds=("png",), classes=("disc", "ring"))
    (root / "train").mkdir()
    for kind in SHAPES:
        (root / kind).rename(root / "train" / kind)


def _empty_test(root: Path) -> None:
    _unknown_class(root)
    for file in (root / "test").glob("*/*"):
        file.unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (shutil.rmtree, r"there is no folder {root}\."),
        (_without_classes, r"the pictures lie right in {root}, such as disc000.png: put those of each class into"),
        (_one_class, r"{root} has a folder for one class only, stripes"),
        (_empty_class, r"{root}/empty has no pictures right in it\."),
        (_single_picture, r"{root}/frame has a single picture: each class needs two"),
        (_unknown_class, r"{root}/test/ring is a class of which {root}/train has no folder\."),
        (_empty_test, r"{root}/test has no pictures in folders of classes"),
    ],
)
def test_folders_that_are_refused(change, message: str, tmp_path: Path) -> None:
    root = picture_folder(tmp_path / "shapes", 3, kinds=("png",))
    change(root)
    with pytest.raises(data.DataError, match=message.format(root=root)) as error:
        _load(root)
    assert error.value.argument == "name"
    assert len(str(error.value).splitlines()) == 1


def test_arguments_that_are_refused(tmp_path: Path) -> None:
    root = picture_folder(tmp_path / "shapes", 2, kinds=("png",))
    for options, argument in (
        ({"data_dir": tmp_path}, "data_dir"),
        ({"validation": 1.0}, "validation"),
        ({"validation": 0.5}, "validation"),
    ):
        with pytest.raises(data.DataError) as error:
            _load(root, **options)
        assert error.value.argument == argument
    with pytest.raises(data.DataError, match="must be followed by the path"):
        data.load("folder:", SIZE)


def test_the_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert data.absolute_name("folder:a/../b") == f"folder:{tmp_path}/b"
    assert data.absolute_name("folder:~/b") == "folder:/home/me/b"
    assert data.absolute_name("digits") == "digits"
