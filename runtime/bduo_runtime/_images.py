"""Images of any size to what a model takes: channels, size, scaling, type."""

from collections.abc import Sequence

import numpy as np

__all__ = ["fit", "normalize", "quantize", "with_channels"]


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """`image` in colour or in grey, whichever the model takes.

    Args:
        image: uint8, (height, width, 1) or (height, width, 3), the latter red, green, blue.
        channels: 1 or 3.

    Returns:
        uint8, (height, width, channels).
    """
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    # The luma of ITU-R BT.601, rounded as Pillow does.
    red, green, blue = np.moveaxis(image.astype(np.uint32), 2, 0)
    return ((19595 * red + 38470 * green + 7471 * blue + (1 << 15)) >> 16).astype(np.uint8)[..., None]


def fit(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`image` at the model's size, as the images were fitted that it was trained on.

    An image a little smaller than `size` (by at most a sixth, such as 28 pixels for 32) keeps its pixels and
    gets a black margin. Any other is cropped about its centre to the proportions of `size`, then resized
    bilinearly, with antialiasing where that shrinks it.

    Args:
        image: uint8, (height, width, channels).
        size: (height, width).

    Raises:
        ImportError: it has to be resized, and Pillow is not installed.
    """
    height, width = size
    h, w = image.shape[:2]
    if (h, w) == size:
        return image
    if height * 5 / 6 <= h <= height and width * 5 / 6 <= w <= width:
        top, left = (height - h) // 2, (width - w) // 2
        return np.pad(image, ((top, height - h - top), (left, width - w - left), (0, 0)))
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("resizing images needs Pillow: pip install 'bduo-runtime[images]'") from None
    crop_h, crop_w = max(1, min(h, w * height // width)), max(1, min(w, h * width // height))
    top, left = (h - crop_h) // 2, (w - crop_w) // 2
    cropped = image[top : top + crop_h, left : left + crop_w]
    # Pillow has grey images in two dimensions.
    resized = Image.fromarray(cropped.squeeze(2) if image.shape[2] == 1 else cropped).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    return np.asarray(resized).reshape(height, width, -1)


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
