"""What the tests share: converted models (kept beside pytest's cache from run to run), LCE's interpreter."""

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


@pytest.fixture(scope="session")
def converted(pytestconfig: pytest.Config) -> Callable[..., Path]:
    """converted(form names, seed, shape, **options of the converter): the path of the .tflite file."""
    folder = pytestconfig.cache.mkdir("models")
    source = (HERE / "lce_graphs.py").read_bytes()

    def convert(names: tuple[str, ...], seed: int, shape: tuple[int, int, int], **options: Any) -> Path:
        key = hashlib.sha256(source + repr((names, seed, shape, sorted(options.items()))).encode()).hexdigest()[:20]
        path = folder / f"{key}.tflite"
        if not path.exists():
            import lce_graphs

            forms = [getattr(lce_graphs, name) for name in names]
            data = lce_graphs.convert(lce_graphs.model_of(forms, seed, shape), **options)
            unfinished = path.with_suffix(f".{os.getpid()}")
            unfinished.write_bytes(data)
            unfinished.replace(path)
        return path

    return convert


@pytest.fixture(scope="session")
def lce_outputs() -> Callable[[Path, np.ndarray], list[np.ndarray]]:
    """What LCE's own interpreter computes, by its reference convolution: it alone knows groups and all paddings."""

    def run(path: Path, x: np.ndarray) -> list[np.ndarray]:
        import larq_compute_engine as lce

        outputs = lce.testing.Interpreter(path.read_bytes(), use_reference_bconv=True).predict(x)
        return outputs if isinstance(outputs, list) else [outputs]

    return run
