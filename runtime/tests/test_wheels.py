"""Wheels: what release.py refuses and builds; that a wheel installs and runs a model where there is no compiler."""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

import bduo_runtime
from bduo_runtime import _operators

SCRIPT = Path(__file__).parents[1] / "release.py"
PROGRAM = """
import sys
import numpy as np
import bduo_runtime
from bduo_runtime import _operators
outputs = bduo_runtime.Interpreter(sys.argv[1], num_threads=2).predict(np.load(sys.argv[2]))
kernels = [step.kernel for step in _operators.steps(sys.argv[1], 1, lambda _: None)]
np.savez(sys.argv[3], *outputs, kernels=kernels)
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--platform", "amiga", "--output", "x"], "no platform amiga; there are manylinux-x86_64, manylinux-aarch"),
        (["--output", "x"], "build, lief, scikit_build_core, ziglang missing: pip install -r "),
    ],
)
def test_refused(tmp_path, arguments, message):
    # -S: without any packages.
    done = subprocess.run([sys.executable, "-S", SCRIPT, *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"release.py: error: {message}")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


BAD = """
#include <pthread.h>
#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT
#endif
EXPORT int tflite_plugin_create_delegate(pthread_t t) { return pthread_join(t, 0); }
EXPORT int extra = 1;
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("platform", "target", "message"),
    [
        (
            "manylinux-x86_64",
            "x86_64-linux-gnu.2.34",
            "does not export tflite_plugin_destroy_delegate; exports extra; needs glibc 2.34",
        ),
        (
            "manylinux-aarch64",
            "x86_64-linux-musl",
            "is for X86_64; does not export tflite_plugin_destroy_delegate; exports extra; needs libc.so",
        ),
        (
            "macos-arm64",
            "aarch64-macos.11.0",
            "does not export _tflite_plugin_destroy_delegate; exports _extra; needs bad",
        ),
        ("windows-amd64", "x86_64-windows-gnu", "does not export tflite_plugin_destroy_delegate; exports extra"),
    ],
)
def test_bad_library(release_python, tmp_path, platform, target, message):
    """The check names all that is wrong with a library."""
    (tmp_path / "bad.c").write_text(BAD)
    arguments = f"-m ziglang cc -target {target} -shared -fPIC -O2 bad.c -o bad".split()
    subprocess.run([release_python, *arguments], cwd=tmp_path, check=True)
    program = f"""
import release, pathlib, zipfile
platform = release.PLATFORMS[{platform!r}]
wheel = pathlib.Path(f"bad-1-py3-none-{{platform.tag}}.whl")
with zipfile.ZipFile(wheel, "w") as archive:
    archive.write("bad", f"bduo_runtime/{{platform.system.library}}")
try:
    release.check(wheel, platform)
except release.ReleaseError as e:
    print(e)
"""
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parent)}
    command = [release_python, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip().endswith(f" {message}"), done.stdout


@pytest.mark.slow
def test_checksums(wheel):
    folder = wheel("manylinux-x86_64").parent
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    listed = dict(reversed(line.split("  ")) for line in lines)
    built = {f.name for f in folder.iterdir()} - {"SHA256SUMS"}
    assert set(listed) == built
    assert {name.rpartition(".")[2] for name in built} == {"whl", "gz"}
    assert listed == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in built}


@pytest.mark.slow
def test_reproducible(wheel, release_python, tmp_path):
    path = wheel("manylinux-x86_64")
    command = [release_python, SCRIPT, "--output", tmp_path / "again", "--platform", "manylinux-x86_64"]
    subprocess.run(command, check=True)
    assert (tmp_path / "again" / "SHA256SUMS").read_text() == (path.parent / "SHA256SUMS").read_text()


@pytest.mark.slow
def test_runs_without_compiler(wheel, converted, tmp_path):
    model = converted(("thresholds", "pooled_thresholds", "residual_thresholds"), 5, (8, 8, 16))
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 16)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv" / "bin"
    environment = os.environ | {"PATH": str(binaries), "CXX": "no-compiler"}
    environment.pop("BDUO_RUNTIME_LIBRARY", None)

    def python(*arguments: object) -> None:
        subprocess.run([binaries / "python", *map(str, arguments)], check=True, env=environment, cwd=tmp_path)

    python("-m", "pip", "install", "-q", "--only-binary", ":all:", wheel("manylinux-x86_64"))
    python("-c", PROGRAM, model, "x.npy", "y.npz")
    wanted = bduo_runtime.Interpreter(model).predict(x)
    kernels = [step.kernel for step in _operators.steps(str(model), 1, lambda _: None)]
    with np.load(tmp_path / "y.npz") as ys:
        assert ys["kernels"].tolist() == kernels, "zig's library finds other instruction sets than this machine's"
        for i, y in enumerate(wanted):
            np.testing.assert_allclose(ys[f"arr_{i}"], y, rtol=1e-5, atol=1e-5 * np.abs(y).max())
