"""From a trained Keras model to a verified .tflite file for binary kernels. Knows nothing of training.

`to_tflite` does all of it in one call, and the other names are its parts. They need the packages of the extra
`convert` (`pip install bduo-tf[convert]`) when they are called, not when they are imported.
"""

from bduo_tf.conversion.errors import ConversionError
from bduo_tf.conversion.inputs import Inputs, of_arrays, of_dataset, seeded_inputs
from bduo_tf.conversion.inspection import Cost, cost, operators
from bduo_tf.conversion.interpreters import interpreters
from bduo_tf.conversion.keras_to_tflite import Conversion, to_tflite
from bduo_tf.conversion.layer_costs import LayerCost, layer_costs
from bduo_tf.conversion.metadata import Metadata, add_metadata
from bduo_tf.conversion.peers import peer_files
from bduo_tf.conversion.report import Report
from bduo_tf.conversion.tflite import convert_float32, convert_int8, convert_lce
from bduo_tf.conversion.timing import Timing, time_files
from bduo_tf.conversion.verification import Verification, verify, verify_in_each

__all__ = [
    "Conversion",
    "ConversionError",
    "Cost",
    "Inputs",
    "LayerCost",
    "Metadata",
    "Report",
    "Timing",
    "Verification",
    "add_metadata",
    "convert_float32",
    "convert_int8",
    "convert_lce",
    "cost",
    "interpreters",
    "layer_costs",
    "of_arrays",
    "of_dataset",
    "operators",
    "peer_files",
    "seeded_inputs",
    "time_files",
    "to_tflite",
    "verify",
    "verify_in_each",
]
