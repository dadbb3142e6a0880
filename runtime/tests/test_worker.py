"""examples/worker.py as it stands: every frame has its outcome, in the end and whatever goes wrong on the way."""

import importlib.util
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import bduo_runtime

SCRIPT = Path(__file__).parents[2] / "examples" / "worker.py"
DESCRIBED = str(Path(__file__).parent / "files" / "classifier.tflite")

specification = importlib.util.spec_from_file_location("worker", SCRIPT)
worker = importlib.util.module_from_spec(specification)
specification.loader.exec_module(worker)


def frames(count):
    return np.random.default_rng(0).integers(0, 256, (count, 8, 10, 3), np.uint8)


def test_every_frame_has_its_own_result():
    pictures, outcomes = frames(300), {}
    with worker.Workers(DESCRIBED, 3, outcomes.__setitem__, waiting=4) as workers:
        for number, picture in enumerate(pictures):
            workers.put(number, picture)
    interpreter = bduo_runtime.Interpreter(DESCRIBED)
    assert outcomes == {number: interpreter.classify(picture) for number, picture in enumerate(pictures)}


def test_an_error_of_one_frame_does_not_stop_it(caplog):
    """Neither one that the frame makes, in all threads, nor one of what is called with the result."""
    outcomes = {}

    def done(key, outcome):
        if key == 7:
            raise KeyError("a fault")
        outcomes[key] = outcome

    with worker.Workers(DESCRIBED, 2, done, waiting=2) as workers:
        for number, picture in enumerate(frames(40)):
            workers.put(number, picture if number % 4 else picture.astype(float))
    assert sorted(outcomes) == [number for number in range(40) if number != 7]
    errors = [number for number, outcome in outcomes.items() if isinstance(outcome, ValueError)]
    assert sorted(errors) == list(range(0, 40, 4))
    assert "frame 7: its result was lost" in caplog.text


def test_no_more_frames_wait_than_are_allowed():
    """Who hands over more has to wait: of six frames one is being worked on, two wait, and one is not taken."""
    free, taken, put = threading.Event(), threading.Semaphore(0), []

    def done(key, outcome):
        taken.release()
        assert free.wait(60)

    workers = worker.Workers(DESCRIBED, 1, done, waiting=2)
    workers.put(0, frames(1)[0])
    assert taken.acquire(timeout=60)
    workers.put(1, frames(1)[0])
    workers.put(2, frames(1)[0])

    def put_more():
        for number in (3, 4, 5):
            workers.put(number, frames(1)[0])
            put.append(number)

    more = threading.Thread(target=put_more)
    more.start()
    assert workers._frames.full()
    assert put == []
    free.set()
    more.join(60)
    workers.close()
    assert put == [3, 4, 5]


def test_a_model_that_cannot_be_run_starts_no_thread(tmp_path):
    (tmp_path / "model.tflite").write_text("this is no model")
    before = threading.active_count()
    with pytest.raises(bduo_runtime.ModelError):
        worker.Workers(str(tmp_path / "model.tflite"), 2, print)
    assert threading.active_count() == before


def test_the_script(capsys, monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    arguments = [DESCRIBED, "--threads", "2", "--frames", "400", "--broken", "50", "--every", "100"]
    assert worker.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    found = [re.match(r" *(\d+) frames, (\d+) errors, +[\d.]+ a second, ", line).groups() for line in lines]
    assert [int(count) for count, _ in found] == [0, 100, 200, 300, 400, 400]
    assert found[-1] == ("400", "8")


def test_a_clean_end():
    """SIGTERM, as of a service manager: what was accepted is classified, and the threads end."""
    command = [sys.executable, str(SCRIPT), DESCRIBED, "--frames", "1000000000", "--every", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        process.stdout.readline()
        process.stdout.readline()  # it is at work
        process.terminate()
        rest = process.stdout.read()
    assert process.returncode == 130
    assert " frames, 0 errors, " in rest.splitlines()[-1]
