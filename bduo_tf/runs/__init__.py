"""A training run and the folder that it leaves: its settings, its results and its files. Knows no network.

Training writes such folders, and conversion and the benchmarks read them. All of them do so through this package alone.
"""

from bduo_tf.runs.config import FORMAT, RunConfig
from bduo_tf.runs.errors import RunError
from bduo_tf.runs.evaluation import Evaluation
from bduo_tf.runs.folder import RunFolder
from bduo_tf.runs.metrics import Metrics, ModelMetrics
from bduo_tf.runs.settings import OPTIMIZERS, SCHEDULES, Recipe, Settings

__all__ = [
    "FORMAT",
    "OPTIMIZERS",
    "SCHEDULES",
    "Evaluation",
    "Metrics",
    "ModelMetrics",
    "Recipe",
    "RunConfig",
    "RunError",
    "RunFolder",
    "Settings",
]
