"""Picture files: reads those that Pillow knows, and arrays of pixels in NumPy's format."""

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from bduo_runtime._images import checked
from bduo_runtime._messages import UsageError, first_line
from bduo_runtime._source import Image, Images

__all__ = ["pictures", "read_picture"]


def pictures(names: Sequence[str]) -> Images:
    """The pictures in the files of these names."""
    for name in names:
        yield Image(name, {"file": name}, partial(read_picture, name))


def read_picture(name: str) -> np.ndarray:
    """Reads a picture and turns it upright.

    Args:
        name: a file that Pillow can read, or an array as `Interpreter.classify` takes it, in a file that ends in .npy.

    Returns:
        uint8 (height, width, 3), or (height, width, 4) if the picture has transparency. An array may have 1 to 4
        channels.

    Raises:
        UsageError: the file holds no picture.
        OSError: the file cannot be read.
        ImportError: Pillow is needed and not installed.
    """
    return _read_array(name) if Path(name).suffix.lower() == ".npy" else _read_image(name)


def _read_array(name: str) -> np.ndarray:
    with open(name, "rb") as file:
        try:
            return checked(np.lib.format.read_array(file, allow_pickle=False))  # type: ignore[no-untyped-call]
        except Exception as e:  # of any kind for damaged files; a MemoryError if the file lies about its shape
            raise UsageError(f"{name} is not an image in NumPy's format: {first_line(e)}") from None


def _read_image(name: str) -> np.ndarray:
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise ImportError("reading images needs Pillow: pip install 'bduo-runtime[images]'") from None
    with open(name, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(file) as opened:
                if opened.mode[0] in "IF":  # Pillow would cut the values off at 255
                    raise ValueError("more than 8 bits a channel")
                image = ImageOps.exif_transpose(opened)
                transparent = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
                return np.asarray(image.convert("RGBA" if transparent else "RGB"))
        except MemoryError:
            raise
        except Exception as e:  # Pillow's readers raise errors of any kind for damaged files
            raise UsageError(f"{name} is not an image that Pillow can read: {first_line(e)}") from None
