"""The one exception that conversion raises, and how other exceptions become it."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from bduo_tf.messages import first_line

__all__ = ["ConversionError", "explained", "required"]


class ConversionError(Exception):
    """Something cannot be converted as asked.

    The message is one line that says what to do. Arguments of `bduo_tf.to_tflite` stand in it between backticks, such
    as `decouple=True`, so that the command can put its own options in their place.
    """


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turns every other exception that is raised inside into a `ConversionError` of one line.

    Args:
        what: the beginning of that line, which says what failed.
    """
    try:
        yield
    except ConversionError:
        raise
    except Exception as error:
        # A ValueError's message is written for the user. That of others often makes sense only beside the class's name.
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise ConversionError(f"{what}: {kind}{first_line(error)}") from error


def required(module: str) -> ModuleType:
    """Imports a module of a package that only conversion needs.

    Raises:
        ConversionError: it cannot be imported; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ConversionError(
            f"Conversion needs {package}, which cannot be imported ({first_line(error)}): pip install bduo-tf[convert]"
        ) from error
