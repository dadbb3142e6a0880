"""The same outputs as LCE's own interpreter, on random graphs of all operators: bits and integers exactly."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bduo_runtime

FORMS = (
    "plain", "scaled", "activated", "chained", "pooled", "bit_pooled", "thresholds", "pooled_thresholds",
    "float_thresholds", "residual", "residual_thresholds", "read_twice", "signs", "grouped", "pooled_once",
)  # fmt: skip
SHAPES = [(7, 9, 5), (8, 8, 16), (12, 7, 33), (9, 9, 32), (10, 11, 3), (8, 13, 40)]
SEEDS = range(len(SHAPES))
LIST = Path(__file__).parents[1] / "src" / "kernels" / "list.inc"
ISAS = re.findall(r'^BDUO_FEATURE\(\w+, "(\w+)"', LIST.read_text(), re.MULTILINE)


def images(shape: tuple[int, ...], batch: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(batch, *shape)).astype(np.float32)


def assert_same(ours: list[np.ndarray], theirs: list[np.ndarray], names: tuple[str, ...]) -> None:
    for y, wanted, name in zip(ours, theirs, names, strict=True):
        assert y.shape == wanted.shape, name
        # One bit wrong somewhere changes a sum by 2 times its scale, far more than this.
        np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max(), err_msg=name)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_graphs(converted, lce_outputs, seed):
    path = converted(FORMS, seed, SHAPES[seed])
    x = images(SHAPES[seed], seed=seed)
    assert_same(bduo_runtime.Interpreter(path).predict(x), lce_outputs(path, x), FORMS)


@pytest.mark.parametrize("seed", SEEDS)
def test_convolutions_are_exact(converted, lce_outputs, seed):
    names = ("plain", "scaled", "activated")
    path = converted(names, seed, SHAPES[seed])
    x = images(SHAPES[seed], seed=seed)
    for y, wanted, name in zip(bduo_runtime.Interpreter(path).predict(x), lce_outputs(path, x), names, strict=True):
        np.testing.assert_array_equal(y, wanted, err_msg=name)


@pytest.mark.parametrize("isa", ISAS)
def test_each_instruction_set(converted, lce_outputs, tmp_path, isa):
    path = converted(FORMS, 1, SHAPES[1])
    x = images(SHAPES[1])
    np.save(tmp_path / "x.npy", x)
    program = (
        "import sys, numpy as np, bduo_runtime\n"
        "ys = bduo_runtime.Interpreter(sys.argv[1]).predict(np.load(sys.argv[2]))\n"
        "np.savez(sys.argv[3], *ys)\n"
    )
    done = run_python(program, path, tmp_path / "x.npy", tmp_path / "y.npz", BDUO_RUNTIME_ISA=isa)
    if f"BDUO_RUNTIME_ISA: this machine or build lacks {isa}; " in done.stderr and isa != "portable":
        pytest.skip(f"this machine or build lacks {isa}")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "y.npz") as ys:
        assert_same([ys[f"arr_{i}"] for i in range(len(FORMS))], lce_outputs(path, x), FORMS)


def run_python(program: str, *args: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *map(str, args)]
    return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)


@pytest.mark.starts_python
@pytest.mark.parametrize("isa", ["nonsense", "AVX2", "avx", "portable "])
def test_an_instruction_set_that_is_none(converted, isa):
    """Never another one silently: neither in Python nor in the command, also of a model that needs no kernel."""
    path = converted(("unquantized",), 0, (8, 8, 16))
    program = "import sys, bduo_runtime\ntry: bduo_runtime.Interpreter(sys.argv[1])\nexcept ValueError as e: print(e)"
    line = f"BDUO_RUNTIME_ISA: there is no instruction set {isa}; it can be portable"
    assert run_python(program, path, BDUO_RUNTIME_ISA=isa).stdout.startswith(line)
    command = (
        "import runpy, sys; sys.argv = ['', 'info', *sys.argv[1:]]; runpy.run_module('bduo_runtime', None, '__main__')"
    )
    done = run_python(command, path, BDUO_RUNTIME_ISA=isa)
    assert done.returncode == 1
    assert done.stderr.startswith(f"python -m bduo_runtime: error: {line}")
    assert done.stderr.count("\n") == 1


@pytest.mark.starts_python
def test_no_instruction_set_named(converted):
    path = converted(("unquantized",), 0, (8, 8, 16))
    program = "import sys, bduo_runtime; bduo_runtime.Interpreter(sys.argv[1])"
    assert run_python(program, path, BDUO_RUNTIME_ISA="").returncode == 0


@pytest.mark.starts_python
def test_the_instruction_sets_of_this_machine(converted):
    """What is skipped above is what the machine lacks: some is there, and not that of another architecture."""
    path = converted(("unquantized",), 0, (8, 8, 16))
    program = "import sys, bduo_runtime; bduo_runtime.Interpreter(sys.argv[1])"
    there = {isa for isa in ISAS if run_python(program, path, BDUO_RUNTIME_ISA=isa).returncode == 0}
    assert "portable" in there
    assert not ({"neon"} <= there and there & {"popcnt", "avx2", "avx512"})


@pytest.mark.parametrize("threads", [2, 3])
def test_threads(converted, threads):
    path = converted(FORMS, 2, SHAPES[2])
    x = images(SHAPES[2])
    one = bduo_runtime.Interpreter(path).predict(x)
    several = bduo_runtime.Interpreter(path, num_threads=threads).predict(x)
    for y, wanted in zip(several, one, strict=True):
        np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(
    "forms", [("scaled", "chained"), ("pooled", "bit_pooled"), ("thresholds", "residual_thresholds"), ("signs",)]
)
@pytest.mark.parametrize("io", ["float32", "int8"])
def test_int8(converted, lce_outputs, forms, io):
    path = converted(forms, 3, (8, 8, 16), experimental_default_int8_range=(-3.0, 3.0), io=io)
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 127, (1, 8, 8, 16), np.int8) if io == "int8" else images((8, 8, 16))
    ours = bduo_runtime.Interpreter(path).predict(x)
    for y, wanted in zip(ours if isinstance(ours, list) else [ours], lce_outputs(path, x), strict=True):
        if io == "int8":
            np.testing.assert_array_equal(y, wanted)
        else:
            np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-6)
