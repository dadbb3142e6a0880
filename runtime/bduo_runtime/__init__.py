"""Binary networks in LiteRT: `Interpreter` runs a .tflite file with Larq Compute Engine's operators, fast."""

from bduo_runtime._errors import ModelError
from bduo_runtime._images import Fit
from bduo_runtime._interpreter import Interpreter
from bduo_runtime._library import delegate_path
from bduo_runtime._metadata import Metadata
from bduo_runtime._operators import Step, steps
from bduo_runtime._scores import Prediction
from bduo_runtime._timing import Latency, bench

__all__ = [
    "Fit",
    "Interpreter",
    "Latency",
    "Metadata",
    "ModelError",
    "Prediction",
    "Step",
    "bench",
    "delegate_path",
    "steps",
]
__version__ = "0.1.0"
