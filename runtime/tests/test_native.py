"""The C++ tests: built here and run, also with sanitizers, and a short fuzz of mutated files (runtime/fuzz)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RUNTIME = Path(__file__).parents[1]
# CMake and Ninja are installed beside Python.
ENVIRONMENT = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def build(folder: Path, *options: str, targets: tuple[str, ...] = ("all",)) -> Path:
    run(folder, "cmake", "-S", str(RUNTIME), "-B", ".", "-G", "Ninja", "-DBDUO_RUNTIME_DEVELOP=ON", *options)
    run(folder, "cmake", "--build", ".", "--target", *targets)
    return folder


NAMES = (
    "shape",
    "dispatch",
    "bit_gemm",
    "stages",
    "bits",
    "thread_pool",
    "conv",
    "folded_thresholds",
    "operators",
    "fusion",
)
TESTS = tuple(f"{name}_test" for name in NAMES)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cmake", path=ENVIRONMENT["PATH"]) is None, reason="CMake is not installed")
def test_native(tmp_path):
    """Kernels, stages and convolutions against loops, every instruction set that the machine has; the graph over it."""
    run(build(tmp_path, targets=TESTS), "ctest", "--output-on-failure", "--exclude-regex", "fuzz")


@pytest.mark.slow
@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_sanitized(tmp_path, sanitizers):
    build(tmp_path, f"-DBDUO_RUNTIME_SANITIZE={sanitizers}", "-DCMAKE_BUILD_TYPE=RelWithDebInfo", targets=TESTS)
    for name in TESTS:
        # The argument is for those that sweep many sizes: every twentieth.
        assert ", 0 failed" in run(tmp_path, f"tests/cpp/{name}", "20")


@pytest.mark.slow
def test_fuzz(tmp_path):
    """Files that once crashed, and mutated ones. Clang's libFuzzer searches better: docs/runtime.md."""
    targets = ("fuzz_flexbuffer", "fuzz_delegate")
    run(build(tmp_path, targets=targets), "ctest", "--output-on-failure", "--tests-regex", "fuzz")
    for name, runs in zip(targets, (300_000, 20_000), strict=True):
        corpus = RUNTIME / "fuzz" / "corpus" / name.removeprefix("fuzz_")
        run(tmp_path, f"fuzz/{name}", f"-runs={runs}", "-seed=2", str(corpus))
