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

PROGRAM = """
import sys
import numpy as np
import bduo_runtime
from bduo_runtime import _operators
outputs = bduo_runtime.Interpreter(sys.argv[1], num_threads=2).predict(np.load(sys.argv[2]))
kernels = [step.kernel for step in _operators.steps(sys.argv[1], 1, lambda _: None)]
np.savez(sys.argv[3], *outputs, kernels=kernels)
"""


@pytest.mark.slow  # the first time, its environment is made: 100 MB
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--platform", "amiga", "--output", "x"], "no platform amiga; there are manylinux-x86_64, manylinux-aarch"),
        (["--output", "."], ". exists already"),
    ],
)
def test_refused(release, arguments, message):
    done = release(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"release.py: error: {message}")
    assert len(done.stderr.splitlines()) == 1


def test_needs_its_requirements():
    """Run where ziglang is not installed."""
    script = Path(__file__).parents[1] / "release.py"
    # -S: without the packages of this environment.
    done = subprocess.run([sys.executable, "-S", script, "--output", "x"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "ziglang missing: pip install -r" in done.stderr
    assert len(done.stderr.splitlines()) == 1


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
def test_reproducible(wheel, release, tmp_path):
    path = wheel("manylinux-x86_64")
    done = release("--output", tmp_path / "again", "--platform", "manylinux-x86_64")
    assert done.returncode == 0, done.stderr
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
