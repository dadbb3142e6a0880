"""What is to be converted: the folder of a training run, a file or folder with a Keras model, or a function."""

import json
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from bduo_tf.backend import keras
from bduo_tf.conversion.errors import ConversionError
from bduo_tf.conversion.loading import call_function, is_saved_model, load_model

__all__ = ["Source", "open_source"]


@dataclass(frozen=True)
class Source:
    """A model and what is known of it.

    Attributes:
        path: the file, or the folder of a SavedModel. A model that a function made has a file of the function's name.
        model: the model.
        config: config.json of the run; empty for a file alone.
        metrics: metrics.json of the run; empty for a file alone.
    """

    path: Path
    model: keras.Model = field(repr=False)
    config: dict[str, Any] = field(repr=False)
    metrics: dict[str, Any] = field(repr=False)


def open_source(path: Path, *, unsafe: bool = False) -> Source:
    """Loads the model to deploy from a run folder, or the one in a file, or the one that a function makes.

    Args:
        path: a run folder, what `load_model` takes, or package.module:function.
        unsafe: whether Python code in the file may be run.

    Raises:
        ConversionError: there is no such file, the run is not finished, or the file is not a Keras model.
    """
    if not path.exists():
        if (model := call_function(str(path))) is not None:
            return Source(Path(f"{str(path).partition(':')[2]}.keras"), model, {}, {})
        raise ConversionError(f"{path} does not exist. Give the folder of a training run, or a .keras file.")
    if not path.is_dir() or is_saved_model(path):
        return Source(path, load_model(path, unsafe=unsafe), {}, {})
    config, metrics = _read_json(path / "config.json"), _read_json(path / "metrics.json")
    if config is None:
        raise ConversionError(f"{path} is not the folder of a training run: it has no config.json.")
    final = (metrics or {}).get("final")
    if final is not None and not (isinstance(final, str) and PurePath(final).name == final):
        raise ConversionError(f"{path / 'metrics.json'} names as final no file of that folder, but {final!r}.")
    if metrics is None or not (path / f"{final}.keras").is_file():
        raise ConversionError(
            f"The run in {path} is not finished. Repeat its training command: it continues where it was."
        )
    file = path / f"{final}.keras"
    return Source(file, load_model(file, unsafe=unsafe), config, metrics)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConversionError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConversionError(f"{path} cannot be read: it holds no JSON object.")
    return content
