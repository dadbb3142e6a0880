"""`bduo_terminal.hide_others` in processes of their own: what is hidden, and that nothing that matters is."""

import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios

import pytest

CHATTER = """
import logging, os, subprocess, sys, warnings
import bduo_terminal

bduo_terminal.hide_others(sys.argv[1:])
os.write(2, b"native\\n")
subprocess.run(["sh", "-c", "echo child >&2"])
warnings.warn("advice")
logging.getLogger("absl").warning("no such folder")
logging.getLogger("larq.layers_base").warning("kernel constraint")
logging.getLogger("tensorflow").error("a true error")
print("result")
print("mine", file=sys.stderr)
"""
HIDDEN = ("native", "child", "advice", "absl: no such folder")


def _run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


def test_only_what_is_ours_and_errors_show() -> None:
    done = _run(CHATTER, "--validation", "0.1", "network", "--vv")
    assert (done.returncode, done.stdout) == (0, "result\n")
    assert done.stderr == "tensorflow: a true error\nmine\n"


@pytest.mark.parametrize("option", ["-v", "--verbose", "--verb"])
def test_verbose_shows_all(option: str) -> None:
    done = _run(CHATTER, "network", option)
    assert done.stdout == "result\n"
    expected = ("native", "child", "advice", "no such folder", "kernel constraint", "a true error", "mine")
    assert all(text in done.stderr for text in expected)


def test_an_exception_is_followed_by_what_was_hidden() -> None:
    done = _run(CHATTER + "raise ValueError('inside')")
    assert done.returncode == 1
    traceback, _, tail = done.stderr.partition("ValueError: inside\n")
    assert "Traceback" in traceback
    assert not any(f"\n{text}\n" in traceback for text in HIDDEN)
    assert tail.startswith("\nLast of what was hidden (--verbose shows all of it):\n")
    assert all(text in tail for text in HIDDEN)


def test_of_much_that_was_hidden_the_last_lines_show() -> None:
    lines = "for i in range(9999): os.write(2, b'line %d\\n' % i)\n"
    tail = _run(CHATTER + lines + "raise ValueError('inside')").stderr.partition("of it):\n")[2].splitlines()
    assert tail == [f"line {i}" for i in range(9999 - 20, 9999)]


@pytest.mark.parametrize("end", ["raise KeyboardInterrupt", "sys.exit('in one line')"])
def test_what_is_no_fault_shows_no_tail(end: str) -> None:
    error = _run(CHATTER + end).stderr
    assert end.split()[-1].strip("')") in error
    assert not any(f"{text}\n" in error for text in HIDDEN)


def test_a_fatal_signal_is_not_silent() -> None:
    done = _run(CHATTER + "os.abort()")
    assert done.returncode == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in done.stderr


def test_an_exception_of_a_child_process_shows() -> None:
    pool = "import multiprocessing\nwith multiprocessing.get_context('spawn').Pool(1) as pool: pool.map(int, ['x'])"
    done = _run(CHATTER + pool)
    assert done.returncode == 1
    assert "ValueError: invalid literal for int() with base 10: 'x'\n" in done.stderr


def test_a_terminal_stays_one() -> None:
    """And a progress bar is drawn there."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    code = CHATTER + "from tqdm import tqdm\nprint(sys.stderr.isatty())\nfor _ in tqdm(range(3)): pass\n"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=theirs, text=True)
    os.close(theirs)
    shown = os.read(ours, 2**16).decode()
    os.close(ours)
    assert done.stdout == "result\nTrue\n"
    assert "3/3" in shown
    assert "native" not in shown


def test_without_a_standard_error() -> None:
    command = [
        "sh",
        "-c",
        '"$0" -c "$1" 2>&-',
        sys.executable,
        "import bduo_terminal\nbduo_terminal.hide_others([])\nprint(1)",
    ]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "1\n"


def test_imports_no_tensorflow() -> None:
    done = _run("import sys, bduo_terminal; sys.exit('tensorflow' in sys.modules or 'numpy' in sys.modules)")
    assert done.returncode == 0
