"""Models from functions of the user's own, named as package.module:function. Imports no module that was not named."""

import importlib
import inspect
import os
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from bduo_tf.backend import keras

__all__ = ["UserCodeError", "call_function", "import_module", "import_module_of", "names_function"]


class UserCodeError(ValueError):
    """A module or a function of the user's own cannot be used; the message is one line that names it."""


def names_function(source: str) -> bool:
    """Whether a string has the form package.module:function."""
    module, colon, function = source.partition(":")
    return bool(colon) and all(part.isidentifier() for part in [*module.split("."), function])


def import_module(name: str, given: str) -> ModuleType:
    """Imports a module, which may lie in the current folder.

    Args:
        name: the module.
        given: what the user gave that names it, for messages.

    Raises:
        UserCodeError: it cannot be imported.
    """
    folder = os.getcwd()
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise UserCodeError(f"{given}: the module cannot be imported: {_described(error)}") from error


def import_module_of(source: str, given: str | None = None) -> ModuleType:
    """Imports the module of a function, package.module:function; `given` and errors are those of `import_module`."""
    return import_module(source.partition(":")[0], given or source)


def call_function(source: str, offered: Mapping[str, Any] | None = None) -> keras.Model:
    """Calls a function that makes a model.

    Args:
        source: the function, for which `names_function` holds.
        offered: arguments by name, of which the function gets those that it declares.

    Raises:
        UserCodeError: there is no such function, it needs other arguments, it fails, or what it returns is no model.
    """
    module = import_module_of(source)
    try:
        function = getattr(module, source.partition(":")[2])
        arguments = _declared(source, function, offered or {})
        model = function(**arguments)
    except UserCodeError:
        raise
    except (Exception, SystemExit) as error:
        raise UserCodeError(f"{source} fails: {_described(error)}") from error
    if not isinstance(model, keras.Model):
        raise UserCodeError(f"{source} returns no Keras model, but {type(model).__name__}.")
    return model


def _declared(source: str, function: Any, offered: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments among those offered that a function declares."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # not callable, which its call says, or a builtin without a signature
        return {}
    if offered and any(p.kind is p.VAR_KEYWORD for p in parameters):
        return dict(offered)
    by_name = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if offered and (other := next((n for n in needed if n not in offered), None)):
        raise UserCodeError(
            f"{source} needs the argument {other!r}. It gets {' and '.join(offered)}, each if it is declared; "
            "others must have defaults."
        )
    return {p.name: offered[p.name] for p in by_name if p.name in offered}


def _described(error: BaseException) -> str:
    """The class of an exception and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
