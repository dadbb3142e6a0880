"""Chooses which training images are evaluated on where a data set has no images for that. Knows labels, not images."""

import hashlib
from collections.abc import Sequence

import numpy as np

__all__ = ["TEST_FRACTION", "held_out"]

TEST_FRACTION = 0.2
"""The fraction of the images of each class that is evaluated on, of data sets that have training images only."""


def held_out(labels: Sequence[int], keys: Sequence[bytes], fraction: float) -> np.ndarray:
    """Chooses a fraction of the images of each class.

    In each class the images are ordered by a hash of their keys, and the first of them are chosen. So the choice is the
    same in every process, whatever the order of the images, and changes little when some images are added.

    Args:
        labels: the class of each image.
        keys: what identifies each image, such as the name of its file.
        fraction: the fraction to choose, from 0 to 1. It is rounded to whole images in each class, to at least one,
            and to less than all of them; of a class with a single image none is chosen.

    Returns:
        bool, (number of images,): True for those that are chosen.
    """
    classes = np.asarray(labels)
    hashes = np.array([hashlib.sha256(key).digest() for key in keys], dtype=object)
    chosen = np.zeros(len(classes), bool)
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        count = min(max(1, round(len(members) * fraction)), len(members) - 1)
        chosen[sorted(members, key=hashes.__getitem__)[:count]] = True
    return chosen
