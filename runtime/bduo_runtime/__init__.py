"""Binary networks in LiteRT: `Interpreter` runs a .tflite file with Larq Compute Engine's operators, fast."""

from bduo_runtime._interpreter import Interpreter, ModelError
from bduo_runtime._library import delegate_path

__all__ = ["Interpreter", "ModelError", "delegate_path"]
__version__ = "0.1.0"
