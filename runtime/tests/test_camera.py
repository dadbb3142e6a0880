"""Frames of cameras and videos: with captures that the tests make up, and with OpenCV where it is installed."""

import json
import sys
import threading
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bduo_runtime import Interpreter, _camera, _run
from bduo_runtime._cli import main
from bduo_runtime._messages import UsageError
from bduo_runtime._source import Source

DESCRIBED = str(Path(__file__).parent / "files" / "classifier.tflite")


def picture(number):
    """A frame as OpenCV gives it, blue first, of the model's size."""
    return np.random.default_rng(number).integers(0, 256, (8, 10, 3), np.uint8)


class Video:
    """A capture of so many frames."""

    def __init__(self, count, opened=True):
        self.count, self.opened, self.given, self.released = count, opened, 0, False

    def isOpened(self):  # noqa: N802
        return self.opened

    def read(self):
        if self.given == self.count:
            return False, None
        self.given += 1
        return True, picture(self.given)

    def release(self):
        self.released = True


class Camera(Video):
    """A capture that gives a frame whenever the test lets it, and tells when it has given it."""

    def __init__(self):
        super().__init__(-1)
        self.allowed, self.asked = threading.Semaphore(0), threading.Semaphore(0)
        self.error = None

    def read(self):
        self.asked.release()
        self.allowed.acquire()
        if self.error:
            raise self.error
        return super().read()

    def give(self, count):
        """Lets so many frames come; returns when the last has been taken, and one more is asked for."""
        for _ in range(count):
            self.allowed.release()
            assert self.asked.acquire(timeout=60)

    def end(self):
        self.count = self.given
        self.allowed.release()


@pytest.fixture
def opencv(monkeypatch):
    """A module in OpenCV's place, whose captures are in `made` by what they are opened with."""
    module: Any = types.ModuleType("cv2")
    module.made = {}
    module.VideoCapture = lambda name: module.made[name]
    module.error = type("error", (Exception,), {})
    monkeypatch.setitem(sys.modules, "cv2", module)
    return module


def test_every_frame_of_a_video():
    capture = Video(5)
    images = list(_camera.every_frame(capture, "clip.avi"))
    assert [image.title for image in images] == [f"frame {i}" for i in range(1, 6)]
    assert [dict(image.origin) for image in images] == [{"file": "clip.avi", "frame": i} for i in range(1, 6)]
    for i, image in enumerate(images, 1):
        np.testing.assert_array_equal(image.read(), picture(i)[..., ::-1])
    assert capture.released


def test_a_video_without_frames():
    with pytest.raises(UsageError, match=r"clip\.avi has no frame that OpenCV can read"):
        list(_camera.every_frame(Video(0), "clip.avi"))


def test_a_grey_frame():
    capture = Video(1)
    capture.read = lambda: (True, picture(0)[..., 0])
    image = next(_camera.every_frame(capture, "clip.avi"))
    np.testing.assert_array_equal(image.read(), picture(0)[..., :1])


def test_the_newest_frame_of_a_camera():
    capture = Camera()
    images = _camera.newest_frames(capture, "0")
    started = threading.Thread(target=lambda: capture.asked.acquire() and capture.give(1))
    started.start()
    assert next(images).origin == {"camera": "0", "frame": 1}
    started.join()
    capture.give(3)
    image = next(images)
    assert image.origin["frame"] == 4, "the network was slower: two frames are passed over"
    np.testing.assert_array_equal(image.read(), picture(4)[..., ::-1])
    capture.give(1)
    assert next(images).origin["frame"] == 5
    capture.end()
    with pytest.raises(UsageError, match="camera 0 gives no more frames"):
        next(images)
    assert capture.released


def test_a_frame_is_given_only_once():
    """A network that is faster than the camera waits for the next frame."""
    capture = Camera()
    images = _camera.newest_frames(capture, "0")
    numbers = []

    def consume():
        numbers.extend(image.origin["frame"] for image in images)

    def consume_all():
        with pytest.raises(UsageError):
            consume()

    consumer = threading.Thread(target=consume_all)
    consumer.start()
    assert capture.asked.acquire(timeout=60)
    capture.give(20)
    capture.end()
    consumer.join(60)
    assert numbers[-1] == 20
    assert numbers == sorted(set(numbers))


def test_a_fault_in_the_thread_is_raised_where_frames_are_wanted():
    capture = Camera()
    capture.error = RuntimeError("a fault")
    capture.allowed.release()
    with pytest.raises(RuntimeError, match="a fault"):
        next(_camera.newest_frames(capture, "0"))
    assert capture.released


def test_a_camera_that_hangs_is_left_alone(monkeypatch):
    """To release it beside a read that has not returned may crash."""
    monkeypatch.setattr(_camera, "_STOP_SECONDS", 0)
    capture = Camera()
    images = _camera.newest_frames(capture, "0")
    starter = threading.Thread(target=lambda: capture.asked.acquire() and capture.give(1))
    starter.start()
    next(images)
    starter.join()
    images.close()
    assert not capture.released
    capture.end()


def test_a_video_in_the_command(opencv, tmp_path, capsys):
    path = tmp_path / "clip.avi"
    path.touch()
    opencv.made[str(path)] = Video(3)
    assert main(["run", DESCRIBED, "--video", str(path), "--json", "--top", "2"]) == 0
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    interpreter = Interpreter(DESCRIBED)
    for number, line in enumerate(lines, 1):
        assert (line["file"], line["frame"]) == (str(path), number)
        assert line["classes"] == [vars(p) for p in interpreter.classify(picture(number)[..., ::-1], top=2)]
    assert captured.err.splitlines()[-1].startswith("python -m bduo_runtime: 3 frames, ")


def test_a_camera_in_the_command(opencv, capsys):
    """Its end, such as a plug that is pulled, is an error after the summary."""
    opencv.made[0] = Video(3)
    assert main(["run", DESCRIBED, "--camera", "0"]) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-2].startswith("frame 3  ")
    assert " a second, median " in captured.out.splitlines()[-1]
    assert captured.err.splitlines()[-1] == "python -m bduo_runtime: error: camera 0 gives no more frames"


def interrupted(count):
    """Frames, then Ctrl+C."""
    yield from _camera.every_frame(Video(count), "clip.avi")
    raise KeyboardInterrupt


def test_interrupting_a_camera_is_its_end(capsys):
    interpreter = Interpreter(DESCRIBED)
    assert _run.classify(interpreter, Source(interrupted(2), "frame", brief=True), False, 1) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("2 frames, ")


def test_interrupting_a_video_is_not(opencv, tmp_path, monkeypatch, capsys):
    path = tmp_path / "clip.avi"
    path.touch()
    monkeypatch.setattr(_camera, "video", lambda name: interrupted(2))
    assert main(["run", DESCRIBED, "--video", str(path)]) == 130
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1].startswith("2 frames, ")
    assert captured.err.splitlines()[-1] == "python -m bduo_runtime: interrupted"


def check_error(arguments, message, capsys):
    assert main(["run", DESCRIBED, *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = (line for line in captured.err.splitlines() if "error: " in line)
    assert line == f"python -m bduo_runtime: error: {message}"


def test_what_cannot_be_opened(opencv, tmp_path, capsys):
    (tmp_path / "text").write_text("this is no video")
    opencv.made |= {7: Video(0, opened=False), "/dev/none": Video(0, opened=False)}
    opencv.made[str(tmp_path / "text")] = Video(0, opened=False)
    check_error(["--camera", "7"], "camera 7 cannot be opened", capsys)
    check_error(["--camera", "/dev/none"], "camera /dev/none cannot be opened", capsys)
    check_error(["--video", str(tmp_path / "text")], f"{tmp_path}/text is not a video that OpenCV can read", capsys)
    check_error(["--video", str(tmp_path / "none")], f"{tmp_path}/none: No such file or directory", capsys)


def test_without_opencv(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cv2", None)
    for arguments in (["--camera", "0"], ["--video", DESCRIBED], ["--camera", "0", "--show"]):
        check_error(arguments, "a camera or a video needs OpenCV: pip install 'bduo-runtime[camera]'", capsys)


def test_an_opencv_that_lacks_a_library(tmp_path, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    check_error(["--camera", "0"], "OpenCV cannot be imported: libGL.so.1: cannot open shared object file", capsys)


def test_a_window(opencv, tmp_path, monkeypatch, capsys):
    """It shows the frames as they came, blue first, and ends the command when q is pressed."""
    path = tmp_path / "clip.avi"
    path.touch()
    opencv.made[str(path)] = Video(9)
    shown, texts, keys = [], [], iter((-1, -1, ord("q")))
    opencv.namedWindow = lambda name: None
    opencv.imshow = lambda name, frame: shown.append(frame)
    opencv.putText = lambda frame, text, *others: texts.append(text)
    opencv.waitKey = lambda milliseconds: next(keys)
    opencv.getWindowProperty = lambda name, prop: 1.0
    opencv.FONT_HERSHEY_SIMPLEX = opencv.LINE_AA = opencv.WND_PROP_VISIBLE = 0
    monkeypatch.setenv("DISPLAY", ":0")
    assert main(["run", DESCRIBED, "--video", str(path), "--show"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("3 frames, ")
    for number, frame in enumerate(shown, 1):
        np.testing.assert_array_equal(frame, picture(number))
    assert all(text.isascii() and text.endswith("%") for text in texts), "OpenCV's fonts have no other letters"


def test_no_window(opencv, monkeypatch, capsys):
    def none(name):
        raise opencv.error("The function is not implemented")

    opencv.namedWindow = none
    monkeypatch.setenv("DISPLAY", ":0")
    check_error(
        ["--camera", "0", "--show"],
        "--show needs an OpenCV with windows: pip uninstall opencv-python-headless, then pip install opencv-python",
        capsys,
    )
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    check_error(
        ["--camera", "0", "--show"],
        "--show needs a display, and the variables DISPLAY and WAYLAND_DISPLAY name none",
        capsys,
    )


def test_a_video_that_opencv_wrote(tmp_path, capsys):
    """Red frames, then blue ones: the model sees them as they are."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    pytest.importorskip("PIL.Image")  # the frames are resized
    path = str(tmp_path / "clip.avi")
    video = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    red, blue = np.zeros((2, 48, 64, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    for number in range(40):
        video.write((red if number < 20 else blue)[..., ::-1])
    video.release()
    assert main(["run", DESCRIBED, "--video", path, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["frame"] for line in lines] == list(range(1, 41))
    interpreter = Interpreter(DESCRIBED)
    for line, frame in ((lines[0], red), (lines[-1], blue)):
        wanted = {p.label: p.probability for p in interpreter.classify(frame)}
        assert {found["label"]: found["probability"] for found in line["classes"]} == pytest.approx(wanted, abs=0.05)
