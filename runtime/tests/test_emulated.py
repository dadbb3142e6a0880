"""These tests again on an emulated Raspberry Pi 4 and 5 (runtime/emulation), with the wheel that users install."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_native import TESTS, build
from test_parity import ISAS

ROOT = Path(__file__).parents[2]
PI = ROOT / ".venv" / "pi"
README = (ROOT / "README.md").read_text()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (PI / "ready").exists(), reason="no emulated Raspberry Pi: make emulation"),
]


def run(pi: str, *command: object, folder: Path, **variables: str) -> str:
    """What a command prints on the emulated Raspberry Pi `pi`."""
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(PI / "wheels"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "BDUO"))} | offline | variables
    command = (PI / "bin" / pi, *command)
    done = subprocess.run(list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return done.stdout


# Tests that start Python anew take an emulator half a minute each. What commands show is the same on every machine.
# Hundreds of threads are not for an emulator either: once in three runs it waited forever.
SUITE = ["-m", "not slow and not starts_python", "-p", "no:cacheprovider"]
SUITE += ["-k", "not test_wrong_threads and not test_an_interpreter_for_several_threads and not test_mutated_files"]
for isa in set(ISAS) - {"portable", "neon"}:
    SUITE += ["--deselect", f"runtime/tests/test_parity.py::test_each_instruction_set[{isa}]"]
# What depends on the machine. Of the two Raspberry Pis, what differs is what the processor can do.
KERNELS = [f"runtime/tests/test_{name}.py" for name in ("parity", "fusion")]
FILES = {
    "pi4": [*KERNELS, *(f"runtime/tests/test_{n}.py" for n in ("interpreter", "images", "scores"))],
    "pi5": KERNELS,
}
LEAST = {"pi4": 100, "pi5": 25}


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the C++ tests, cross-compiled."""
    folder = tmp_path_factory.mktemp("native")
    return build(folder, f"-DCMAKE_TOOLCHAIN_FILE={PI / 'toolchain.cmake'}", targets=TESTS)


@pytest.mark.parametrize("name", TESTS)
@pytest.mark.parametrize("pi", ["pi4", "pi5"])
def test_native(native, pi, name):
    # QEMU itself ends with a failed assertion where the child of a process of several threads starts one.
    printed = run(pi, native / "tests/cpp" / name, folder=native, BDUO_TEST_NO_FORKS="1")
    assert ", 0 failed" in printed
    if name in ("conv_test", "bit_gemm_test", "stages_test"):
        assert "SKIPPED" not in printed, "every kernel of the list runs on a Raspberry Pi"


@pytest.fixture(scope="module")
def python(wheel) -> Path:
    """The Raspberry Pi's Python, with the wheel in it."""
    path = PI / "python/bin/python"
    install = ("-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps")
    run("pi4", path, *install, wheel("manylinux-aarch64"), folder=ROOT)
    return path


@pytest.fixture(scope="module")
def recording(recorded: Path) -> Path:
    """The folder of all models and outputs that the tests ask for: they ran here before."""
    options = [*SUITE, "-q"]
    environment = os.environ | {"BDUO_RUNTIME_RECORDED": str(recorded)}
    subprocess.run([sys.executable, "-m", "pytest", *FILES["pi4"], *options], cwd=ROOT, env=environment, check=True)
    return recorded


@pytest.mark.parametrize("pi", FILES)
def test_suite(python, recording, pi):
    options = [*SUITE, "-rs"]
    variables = {"BDUO_RUNTIME_RECORDED": str(recording)}
    printed = run(pi, python, "-m", "pytest", *FILES[pi], *options, folder=ROOT, **variables)
    assert "failed" not in printed
    assert int(re.search(r"(\d+) passed", printed)[1]) >= LEAST[pi], printed
    skipped = re.findall(r"^SKIPPED .*?: (.*)$", printed, re.MULTILINE)
    assert set(skipped) <= {f"{program} is not installed" for program in ("nm", "CMake", "OpenCV")}, printed


def test_readme(wheel, converted, tmp_path):
    """README's commands for a Raspberry Pi, as they stand there; only the files come from here."""
    image = pytest.importorskip("PIL.Image")
    path = wheel("manylinux-aarch64")
    shutil.copy(path, tmp_path)
    shutil.copy(converted(("classifier",), 0, (10, 12, 3)), tmp_path / "model.tflite")
    image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)).save(tmp_path / "photo.jpg")
    section = README.split("## On a Raspberry Pi")[1].split("\n## ")[0]
    _, commands = section.split("On the Raspberry Pi")
    commands = re.findall(r"^ {4}(\S.*)$", commands, re.MULTILINE)
    assert len(commands) == 2, "two commands from a bare system to a classified image"
    printed = [run("pi4", "sh", "-c", command, folder=tmp_path) for command in commands]
    assert re.fullmatch(r"photo\.jpg +[\d.]+ ms\n( +[\d.]+% .*\n){3}", printed[-1]), printed


def test_photographs(python, tmp_path):
    """From a folder of pictures to their labels, in commands only: the Raspberry Pi says what this machine says."""
    pytest.importorskip("tensorflow")
    pytest.importorskip("PIL.Image")
    environment = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    environment["PYTHONPATH"] = str(ROOT)
    command = ["sh", str(ROOT / "examples" / "photographs.sh"), "drawn", "--epochs", "4", "--fine-tune-epochs", "2"]
    subprocess.run([*command, "--batch-size", "32"], cwd=tmp_path, env=environment, check=True)
    run("pi4", python, "-m", "pip", "install", "--quiet", "pillow", folder=ROOT)
    pictures = sorted(str(p.relative_to(tmp_path)) for p in (tmp_path / "drawn").rglob("*.jpg"))[::4]
    classify = ["-m", "bduo_runtime", "run", "runs/photographs/run/model.tflite", *pictures, "--json"]
    here = subprocess.run([sys.executable, *classify], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    there = run("pi4", python, *classify, folder=tmp_path)
    found = [[json.loads(line) for line in printed.splitlines()] for printed in (here, there)]
    assert len(found[0]) == len(found[1]) == len(pictures)
    for ours, theirs in zip(*found, strict=True):
        assert ours["file"] == theirs["file"]
        assert [c["label"] for c in ours["classes"]] == [c["label"] for c in theirs["classes"]]
        for a, b in zip(ours["classes"], theirs["classes"], strict=True):
            assert abs(a["probability"] - b["probability"]) < 0.01
    correct = [ours["classes"][0]["label"] == ours["file"].split("/")[1] for ours in found[0]]
    assert sum(correct) > 0.8 * len(correct)
