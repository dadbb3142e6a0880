"""What a command leaves on the terminal, as a process of its own: our lines, one on stderr where something is wrong."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

from bduo_runtime import _cli

DESCRIBED = Path(__file__).parent / "files" / "classifier.tflite"
LITERT = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU."


def run(*arguments, program=None, **options):
    command = ["-c", program] if program else ["-m", "bduo_runtime"]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run([sys.executable, *command, *map(str, arguments)], text=True, **options)


@pytest.fixture
def image(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    path = tmp_path / "image.png"
    pillow.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)).save(path)
    return path


def check_error(done, message):
    assert done.returncode == 1
    assert done.stderr.startswith("python -m bduo_runtime: error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_only_our_lines(image):
    for arguments in (["info", DESCRIBED], ["bench", DESCRIBED, "--rounds", "2"], ["run", DESCRIBED, image]):
        done = run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert LITERT not in done.stdout


@pytest.mark.parametrize("arguments", [["-v", "info"], ["info", "-v"], ["info", "--verbose"]])
def test_all_lines(arguments):
    done = run(*arguments, DESCRIBED)
    assert done.returncode == 0
    assert LITERT in done.stderr


def changed(change):
    return tiny.edited(DESCRIBED.read_bytes(), lambda model: change(model, model.subgraphs[0]))


def name_inputs(model, graph):
    graph.tensors[graph.inputs[0]].name = b"input\xff"


def name_output(model, graph):
    graph.tensors[graph.outputs[0]].name = b"\xa3"


def name_signature(model, graph):
    model.signatureDefs[0].inputs[0].name = b"\xfe"


@pytest.mark.parametrize("change", [name_inputs, name_output, name_signature])
@pytest.mark.parametrize("command", ["info", "bench"])
def test_names_that_are_not_utf8(tmp_path, command, change):
    path = tmp_path / "model.tflite"
    path.write_bytes(changed(change))
    check_error(run(command, path), "model.tflite: a name in it is not UTF-8")


def test_an_inner_name_that_is_not_utf8(tmp_path):
    """Nobody asks for it: all is shown."""

    def change(model, graph):
        graph.tensors[graph.operators[0].outputs[0]].name = b"\xff"

    path = tmp_path / "model.tflite"
    path.write_bytes(changed(change))
    for command in ("info", "bench"):
        done = run(command, path)
        assert (done.returncode, done.stderr) == (0, "")
    assert "CONV_2D " in run("info", path).stdout


def no_inputs(model, graph):
    graph.inputs = []


def empty_batch(model, graph):
    graph.tensors[graph.inputs[0]].shape = [0, 8, 10, 3]


def empty_rows(model, graph):
    graph.tensors[graph.inputs[0]].shape = [1, 0, 10, 3]


def no_operators(model, graph):
    graph.operators = []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (no_inputs, "model.tflite has no inputs"),
        (empty_batch, "model.tflite has an input without elements: there is nothing to time"),
        (empty_rows, "model.tflite"),
        (no_operators, "model.tflite has an output that nothing is written to"),
    ],
)
def test_bench_of_nothing(tmp_path, change, message):
    path = tmp_path / "model.tflite"
    path.write_bytes(changed(change))
    check_error(run("bench", path), message)


@pytest.mark.parametrize("threads", ["1000", "257", "0"])
def test_threads(threads):
    done = run("bench", DESCRIBED, "--threads", threads)
    assert done.returncode == 2
    limit = "at least 1" if threads == "0" else "at most 256"
    assert done.stderr.splitlines()[-1].endswith(f"error: argument --threads: must be {limit}")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("library", ["text.so", "libc"])
def test_another_library(tmp_path, library):
    path = tmp_path / "text.so"
    path.write_text("this is no library")
    named = str(path)
    if library == "libc":
        named = next(line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/libc" in line)
    check_error(run("info", DESCRIBED, env=os.environ | {"BDUO_RUNTIME_LIBRARY": named}), "is not the delegate")


@pytest.mark.parametrize("error", [MemoryError(), MemoryError("Unable to allocate 7 TiB"), np.zeros])
def test_out_of_memory(error, monkeypatch, capsys):
    def inputs(_):
        if error is np.zeros:
            np.zeros(1 << 60, np.uint8)
        raise error

    monkeypatch.setattr("bduo_runtime._operators.random_inputs", inputs)
    assert _cli.main(["bench", str(DESCRIBED)]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("python -m")]
    assert len(lines) == 1
    assert lines[0].startswith("python -m bduo_runtime: error: not enough memory")


@pytest.mark.parametrize(("arguments", "codes"), [(["info", DESCRIBED], {141}), (["--help"], {0, 141})])
def test_a_closed_pipe(arguments, codes):
    """As of `| head`: silent, with the exit code of a command that SIGPIPE ends; argparse may pass over it itself."""
    read, write = os.pipe()
    os.close(read)
    done = run(*arguments, stdout=write)
    os.close(write)
    assert done.stderr == ""
    assert done.returncode in codes


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk():
    with open("/dev/full", "w") as full:
        check_error(run("info", DESCRIBED, stdout=full), "No space left on device")


def test_closed_streams():
    command = f'"{sys.executable}" -m bduo_runtime'
    for line, code in ((f'{command} info "{DESCRIBED}" >&-', 0), (f"{command} info none.tflite 2>&-", 1)):
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_interrupted():
    """Where Ctrl+C strikes while the model runs."""
    program = f"""
import os, runpy, signal, sys
from bduo_runtime import _operators
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may have been told to ignore it
_operators.random_inputs = lambda _: os.kill(os.getpid(), signal.{signal.SIGINT.name})
sys.argv[1:] = ["bench", {str(DESCRIBED)!r}]
runpy.run_module("bduo_runtime", None, "__main__")
"""
    done = run(program=program)
    assert (done.returncode, done.stderr) == (130, "python -m bduo_runtime: interrupted\n")


def test_interrupting_a_watch(tmp_path):
    """It is how one ends it: a summary, and no error."""
    program = f"""
import functools, os, runpy, signal, sys
from bduo_runtime import _run
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may have been told to ignore it
interrupt = lambda _: os.kill(os.getpid(), signal.{signal.SIGINT.name})
_run.watch = functools.partial(_run.watch, sleep=interrupt)
sys.argv[1:] = ["run", {str(DESCRIBED)!r}, "--watch", {str(tmp_path)!r}]
runpy.run_module("bduo_runtime", None, "__main__")
"""
    done = run(program=program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 pictures, 0.0 a second\n", "")


def test_a_fault_of_our_own():
    """A traceback, and with it what LiteRT said."""
    program = f"""
import runpy, sys
from bduo_runtime import _operators
def fault(path):
    raise KeyError("a fault")
_operators.model_operators = fault
sys.argv[1:] = ["info", {str(DESCRIBED)!r}]
runpy.run_module("bduo_runtime", None, "__main__")
"""
    done = run(program=program)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.index("KeyError: 'a fault'") < done.stderr.index(LITERT)


def test_a_crash():
    """The Python lines that led to it, whatever LiteRT's C++ did."""
    program = f"""
import faulthandler, runpy, sys
from bduo_runtime import _operators
_operators.model_operators = lambda _: faulthandler._sigsegv()
sys.argv[1:] = ["info", {str(DESCRIBED)!r}]
runpy.run_module("bduo_runtime", None, "__main__")
"""
    done = run(program=program)
    assert done.returncode == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in done.stderr
    assert "_cli.py" in done.stderr


def test_characters_that_the_terminal_lacks(image, tmp_path):
    """Of a class ("émeu") and of a file: shown by their numbers."""
    path = os.fsencode(tmp_path) + b"/\xff.png"
    with open(path, "wb") as file:
        file.write(image.read_bytes())
    done = run("run", DESCRIBED, os.fsdecode(path), env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\xe9meu" in done.stdout
    assert r"\udcff.png" in done.stdout


def test_without_a_place_for_files(tmp_path):
    """What LiteRT says is lost then, and nothing else."""
    program = f"""
import runpy, sys, tempfile
def none():
    raise FileNotFoundError(2, "No usable temporary directory")
tempfile.TemporaryFile = none
sys.argv[1:] = ["info", {str(DESCRIBED)!r}]
runpy.run_module("bduo_runtime", None, "__main__")
"""
    done = run(program=program)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Metadata: " in done.stdout
