"""Makes a model's input of an image of any size: its channels, size, scaling and type."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Fit", "checked", "fit", "normalize", "quantize", "with_channels"]


@dataclass(frozen=True)
class Fit:
    """How the images that a model was trained on were brought to its size.

    They were resized. Then sides longer than the model's input were cropped about their centre, and shorter ones got a
    black margin.

    Attributes:
        resize: (height, width) in pixels.
        whole: True: the whole image kept its proportions and was resized until it just covered `resize`. False: it was
            cropped about its centre to the proportions of `resize`, then resized to exactly that.

    Raises:
        ValueError: `resize` is not two positive integers, or `whole` is no bool.
    """

    resize: tuple[int, int]
    whole: bool

    def __post_init__(self) -> None:
        sides = self.resize
        if not isinstance(sides, tuple) or len(sides) != 2 or not all(type(s) is int and s >= 1 for s in sides):
            raise ValueError("resize must be two positive integers, (height, width)")
        if type(self.whole) is not bool:
            raise ValueError("whole must be true or false")


def checked(image: np.ndarray) -> np.ndarray:
    """Checks that an array holds an image.

    Args:
        image: uint8, (height, width) or (height, width, 1 to 4).

    Returns:
        The image as (height, width, channels).

    Raises:
        ValueError: it is another array.
    """
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 2, 3, 4))):
        raise ValueError(
            f"an image must be uint8 of shape (height, width, 3) or (height, width), or with transparency (height, "
            f"width, 4) or (height, width, 2), not {image.dtype} of shape {image.shape}"
        )
    if image.size == 0:
        raise ValueError(f"an image must have pixels, not the shape {image.shape}")
    return image[..., None] if image.ndim == 2 else image


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Converts an image to the channels that the model takes.

    If the model takes no transparency, the image is laid over black.

    Args:
        image: uint8, (height, width, 1 to 4): grey; grey and alpha; red, green and blue; or these three and alpha.
        channels: the number of channels that the model takes, 1, 3 or 4.

    Returns:
        uint8, (height, width, channels).
    """
    if image.shape[2] == channels:
        return image
    transparent = image.shape[2] in (2, 4)
    colours, alpha = (image[..., :-1], image[..., -1:]) if transparent else (image, np.full_like(image[..., :1], 255))
    if channels == 4:
        return np.concatenate([with_channels(colours, 3), alpha], axis=2)
    if transparent:
        colours = ((colours.astype(np.uint16) * alpha + 127) // 255).astype(np.uint8)
        return with_channels(colours, channels)
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    # The luma of ITU-R BT.601, rounded as Pillow does.
    red, green, blue = np.moveaxis(image.astype(np.uint32), 2, 0)
    return ((19595 * red + 38470 * green + 7471 * blue + (1 << 15)) >> 16).astype(np.uint8)[..., None]


def fit(image: np.ndarray, size: tuple[int, int], how: Fit | None = None) -> np.ndarray:
    """Brings an image to the model's size in the way in which the images were that the model was trained on.

    Resizing is bilinear, with antialiasing where it shrinks. Only the part that is seen in the end is computed, so that
    time and memory depend on `image` and `size` alone, however large `how.resize` may be.

    Args:
        image: uint8, (height, width, channels).
        size: (height, width) of the model's input.
        how: the way to fit it. None stands for the usual one: an image a little smaller than `size` (by at most a
            sixth, such as 28 pixels for 32) keeps its pixels and gets a margin; any other is cropped to the
            proportions of `size`, then resized.

    Returns:
        uint8, (*size, channels).

    Raises:
        ImportError: the image has to be resized, and Pillow is not installed.
    """
    h, w = image.shape[:2]
    if how is None:
        nearly = all(side * 5 / 6 <= given <= side for given, side in zip((h, w), size, strict=True))
        how = Fit((h, w) if nearly else size, whole=False)
    rows, columns = how.resize
    if how.whole:
        ratio = max(rows / h, columns / w)
        resized = (max(1, round(h * ratio)), max(1, round(w * ratio)))
    else:
        image = _centre(image, (max(1, min(h, w * rows // columns)), max(1, min(w, h * columns // rows))))
        resized = how.resize
    seen = _resized_centre(image, resized, (min(resized[0], size[0]), min(resized[1], size[1])))
    top, left = _middle(size, seen.shape)
    return np.pad(
        seen, ((top, size[0] - seen.shape[0] - top), (left, size[1] - seen.shape[1] - left), (0, 0))
    )  # fmt: skip


def _middle(outer: Sequence[int], inner: Sequence[int]) -> tuple[int, int]:
    """The top and left of an area of the size of `inner` in the middle of `outer`; both are (height, width, ...)."""
    return (outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2


def _centre(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The part of that size in the middle of an image."""
    top, left = _middle(image.shape, size)
    return image[top : top + size[0], left : left + size[1]]


def _resized_centre(image: np.ndarray, resized: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """The part of size `size` in the middle of what `image` becomes when it is resized to `resized`."""
    h, w = image.shape[:2]
    if (h, w) == resized:
        return _centre(image, size)
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("resizing images needs Pillow: pip install 'bduo-runtime[images]'") from None
    top, left = _middle(resized, size)
    # The part of `image` that becomes the centre. Pillow's filter also reads what lies around it, so that the pixels
    # are those of the whole image resized.
    box = (
        left * w / resized[1],
        top * h / resized[0],
        (left + size[1]) * w / resized[1],
        (top + size[0]) * h / resized[0],
    )
    # Each channel is resized alone: Pillow would take a fourth channel for alpha and weight the colours by it.
    channels = [
        Image.fromarray(np.ascontiguousarray(image[..., i])).resize(
            (size[1], size[0]), Image.Resampling.BILINEAR, box=box
        )
        for i in range(image.shape[2])
    ]  # fmt: skip
    return np.stack([np.asarray(channel) for channel in channels], axis=2)


def normalize(pixels: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Computes (pixel - mean) / std in float32; mean and std are one number, or one for each channel."""
    return (pixels.astype(np.float32) - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)


def quantize(values: np.ndarray, dtype: np.dtype, quantization: tuple[float, int]) -> np.ndarray:
    """Converts floats to the type of a quantized input.

    Args:
        values: float32.
        dtype: the integer type of the input.
        quantization: the scale and the zero point of the input.
    """
    scale, zero_point = quantization
    limits = np.iinfo(dtype)
    return np.clip(np.round(values / scale) + zero_point, limits.min, limits.max).astype(dtype)
