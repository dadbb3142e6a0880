"""What `pip install` gives outside a checkout: the library, both commands, no name that others may have."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("bduo_terminal", "bduo_tf", "convert", "train")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with the wheel installed, without what it depends on, which this environment has."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "wheel", *offline, "--wheel-dir", folder, source], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", *offline, "--target", folder / "site", wheel], check=True)
    return folder / "site"


@pytest.fixture
def run(site: Path, tmp_path: Path) -> Run:
    """Runs a program in an empty folder, with the installed packages on Python's path and the checkout not."""

    def run(*command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(site)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0 or not check, done.stderr
        return done

    return run


def test_names_in_site_packages(site: Path) -> None:
    found = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert found - {"__pycache__"} == {"bduo_tf", "bduo_terminal", "bduo_train", "bduo_convert", "bin"}


def test_every_module_is_installed(site: Path) -> None:
    for name in FOLDERS:
        installed = site / {"train": "bduo_train", "convert": "bduo_convert"}.get(name, name)
        files = {path.relative_to(ROOT / name) for path in (ROOT / name).rglob("*.py")}
        assert {path.relative_to(installed) for path in installed.rglob("*.py")} == files, name


def test_the_library_needs_none_of_the_extras(run: Run) -> None:
    absent = ("tensorflow_datasets", "larq_compute_engine", "ai_edge_litert", "sklearn", "matplotlib", "bduo_runtime")
    code = f"import sys; sys.modules |= dict.fromkeys({absent}); import bduo_tf as b; print(b.__file__, b.decouple)"
    assert "/site/bduo_tf/__init__.py" in run(sys.executable, "-c", code).stdout


@pytest.mark.parametrize("command", ["bduo-train", "bduo-convert"])
def test_help_names_the_installed_command(run: Run, site: Path, command: str) -> None:
    shown = run(site / "bin" / command, "--help").stdout
    assert shown.startswith(f"usage: {command} ")
    assert "python -m" not in shown


@pytest.mark.slow
def test_from_training_to_a_verified_file(run: Run, site: Path, tmp_path: Path) -> None:
    sizes = ["--epochs", "1", "--fine-tune-epochs", "1", "--width", "0.1", "--image-size", "16"]
    done = run(site / "bin/bduo-train", "vgg7", "--dataset", "digits", "--run", "run", *sizes)
    assert "bduo-convert run" in done.stdout
    run(site / "bin/bduo-convert", "run", "--samples", "20")
    assert (tmp_path / "run/model.tflite").exists()
