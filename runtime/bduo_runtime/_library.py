"""Finds the delegate, a shared library, and loads it for LiteRT."""

import ctypes
import operator
import os
import sys
from pathlib import Path
from typing import Any

from ai_edge_litert import interpreter as litert

__all__ = ["MOST_THREADS", "OptionError", "delegate_path", "load"]

MOST_THREADS = 256
"""The greatest number of threads, which the delegate checks too; no machine gains from more."""


class OptionError(ValueError):
    """An option or an environment variable asks for something that is not there; the message is one line."""


def delegate_path() -> str:
    """The path of the delegate's shared library, for those who load it into an interpreter themselves.

    ```python
    from ai_edge_litert.interpreter import Interpreter, load_delegate

    delegate = load_delegate(bduo_runtime.delegate_path(), {"num_threads": 2})
    interpreter = Interpreter("model.tflite", experimental_delegates=[delegate])
    ```

    The environment variable BDUO_RUNTIME_LIBRARY may name another build of the library.

    Raises:
        FileNotFoundError: the package was not installed whole, or the variable names no file.
    """
    named = os.environ.get("BDUO_RUNTIME_LIBRARY")
    if named:
        path = Path(named)
    else:
        names = {"darwin": "libbduo_runtime.dylib", "win32": "bduo_runtime.dll"}
        path = Path(__file__).parent / names.get(sys.platform, "libbduo_runtime.so")
    if not path.is_file():
        raise FileNotFoundError(f"the delegate {path} is missing: install the package with `pip install ./runtime`")
    return str(path.absolute())  # a file name alone would be looked for among the system's libraries


class _Delegate(litert.Delegate):
    """LiteRT's delegate, without the message that it prints where Python ends before the interpreter is deleted.

    Then the modules, this one too, may be empty already, so that only builtins are sure to be there. What LiteRT cannot
    free any more, the end of the process frees.
    """

    def __del__(self) -> None:
        try:  # noqa: SIM105
            super().__del__()
        except (AttributeError, TypeError):
            pass


def load(num_threads: int, report: str | None) -> Any:
    """Loads the delegate.

    Args:
        num_threads: the number of threads, 1 to MOST_THREADS.
        report: see `Interpreter`.

    Returns:
        The delegate, for the argument `experimental_delegates` of LiteRT's interpreter.

    Raises:
        OptionError: num_threads is another number, BDUO_RUNTIME_ISA names an instruction set that is not there, or
            BDUO_RUNTIME_LIBRARY something that is not the delegate.
        FileNotFoundError: see `delegate_path`.
    """
    if operator.index(num_threads) < 1:
        raise OptionError(f"num_threads must be at least 1, not {num_threads}")
    if num_threads > MOST_THREADS:
        raise OptionError(f"num_threads must be at most {MOST_THREADS}, not {num_threads}")
    options: dict[str, int | str] = {"num_threads": num_threads}
    if report is not None:
        options["report"] = report
    path = delegate_path()
    try:
        _ = ctypes.CDLL(path).tflite_plugin_create_delegate
    except (OSError, AttributeError) as e:
        raise OptionError(f"{path} is not the delegate: {e}") from None
    try:
        return _Delegate(path, options)
    except ValueError as e:  # the last line of the message comes from the delegate
        raise OptionError(str(e).splitlines()[-1].removeprefix("bduo_runtime: ")) from None
