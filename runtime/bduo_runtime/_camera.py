"""Frames of a camera or a video file through OpenCV, which is imported only here and only when it is asked for."""

import os
import sys
import threading
from typing import Any

import numpy as np

from bduo_runtime._messages import UsageError
from bduo_runtime._source import Image, Images

__all__ = ["Window", "camera", "every_frame", "newest_frames", "video"]

_STOP_SECONDS = 2.0
"""So long the end of the command waits for a camera that does not give the frame it was asked for."""


def camera(name: str) -> Images:
    """The frames of a camera. The camera is opened here, before the first frame is asked for.

    Args:
        name: the number of the camera, or what else OpenCV can open: a device or the address of a stream.

    Raises:
        UsageError: the camera cannot be opened, or gives no more frames.
        ImportError: OpenCV is not installed.
    """
    cv2 = _opencv()
    capture = cv2.VideoCapture(int(name) if name.isdecimal() else name)
    if not capture.isOpened():
        raise UsageError(f"camera {name} cannot be opened")
    return newest_frames(capture, name)


def video(name: str) -> Images:
    """The frames of a video file. The file is opened here, before the first frame is asked for.

    Args:
        name: the file.

    Raises:
        UsageError: the file is no video that OpenCV can read.
        OSError: there is no such file, or it cannot be read.
        ImportError: OpenCV is not installed.
    """
    cv2 = _opencv()
    with open(name, "rb"):  # OpenCV would not say why it cannot
        pass
    capture = cv2.VideoCapture(name)
    if not capture.isOpened():
        raise UsageError(f"{name} is not a video that OpenCV can read")
    return every_frame(capture, name)


def every_frame(capture: Any, name: str) -> Images:
    """Each frame of a video.

    Args:
        capture: cv2.VideoCapture, or an object with its methods `read` and `release`.
        name: the name of the file.

    Raises:
        UsageError: there is no frame at all.
    """
    number = 0
    try:
        while True:
            found, frame = capture.read()
            if not found:
                break
            number += 1
            yield _image(f"frame {number}", {"file": name, "frame": number}, frame)
    finally:
        capture.release()
    if not number:
        raise UsageError(f"{name} has no frame that OpenCV can read")


def newest_frames(capture: Any, name: str) -> Images:
    """The newest frame of a camera, whenever one is asked for; each at most once.

    A thread takes every frame that the camera gives, so that none waits in the driver and grows old there while the
    network is slower than the camera. Frames are numbered as the camera gave them: a gap is what was passed over.

    Args:
        capture: cv2.VideoCapture, or an object with its methods `read` and `release`.
        name: the name of the camera.

    Raises:
        UsageError: the camera gives no more frames.
    """
    grabber = _Grabber(capture)
    try:
        number = 0
        while True:
            number, frame = grabber.newest_after(number)
            if frame is None:
                raise UsageError(f"camera {name} gives no more frames")
            yield _image(f"frame {number}", {"camera": name, "frame": number}, frame)
    finally:
        grabber.stop()


class _Grabber:
    """Takes the frames of a camera in a thread of its own and keeps the last of them."""

    def __init__(self, capture: Any) -> None:
        self._capture = capture
        self._changed = threading.Condition()
        self._number = 0
        self._frame: np.ndarray | None = None
        self._ended = self._stopped = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._grab, name="camera", daemon=True)
        self._thread.start()

    def _grab(self) -> None:
        try:
            while not self._stopped:
                found, frame = self._capture.read()
                if not found:
                    break
                with self._changed:
                    self._number, self._frame = self._number + 1, frame
                    self._changed.notify()
        except Exception as e:  # is raised again where somebody waits
            self._error = e
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()

    def newest_after(self, number: int) -> tuple[int, np.ndarray | None]:
        """Waits for a frame after that number; returns its own number and it, or None if there will be none."""
        with self._changed:
            # Waiting in turns lets Ctrl+C through on Windows too.
            while not self._changed.wait_for(lambda: self._number > number or self._ended, timeout=0.5):
                pass
            if self._error:
                raise self._error
            return self._number, self._frame if self._number > number else None

    def stop(self) -> None:
        """Ends the thread and releases the camera, unless the thread still waits for a frame of it."""
        self._stopped = True
        self._thread.join(_STOP_SECONDS)
        if not self._thread.is_alive():
            self._capture.release()


class Window:
    """A window that shows frames with what they were taken for.

    Raises:
        UsageError: OpenCV was built without windows, or there is no display.
        ImportError: OpenCV is not installed.
    """

    _NAME = "bduo"
    _ENDS = (ord("q"), 27)  # and the key Escape

    def __init__(self) -> None:
        self._cv2 = _opencv()
        # OpenCV's window library would end the process.
        if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise UsageError("--show needs a display, and the variables DISPLAY and WAYLAND_DISPLAY name none")
        try:
            self._cv2.namedWindow(self._NAME)
        except self._cv2.error:
            raise UsageError(
                "--show needs an OpenCV with windows: pip uninstall opencv-python-headless, then pip install "
                "opencv-python"
            ) from None

    def draw(self, frame: np.ndarray, text: str) -> bool:
        """Shows a frame, red first, and a text; returns whether to go on: not after q, Escape or a closed window."""
        cv2 = self._cv2
        shown = np.ascontiguousarray(frame[..., ::-1])
        plain = text.encode("ascii", "replace").decode()  # OpenCV's fonts have no other letters
        for colour, thickness in (((0, 0, 0), 4), ((255, 255, 255), 1)):
            cv2.putText(shown, plain, (10, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.8, colour, thickness, cv2.LINE_AA)
        cv2.imshow(self._NAME, shown)
        key = cv2.waitKey(1)
        return key not in self._ENDS and cv2.getWindowProperty(self._NAME, cv2.WND_PROP_VISIBLE) >= 1


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as e:
        if e.name != "cv2":  # it is installed, but something that it needs is not
            raise ImportError(f"OpenCV cannot be imported: {e}") from None
        raise ImportError("a camera or a video needs OpenCV: pip install 'bduo-runtime[camera]'") from None
    return cv2


def _image(title: str, origin: dict[str, str | int], frame: np.ndarray) -> Image:
    """A frame of OpenCV's, which has blue first, as an image."""
    return Image(title, origin, lambda: frame[..., ::-1] if frame.ndim == 3 else frame[..., None])
