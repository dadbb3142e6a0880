"""Loads Keras models from files. No code that a file holds is run, whatever its format, unless that was asked for."""

import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py

from bduo_tf import user_code
from bduo_tf.backend import keras
from bduo_tf.conversion.errors import ConversionError
from bduo_tf.messages import first_line

__all__ = ["call_function", "import_modules", "is_saved_model", "load_model"]

_HOW_TO_SAVE = "Save the model by model.save('NAME.keras')"
_METADATA = "keras_metadata.pb"

# The words in which Keras says that a class or a function is not known.
_MISSING = (
    r"Could not locate \w+ '([^']+)'",
    r"Cannot deserialize object of type `([^`]+)`",
    r"Unknown activation function '\{.*'config': '([^']+)'",
    r"Unknown [\w ]+?:? '([^'{]+)'",
)


def import_modules(names: Sequence[str]) -> None:
    """Imports modules that register layers of a model's own; they may lie in the current folder.

    Raises:
        ConversionError: a module cannot be imported; the message names it.
    """
    for name in names:
        try:
            user_code.import_module(name, f"--import {name}")
        except user_code.UserCodeError as error:
            raise ConversionError(str(error)) from error


def call_function(source: str) -> keras.Model | None:
    """Calls a function that makes a model.

    Args:
        source: the function, as package.module:function.

    Returns:
        The model; None if `source` is not of that form.

    Raises:
        ConversionError: there is no such function, it fails, or what it returns is no model.
    """
    if not user_code.names_function(source):
        return None
    try:
        return user_code.call_function(source)
    except user_code.UserCodeError as error:
        raise ConversionError(str(error)) from error


def is_saved_model(folder: Path) -> bool:
    """Whether a folder is a SavedModel, TensorFlow's own format."""
    return (folder / "saved_model.pb").is_file()


def load_model(path: Path, *, unsafe: bool = False) -> keras.Model:
    """Loads the model in a .keras file, an HDF5 file (.h5) or a SavedModel folder, which it tells by their content.

    Args:
        path: the file or folder.
        unsafe: whether Python code that the file holds (Lambda layers) may be run.

    Raises:
        ConversionError: it is none of these, it holds code, or it needs a class or function that is not known.
    """
    if path.is_dir():
        configurations = _saved_model_configurations(path)
    elif zipfile.is_zipfile(path):
        # Keras itself refuses code in files of this format, but knows them by this ending only.
        if path.suffix != ".keras":
            raise ConversionError(f"{path} is not a .keras file by its name. Rename it to {path.stem}.keras.")
        configurations = iter(())
    elif h5py.is_hdf5(path):
        configurations = _hdf5_configurations(path)
    elif path.suffix in (".keras", ".h5", ".hdf5"):
        raise ConversionError(f"{path} cannot be loaded as a Keras model: it is damaged, or of another format.")
    else:
        raise ConversionError(f"{path} is not a .keras file, an HDF5 file or a SavedModel. {_HOW_TO_SAVE}.")
    if not unsafe and any(map(_holds_code, configurations)):
        raise ConversionError(
            f"{path} holds Python code (a Lambda layer), which would be run. Pass --unsafe if you trust who made it."
        )
    try:
        with keras.utils.custom_object_scope(_by_bare_name()):
            model = keras.models.load_model(path, compile=False, safe_mode=not unsafe)
    except Exception as error:
        raise ConversionError(_why_not_loaded(path, error)) from error
    if not isinstance(model, keras.Model):
        raise ConversionError(f"{path} holds no Keras model. {_HOW_TO_SAVE}.")
    return model


def _by_bare_name() -> dict[str, Any]:
    """All registered objects by their names without the package, as HDF5 files name quantizers and the like."""
    return {name.split(">")[-1]: known for name, known in keras.utils.get_custom_objects().items()}


def _hdf5_configurations(path: Path) -> Iterator[Any]:
    try:
        with h5py.File(path, "r") as file:
            configuration = file.attrs.get("model_config")
    except (OSError, RuntimeError) as error:
        raise ConversionError(f"{path} cannot be loaded as a Keras model: {first_line(error)}") from error
    if configuration is None:
        raise ConversionError(f"{path} holds weights, but no model. {_HOW_TO_SAVE}.")
    yield _parsed(path, configuration)


def _saved_model_configurations(folder: Path) -> Iterator[Any]:
    from tf_keras.protobuf import saved_metadata_pb2

    metadata = saved_metadata_pb2.SavedMetadata()
    try:
        metadata.ParseFromString((folder / _METADATA).read_bytes())
    except FileNotFoundError:
        raise ConversionError(
            f"{folder} is a SavedModel without its Keras model ({_METADATA}). {_HOW_TO_SAVE}."
        ) from None
    except Exception as error:
        raise ConversionError(f"{folder} cannot be loaded as a Keras model: {_METADATA} is damaged.") from error
    for node in metadata.nodes:
        yield _parsed(folder, node.metadata)


def _parsed(path: Path, configuration: str | bytes) -> Any:
    try:
        return json.loads(configuration)
    except ValueError as error:
        raise ConversionError(f"{path} cannot be loaded as a Keras model: its configuration is damaged.") from error


def _holds_code(configuration: Any) -> bool:
    """Whether a configuration, nested as JSON is, holds a Lambda layer or the code of a function."""
    if isinstance(configuration, list):
        return any(map(_holds_code, configuration))
    if not isinstance(configuration, dict):
        return False
    names = {str(configuration.get(key)).split(">")[-1] for key in ("class_name", "registered_name")}
    return (
        not names.isdisjoint(("Lambda", "__lambda__"))
        or any(str(configuration.get(key)) == "lambda" for key in ("function_type", "output_shape_type", "mask_type"))
        or any(map(_holds_code, configuration.values()))
    )


def _why_not_loaded(path: Path, error: Exception) -> str:
    if missing := next((found for pattern in _MISSING if (found := re.search(pattern, str(error)))), None):
        if missing[1] == "function":  # Keras writes this word in place of the function's name
            return f"{path} has a function of its own, which HDF5 files cannot hold. {_HOW_TO_SAVE}."
        return (
            f"{path} needs {missing[1]!r}, which is not known: --import the module that registers it "
            "(keras.utils.register_keras_serializable)."
        )
    if "lambda" in str(error).lower() and "safe_mode" in str(error):
        return f"{path} holds Python code (a Lambda layer), which would be run. Pass --unsafe if you trust who made it."
    if (version := _keras_version(path)).startswith("3"):
        return (
            f"{path} was saved by Keras {version}, and Larq builds on Keras 2: build and save the model with "
            "TF_USE_LEGACY_KERAS=1 set."
        )
    return f"{path} cannot be loaded as a Keras model: {first_line(error)}"


def _keras_version(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            return str(json.loads(archive.read("metadata.json"))["keras_version"])
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError):
        return ""
