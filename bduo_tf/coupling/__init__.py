"""A binary network in, the coupled network out from which BinaryDuo trains it at the same cost."""

from bduo_tf.coupling._couple import couple
from bduo_tf.coupling._report import CouplingReport, LayerComparison, coupling_report

__all__ = ["CouplingReport", "LayerComparison", "couple", "coupling_report"]
