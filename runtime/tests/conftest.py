"""What the tests share: converted models, what LCE's interpreter makes of them, images fitted as in training; wheels.

All but the last need TensorFlow, LCE or the data package. They are recorded in a folder (beside pytest's cache, or what
BDUO_RUNTIME_RECORDED names), so that they are made once, and so that the same tests run where there is neither, as on a
Raspberry Pi.
"""

import contextlib
import fcntl
import hashlib
import os
import subprocess
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

HERE = Path(__file__).parent
RUNTIME = HERE.parent


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


@pytest.fixture(scope="session")
def trained_fit(recorded: Path) -> Callable[[np.ndarray, tuple[int, int], bool], np.ndarray]:
    """trained_fit(image, size, known): what training makes of an image, whether its size is known beforehand or not."""
    library = RUNTIME.parent / "bduo_tf"
    sources = [path.read_bytes() for path in (library / "fitting.py", library / "data" / "images.py")]

    def run(image: np.ndarray, size: tuple[int, int], known: bool) -> np.ndarray:
        def make(path: Path) -> None:
            import tensorflow as tf

            from bduo_tf.data.images import fit_size

            shape = image.shape if known else (None, None, image.shape[2])
            fit = tf.function(lambda x: fit_size(x, size), input_signature=[tf.TensorSpec(shape, tf.uint8)])
            with path.open("wb") as file:
                np.save(file, fit(image).numpy())

        key = hashlib.sha256(repr((image.tobytes(), image.shape, size, known, sources)).encode()).hexdigest()[:20]
        return np.load(_made_once(recorded / f"{key}.npy", make))

    return run


@pytest.fixture(scope="session")
def release_python(pytestconfig: pytest.Config) -> Path:
    """The Python of a virtual environment that has what release.py needs."""
    folder = pytestconfig.cache.mkdir("release")
    requirements = RUNTIME / "requirements-release.txt"
    environment = folder / f"venv-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:20]}"
    python, ready = environment / "bin" / "python", environment / "ready"
    with _locked(folder):
        if not ready.exists():
            venv.create(environment, with_pip=True, clear=True)
            subprocess.run([python, "-m", "pip", "install", "-q", "-r", requirements], check=True)
            ready.touch()
    return python


@pytest.fixture(scope="session")
def wheel(pytestconfig: pytest.Config, release_python: Path) -> Callable[[str], Path]:
    """wheel(platform of release.py): the path of its wheel, built once for the sources as they are."""
    folder = pytestconfig.cache.mkdir("release")
    files = [f for name in ("src", "bduo_runtime") for f in (RUNTIME / name).rglob("*") if f.suffix != ".pyc"]
    files += [f for f in RUNTIME.iterdir() if not f.name.startswith(".")]
    digest = hashlib.sha256()
    for file in sorted(f for f in files if f.is_file()):
        digest.update(repr((str(file.relative_to(RUNTIME)), file.read_bytes())).encode())

    def build(platform: str) -> Path:
        output = folder / digest.hexdigest()[:20] / platform
        with _locked(folder):
            if not output.exists():
                command = [release_python, RUNTIME / "release.py", "--output", output, "--platform", platform]
                subprocess.run(command, check=True)
        (path,) = output.glob("*.whl")
        return path

    return build


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time: tests run in several."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
