"""What every kind of data set is opened as, before its images are brought to the network's size."""

from collections.abc import Callable
from dataclasses import dataclass

from bduo_tf.backend import tf
from bduo_tf.data.errors import DataError

__all__ = ["Part", "Source", "require_fraction", "require_size"]


@dataclass(frozen=True)
class Part:
    """The images of a data set that are trained on, or those that are evaluated on.

    Attributes:
        described: which images these are, such as "test" or "20 % of train".
        count: the number of images.
        pixels: returns unbatched pairs (uint8 image of its own size, int64 label) in a fixed order.
        files: returns the same images, in the same order, as pairs (string, int64 label); see `Source.read_file`.
    """

    described: str
    count: int
    pixels: Callable[[], tf.data.Dataset]
    files: Callable[[], tf.data.Dataset]


@dataclass(frozen=True)
class Source:
    """An image-classification data set as it was found, its images of the sizes that they have.

    Attributes:
        class_names: the name of the class of each label.
        shape: (height, width, channels) of every image; None for a side that is not the same in all of them.
        train: the images to train on.
        test: the images to evaluate on.
        read_file: makes uint8 pixels (height, width, channels) of a string of `Part.files`; None if the strings are
            the contents of image files.
        remark: what was left out, in one line; empty if nothing was.
    """

    class_names: tuple[str, ...]
    shape: tuple[int | None, int | None, int]
    train: Part
    test: Part
    read_file: Callable[[tf.Tensor], tf.Tensor] | None = None
    remark: str = ""


def require_size(name: str, shape: tuple[int | None, ...], image_size: tuple[int, int] | None) -> tuple[int, int]:
    """The (height, width) to which images are brought: what was asked for, or else their own.

    Raises:
        DataError: the images differ in size, and no size was asked for.
    """
    height, width = image_size or shape[:2]
    if height is None or width is None:
        raise DataError("image_size", f"{name} has images of several sizes: give one (height, width).")
    return height, width


def require_fraction(validation: float) -> None:
    """Raises a DataError if `validation` is no fraction of the training images; see `load`."""
    if not 0 <= validation < 1:
        raise DataError("validation", f"the fraction must be from 0 to below 1, not {validation}.")
