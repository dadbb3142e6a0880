"""Binary networks in LiteRT: `Interpreter` runs a .tflite file with Larq Compute Engine's operators, fast."""

from bduo_runtime._interpreter import Interpreter, ModelError, Prediction
from bduo_runtime._library import delegate_path
from bduo_runtime._metadata import Metadata

__all__ = ["Interpreter", "Metadata", "ModelError", "Prediction", "delegate_path"]
__version__ = "0.1.0"
