"""The same outputs in every TFLite that the delegate says it works in, each in a virtual environment of its own."""

import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

import bduo_runtime

HOSTS = {
    "ai-edge-litert==1.4.0": "from ai_edge_litert.interpreter import Interpreter, load_delegate",
    "ai-edge-litert==2.3.0": "from ai_edge_litert.interpreter import Interpreter, load_delegate",
    "tflite-runtime==2.14.0": "from tflite_runtime.interpreter import Interpreter, load_delegate",
    "tensorflow==2.21.0": (
        "from tensorflow import lite\nInterpreter, load_delegate = lite.Interpreter, lite.experimental.load_delegate"
    ),
}
PROGRAM = """
import sys
import numpy as np
interpreter = Interpreter(sys.argv[1], experimental_delegates=[load_delegate(sys.argv[2])])
interpreter.allocate_tensors()
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.load(sys.argv[3]))
interpreter.invoke()
np.savez(sys.argv[4], *[interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()])
"""


def python_with(requirement: str, folder: Path) -> str:
    if requirement.startswith("tensorflow=="):  # what these tests run in, too large to install once more
        return sys.executable
    if requirement.startswith("tflite-runtime") and sys.version_info >= (3, 12):
        pytest.skip("tflite-runtime has no wheel for this Python")
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", requirement, "numpy<2"], check=True)
    return python


@pytest.mark.slow
@pytest.mark.parametrize("requirement", HOSTS)
def test_host(converted, tmp_path, requirement):
    model = converted(("thresholds", "pooled_thresholds", "residual_thresholds"), 5, (8, 8, 16))
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 16)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    python = python_with(requirement, tmp_path / "venv")
    arguments = [str(model), bduo_runtime.delegate_path(), str(tmp_path / "x.npy"), str(tmp_path / "y.npz")]
    subprocess.run([python, "-c", HOSTS[requirement] + PROGRAM, *arguments], check=True)
    wanted = bduo_runtime.Interpreter(model).predict(x)
    with np.load(tmp_path / "y.npz") as ys:
        for i, y in enumerate(wanted):
            np.testing.assert_allclose(ys[f"arr_{i}"], y, rtol=1e-5, atol=1e-5 * np.abs(y).max())
