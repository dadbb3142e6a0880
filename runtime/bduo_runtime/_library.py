"""Where the delegate, a shared library, lies."""

import os
import sys
from pathlib import Path

__all__ = ["delegate_path"]


def delegate_path() -> str:
    """The path of the delegate's shared library, for those who load it into an interpreter themselves.

    ```python
    from ai_edge_litert.interpreter import Interpreter, load_delegate

    delegate = load_delegate(bduo_runtime.delegate_path(), {"num_threads": 2})
    interpreter = Interpreter("model.tflite", experimental_delegates=[delegate])
    ```

    The environment variable BDUO_RUNTIME_LIBRARY names another build of it.

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
    return str(path)
