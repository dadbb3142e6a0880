"""Image-classification data sets as batches for training, evaluation and calibration. Knows nothing of networks."""

from bduo_tf.data.errors import DataError
from bduo_tf.data.folder import absolute_name
from bduo_tf.data.images import AUGMENTATIONS, SCALING, scale, unscale
from bduo_tf.data.loading import Dataset, describe, load
from bduo_tf.data.pipeline import steps_per_epoch, test_batches, test_steps, train_batches
from bduo_tf.data.sharing import Share
from bduo_tf.fitting import Fit

__all__ = [
    "AUGMENTATIONS",
    "SCALING",
    "DataError",
    "Dataset",
    "Fit",
    "Share",
    "absolute_name",
    "describe",
    "load",
    "scale",
    "steps_per_epoch",
    "test_batches",
    "test_steps",
    "train_batches",
    "unscale",
]
