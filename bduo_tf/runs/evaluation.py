"""What the file evaluation.npz of a run holds: what its final model takes for what, and its worst mistakes."""

import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

__all__ = ["Evaluation"]


@dataclass(frozen=True)
class Evaluation:
    """What the final model of a run does to the images that it is evaluated on.

    Attributes:
        confusion: int (classes, classes); entry (i, j) is how many images of class i the model takes for class j.
        images: the worst mistakes, the most confident first: uint8 (count, height, width, channels).
        labels: their classes, int (count,).
        predictions: the classes that the model takes them for, int (count,).
        probabilities: the model's probabilities of these wrong classes, (count,).
    """

    confusion: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray
    probabilities: np.ndarray

    def save(self, path: Path) -> None:
        """Writes the file."""
        with path.open("wb") as file:
            np.savez_compressed(file, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> "Evaluation":
        """Reads the file.

        Raises:
            OSError, ValueError: it is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(**{field.name: arrays[field.name] for field in fields(cls)})
        except (KeyError, EOFError, zipfile.BadZipFile, zlib.error) as e:
            raise ValueError(f"{path} is damaged: {e}") from e
