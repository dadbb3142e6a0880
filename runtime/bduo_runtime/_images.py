"""Images of any size to what a model takes: channels, size, scaling, type."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Fit", "fit", "normalize", "quantize", "with_channels"]


@dataclass(frozen=True)
class Fit:
    """How the images that a model was trained on were brought to its size.

    They were resized, and what was too large or too small then was cropped about its centre, or got a black margin.

    Attributes:
        resize: (height, width).
        whole: True: the whole image was resized, its proportions kept, until it just covered `resize`. False: it was
            cropped about its centre to the proportions of `resize`, then resized to just that.

    Raises:
        ValueError: `resize` is not two positive integers, or `whole` no bool.
    """

    resize: tuple[int, int]
    whole: bool

    def __post_init__(self) -> None:
        sides = self.resize
        if not isinstance(sides, tuple) or len(sides) != 2 or not all(type(s) is int and s >= 1 for s in sides):
            raise ValueError("resize must be two positive integers, (height, width)")
        if type(self.whole) is not bool:
            raise ValueError("whole must be true or false")


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """`image` with the channels that the model takes; of one that takes no transparency, over black.

    Args:
        image: uint8, (height, width, 1 to 4): grey; grey, alpha; red, green, blue; red, green, blue, alpha.
        channels: 1, 3 or 4.

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
    """`image` at the model's size, as the images were fitted that it was trained on.

    Resizing is bilinear, with antialiasing where it shrinks. Only what is seen in the end is computed: time and memory
    depend on `image` and `size` alone.

    Args:
        image: uint8, (height, width, channels).
        size: (height, width).
        how: None: as is usual for an image of that size. One a little smaller than `size` (by at most a sixth, such
            as 28 pixels for 32) keeps its pixels and gets a margin; any other is cropped to the proportions, then
            resized.

    Raises:
        ImportError: it has to be resized, and Pillow is not installed.
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
    """Where `inner` begins in the middle of `outer`, both (height, width, ...)."""
    return (outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2


def _centre(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    top, left = _middle(image.shape, size)
    return image[top : top + size[0], left : left + size[1]]


def _resized_centre(image: np.ndarray, resized: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """The centre, of `size`, of `image` resized to `resized`."""
    h, w = image.shape[:2]
    if (h, w) == resized:
        return _centre(image, size)
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("resizing images needs Pillow: pip install 'bduo-runtime[images]'") from None
    top, left = _middle(resized, size)
    # The part of `image` that the centre stands for. Pillow's filter reaches beyond it, as if all had been resized.
    box = (
        left * w / resized[1],
        top * h / resized[0],
        (left + size[1]) * w / resized[1],
        (top + size[0]) * h / resized[0],
    )
    # Channel by channel: Pillow would take a fourth one for alpha, and weight the colours by it.
    channels = [
        Image.fromarray(np.ascontiguousarray(image[..., i])).resize(
            (size[1], size[0]), Image.Resampling.BILINEAR, box=box
        )
        for i in range(image.shape[2])
    ]  # fmt: skip
    return np.stack([np.asarray(channel) for channel in channels], axis=2)


def normalize(pixels: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """(pixel - mean) / std in float32; mean and std of one number, or one a channel."""
    return (pixels.astype(np.float32) - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)


def quantize(values: np.ndarray, dtype: np.dtype, quantization: tuple[float, int]) -> np.ndarray:
    """Floats in a quantized input's type.

    Args:
        values: float32.
        dtype: the input's, an integer type.
        quantization: its scale and zero point.
    """
    scale, zero_point = quantization
    limits = np.iinfo(dtype)
    return np.clip(np.round(values / scale) + zero_point, limits.min, limits.max).astype(dtype)
