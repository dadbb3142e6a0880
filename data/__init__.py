"""Image-classification data sets, ready for training, evaluation and calibration. Knows nothing of networks."""

from data.errors import DataError
from data.fitting import Fit
from data.images import AUGMENTATIONS, SCALING, scale
from data.loading import Dataset, describe, load
from data.pipeline import steps_per_epoch, test_batches, test_steps, train_batches
from data.sharing import Share

__all__ = [
    "AUGMENTATIONS",
    "SCALING",
    "DataError",
    "Dataset",
    "Fit",
    "Share",
    "describe",
    "load",
    "scale",
    "steps_per_epoch",
    "test_batches",
    "test_steps",
    "train_batches",
]
