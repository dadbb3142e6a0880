"""What the tests share: converted models and what LCE's own interpreter makes of them.

Both need TensorFlow and LCE. They are recorded in a folder (beside pytest's cache, or what BDUO_RUNTIME_RECORDED
names), so that they are made once, and so that the same tests run where there is neither, as on a Raspberry Pi.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

HERE = Path(__file__).parent


def _made_once(path: Path, make: Callable[[Path], None]) -> Path:
    """`path`, made under another name and moved into place if it does not exist."""
    if not path.exists():
        unfinished = path.with_name(f"{os.getpid()}-{path.name}")
        make(unfinished)
        unfinished.replace(path)
    return path


@pytest.fixture(scope="session")
def recorded(pytestconfig: pytest.Config) -> Path:
    """The folder of what is made once."""
    named = os.environ.get("BDUO_RUNTIME_RECORDED")
    folder = Path(named) if named else Path(pytestconfig.cache.mkdir("models"))
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def converted(recorded: Path) -> Callable[..., Path]:
    """converted(form names, seed, shape, **options of the converter): the path of the .tflite file."""
    source = (HERE / "lce_graphs.py").read_bytes()

    def convert(names: tuple[str, ...], seed: int, shape: tuple[int, int, int], **options: Any) -> Path:
        key = hashlib.sha256(source + repr((names, seed, shape, sorted(options.items()))).encode()).hexdigest()[:20]

        def make(path: Path) -> None:
            import lce_graphs

            forms = [getattr(lce_graphs, name) for name in names]
            path.write_bytes(lce_graphs.convert(lce_graphs.model_of(forms, seed, shape), **options))

        return _made_once(recorded / f"{key}.tflite", make)

    return convert


@pytest.fixture(scope="session")
def lce_outputs(recorded: Path) -> Callable[[Path, np.ndarray], list[np.ndarray]]:
    """What LCE's own interpreter computes, by its reference convolution: it alone knows groups and all paddings."""

    def run(model: Path, x: np.ndarray) -> list[np.ndarray]:
        def make(path: Path) -> None:
            import larq_compute_engine as lce

            outputs = lce.testing.Interpreter(model.read_bytes(), use_reference_bconv=True).predict(x)
            with path.open("wb") as file:
                np.savez(file, *(outputs if isinstance(outputs, list) else [outputs]))

        key = hashlib.sha256(x.tobytes()).hexdigest()[:10]
        with np.load(_made_once(recorded / f"{model.stem}-{key}.npz", make)) as outputs:
            return [outputs[f"arr_{i}"] for i in range(len(outputs.files))]

    return run
