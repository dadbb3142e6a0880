"""A watched folder: each picture is classified once it is whole. The clock is the tests' own, and nobody waits."""

import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bduo_runtime import _run
from bduo_runtime._cli import main
from bduo_runtime._messages import UsageError
from bduo_runtime._watch import SETTLED_SECONDS, Folder, watch

DESCRIBED = str(Path(__file__).parent / "files" / "classifier.tflite")


def save(path, seed=0):
    """Writes a picture of the model's size in NumPy's format, which needs no Pillow."""
    np.save(path, np.random.default_rng(seed).integers(0, 256, (8, 10, 3), np.uint8))
    return path


def touch(path, seconds):
    """Gives a file a time of its own, however coarse the clock of the file system is."""
    os.utime(path, (seconds, seconds))


def due(folder, now):
    return [os.path.basename(image.title) for image in folder.poll(now)]


def test_pictures_already_there_and_later_ones(tmp_path):
    touch(save(tmp_path / "b.npy"), 1)
    touch(save(tmp_path / "a.npy"), 2)
    folder = Folder(str(tmp_path))
    assert due(folder, 0) == []
    assert due(folder, SETTLED_SECONDS) == ["b.npy", "a.npy"], "the oldest first"
    save(tmp_path / "c.npy")
    assert due(folder, 10) == []
    assert due(folder, 10 + SETTLED_SECONDS) == ["c.npy"]
    assert due(folder, 20) == [], "each of them once"


def test_a_file_that_grows_is_left_until_it_is_whole(tmp_path):
    path = tmp_path / "a.npy"
    content = save(path).read_bytes()
    folder = Folder(str(tmp_path))
    for i, length in enumerate((0, 100, 200, len(content))):
        path.write_bytes(content[:length])
        touch(path, i)
        assert due(folder, i) == []
        assert due(folder, i + 0.9 * SETTLED_SECONDS) == []
    (image,) = folder.poll(3 + SETTLED_SECONDS)
    np.testing.assert_array_equal(image.read(), np.load(path))


def test_a_file_that_is_written_anew_without_growing(tmp_path):
    path = save(tmp_path / "a.npy")
    folder = Folder(str(tmp_path))
    for i in range(4):
        touch(path, i)
        assert due(folder, i * 0.9 * SETTLED_SECONDS) == []
    assert due(folder, 10) == ["a.npy"]


def test_a_file_that_is_moved_into_the_folder(tmp_path):
    (tmp_path / "watched").mkdir()
    folder = Folder(str(tmp_path / "watched"))
    assert due(folder, 0) == []
    hidden = save(tmp_path / "watched" / ".a.npy")
    unfinished = tmp_path / "watched" / "b.npy.part"
    save(tmp_path / "b.npy").rename(unfinished)
    for now in (1, 2):
        assert due(folder, now) == [], "programs write into such files first"
    hidden.rename(tmp_path / "watched" / "a.npy")
    unfinished.rename(tmp_path / "watched" / "b.npy")
    assert due(folder, 3) == []
    assert sorted(due(folder, 4)) == ["a.npy", "b.npy"]


def test_a_replaced_file_is_a_new_picture(tmp_path):
    touch(save(tmp_path / "a.npy", 1), 1)
    folder = Folder(str(tmp_path))
    folder.poll(0)
    assert due(folder, 1) == ["a.npy"]
    touch(save(tmp_path / "new", 2).with_name("new.npy"), 1)
    (tmp_path / "new.npy").replace(tmp_path / "a.npy")  # of the same size and time
    assert due(folder, 2) == []
    (image,) = folder.poll(3)
    np.testing.assert_array_equal(image.read(), np.load(tmp_path / "a.npy"))


def test_files_that_go_are_forgotten(tmp_path):
    folder = Folder(str(tmp_path))
    for i in range(20):
        path = save(tmp_path / f"{i}.npy")
        folder.poll(i)
        assert due(folder, i + SETTLED_SECONDS) == [path.name]
        path.unlink()
    assert due(folder, 30) == []
    assert not folder._files


def test_a_file_that_changes_while_it_is_read(tmp_path):
    """It is passed over, and handed out again when it is whole; so is one that is half there, without a complaint."""
    path = save(tmp_path / "a.npy", 1)
    folder = Folder(str(tmp_path))
    folder.poll(0)
    (image,) = folder.poll(1)
    save(path, 2)
    touch(path, 5)
    assert image.read() is None
    assert due(folder, 2) == []
    (image,) = folder.poll(3)
    path.write_bytes(path.read_bytes()[:100])
    assert image.read() is None
    folder.poll(4)
    (image,) = folder.poll(5)
    with pytest.raises(UsageError, match=r"a\.npy is not an image"):
        image.read()


def test_a_file_that_vanishes_before_it_is_read(tmp_path):
    path = save(tmp_path / "a.npy")
    folder = Folder(str(tmp_path))
    folder.poll(0)
    (image,) = folder.poll(1)
    path.unlink()
    assert image.read() is None


def test_what_is_no_picture_is_left_alone(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "notes.txt").write_text("text")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")  # to open it would wait for a writer
    (tmp_path / "broken.png").symlink_to(tmp_path / "none.png")
    save(tmp_path / "A.npy").rename(tmp_path / "A.NPY")
    folder = Folder(str(tmp_path))
    folder.poll(0)
    assert due(folder, 1) == ["A.NPY"]


class Script:
    """Takes the place of sleeping: does the next of some steps each time, and lets a second go by."""

    def __init__(self, *steps):
        self.steps, self.now, self.slept = iter(steps), 0.0, []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += 1
        next(self.steps)()

    def clock(self):
        return self.now


def interrupt():
    raise KeyboardInterrupt


def watching(monkeypatch, folder, *steps, options=()):
    """Runs the command on a folder; the steps are what happens there. Returns its exit code."""
    script = Script(*steps)
    monkeypatch.setattr(_run, "watch", partial(watch, sleep=script.sleep, clock=script.clock))
    return main(["run", DESCRIBED, "--watch", str(folder), *options])


def nothing():
    pass


def test_the_command(tmp_path, monkeypatch, capsys):
    save(tmp_path / "a.npy")
    steps = nothing, lambda: save(tmp_path / "b.npy"), nothing, interrupt
    assert watching(monkeypatch, tmp_path, *steps, options=["--top", "1"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert [line.split()[0] for line in lines[::2]] == [str(tmp_path / "a.npy"), str(tmp_path / "b.npy"), "2"]
    assert lines[-1].startswith("2 pictures, ")
    assert " a second, median " in lines[-1]


def test_a_damaged_picture_does_not_end_it(tmp_path, monkeypatch, capsys):
    def damage():
        (tmp_path / "bad.npy").write_text("this is no picture")

    steps = damage, nothing, lambda: save(tmp_path / "good.npy"), nothing, interrupt
    assert watching(monkeypatch, tmp_path, *steps) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0].startswith(str(tmp_path / "good.npy"))
    assert captured.out.splitlines()[-1].startswith("1 picture, 1 more could not be read, ")
    (error,) = (line for line in captured.err.splitlines() if "error: " in line)
    assert "bad.npy is not an image in NumPy's format" in error


def test_a_folder_that_vanishes(tmp_path, monkeypatch, capsys):
    (tmp_path / "watched").mkdir()
    save(tmp_path / "watched" / "a.npy")
    steps = nothing, lambda: shutil.rmtree(tmp_path / "watched")
    assert watching(monkeypatch, tmp_path / "watched", *steps) == 1
    captured = capsys.readouterr()
    (error,) = (line for line in captured.err.splitlines() if "error: " in line)
    assert error.endswith(f"the folder {tmp_path / 'watched'} cannot be watched: No such file or directory")


@pytest.mark.parametrize(("name", "message"), [("none", "No such file or directory"), ("file", "Not a directory")])
def test_no_folder(name, message, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    assert watching(monkeypatch, tmp_path / name) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1].endswith(f"error: the folder {tmp_path / name} cannot be watched: {message}")


def test_a_slow_folder_leaves_time_for_others(tmp_path):
    """It rests between two looks as long as a look takes, if that is more than the usual time."""
    script = Script(nothing, interrupt)
    times = iter((0.0, 7.0, 8.0, 8.0))
    images = watch(str(tmp_path), sleep=script.sleep, clock=lambda: next(times))
    with pytest.raises(KeyboardInterrupt):
        next(images)
    assert script.slept == [7.0, 0.1]
