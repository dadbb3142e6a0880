"""The C++ tests: built here and run, also with sanitizers, and a short fuzz of mutated files (runtime/fuzz)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUNTIME = Path(__file__).parents[1]
# CMake and Ninja stand beside Python.
ENVIRONMENT = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def build(folder: Path, *options: str, targets: tuple[str, ...] = ("all",)) -> Path:
    run(folder, "cmake", "-S", str(RUNTIME), "-B", ".", "-G", "Ninja", "-DBDUO_RUNTIME_DEVELOP=ON", *options)
    run(folder, "cmake", "--build", ".", "--target", *targets)
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(tmp_path_factory.mktemp("native"))


def test_everything(built):
    """All of ctest: kernels and convolutions against loops, and fuzz targets with AddressSanitizer and UBSan."""
    run(built, "ctest", "--output-on-failure")


@pytest.mark.slow
@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_sanitized(tmp_path, sanitizers):
    names = [f"{name}_test" for name in ("shape", "stages", "bits", "thread_pool", "conv")]
    options = [f"-DBDUO_RUNTIME_SANITIZE={sanitizers}", "-DCMAKE_BUILD_TYPE=RelWithDebInfo"]
    build(tmp_path, *options, targets=tuple(names))
    for name in names:
        # The argument is conv_test's: every twentieth shape.
        assert ", 0 failed" in run(tmp_path, f"tests/cpp/{name}", "20")


@pytest.mark.slow
def test_fuzz(built):
    """More mutated files than `test_everything` has. Clang's libFuzzer searches better: docs/runtime.md."""
    for target, runs in (("flexbuffer", 300_000), ("delegate", 20_000)):
        run(built, f"fuzz/fuzz_{target}", f"-runs={runs}", "-seed=2", str(RUNTIME / "fuzz" / "corpus" / target))
