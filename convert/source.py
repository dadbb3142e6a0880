"""What is to be converted: a run folder of `python -m train`, or a .keras file."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bduo_tf._keras import keras
from convert.errors import ConversionError

__all__ = ["Source", "open_source"]


@dataclass(frozen=True)
class Source:
    """A model and what is known of it.

    Attributes:
        path: the .keras file.
        model: the model in it.
        config: config.json of the run; empty for a file alone.
        metrics: metrics.json of the run; empty for a file alone.
    """

    path: Path
    model: keras.Model = field(repr=False)
    config: dict[str, Any] = field(repr=False)
    metrics: dict[str, Any] = field(repr=False)


def open_source(path: Path) -> Source:
    """Loads the model to deploy from a run folder, or the one in a .keras file.

    Raises:
        ConversionError: there is no such file, the run is not finished, or the file is not a Keras model.
    """
    if path.is_dir():
        config, metrics = _read_json(path / "config.json"), _read_json(path / "metrics.json")
        if config is None:
            raise ConversionError(f"{path} is not a run folder of `python -m train`: it has no config.json.")
        if metrics is None or not (path / f"{metrics.get('final')}.keras").is_file():
            raise ConversionError(
                f"The run in {path} is not finished. Repeat its training command: it continues where it was."
            )
        file = path / f"{metrics['final']}.keras"
        return Source(file, _load(file), config, metrics)
    if not path.exists():
        raise ConversionError(f"{path} does not exist. Give a run folder of `python -m train`, or a .keras file.")
    return Source(path, _load(path), {}, {})


def _load(file: Path) -> keras.Model:
    if file.suffix != ".keras":
        raise ConversionError(f"{file} is not a .keras file. Save the model by model.save('NAME.keras').")
    try:
        return keras.models.load_model(file, compile=False)
    except Exception as error:
        raise ConversionError(f"{file} cannot be loaded as a Keras model: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConversionError(f"{path} cannot be read: {error}") from error
