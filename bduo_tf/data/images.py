"""Decodes, augments and scales one image. How it is brought to the network's size is in `fitting.py`."""

from collections.abc import Callable

import numpy as np

from bduo_tf.backend import tf
from bduo_tf.fitting import choose_fit, fit_image

__all__ = [
    "AUGMENTATIONS",
    "INPUT_RANGE",
    "SCALING",
    "Augmentation",
    "decode",
    "fit_size",
    "resized_crop_flip",
    "scale",
    "unscale",
]

SCALING = "pixel / 127.5 - 1"
"""The formula of `scale` for a pixel 0..255, for those who feed the network from other programs."""

INPUT_RANGE = (-1.0, 1.0)
"""What a black pixel (0) and a white pixel (255) become by `scale`, which is linear between them."""

Augmentation = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""A function from a uint8 image, (height, width, channels), and a seed, (2,), to a uint8 image of the same shape."""

_MARGIN = 4
_JPEG = "INTEGER_ACCURATE"


def scale(image: tf.Tensor) -> tf.Tensor:
    """Scales uint8 pixels 0..255 to float32 numbers in [-1, 1]."""
    return tf.cast(image, tf.float32) / 127.5 - 1.0


def unscale(image: np.ndarray) -> np.ndarray:
    """The uint8 pixels of which `scale` made an image."""
    return np.rint((image + 1.0) * 127.5).astype(np.uint8)


def fit_size(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Brings a picture to the network's input size in the way that `choose_fit` chooses for its static shape.

    Args:
        image: uint8, (height, width, channels); height and width may be unknown, as those of photographs are.
        size: (height, width) of the network's input.

    Returns:
        uint8, (*size, channels).
    """
    return fit_image(image, choose_fit(tuple(image.shape[:2]), size), size)


def decode(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes an image file.

    JPEG files are decoded by the accurate transform, which gives the same pixels as Pillow, with which devices decode.
    TensorFlow's default is a faster transform, whose pixels are up to 16 grey levels off.

    Args:
        image: the content of the file, a string.
        channels: the number of channels wanted.

    Returns:
        uint8, (height, width, channels).
    """
    return tf.cond(
        tf.io.is_jpeg(image),
        lambda: tf.io.decode_jpeg(image, channels, dct_method=_JPEG),
        lambda: tf.io.decode_image(image, channels, expand_animations=False),
    )


def resized_crop_flip(image: tf.Tensor, seed: tf.Tensor, size: tuple[int, int], channels: int) -> tf.Tensor:
    """Resizes a random part of an image, and mirrors it left to right half of the time: ImageNet's usual augmentation.

    The part has 8 % to 100 % of the area and proportions from 3:4 to 4:3; if ten draws find no such part, the whole
    image is taken. Of a JPEG file only that part is decoded.

    Args:
        image: the content of an image file, a string, or uint8 pixels (height, width, channels).
        seed: (2,); the part and the mirroring depend on it alone.
        size: (height, width) to which the part is resized.
        channels: the number of channels of the image.

    Returns:
        uint8, (*size, channels).

    Reference:
        Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section 6.
    """
    crop_seed, flip_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))

    def window(shape: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
            shape,
            tf.zeros([1, 0, 4]),
            crop_seed,
            min_object_covered=0.0,
            aspect_ratio_range=(3 / 4, 4 / 3),
            area_range=(0.08, 1.0),
            max_attempts=10,
            use_image_if_no_bounding_boxes=True,
        )
        return begin, extent

    def of_pixels(pixels: tf.Tensor) -> tf.Tensor:
        return tf.slice(pixels, *window(tf.shape(pixels)))

    def of_jpeg() -> tf.Tensor:
        begin, extent = window(tf.io.extract_jpeg_shape(image))
        return tf.io.decode_and_crop_jpeg(image, tf.concat([begin[:2], extent[:2]], 0), channels, dct_method=_JPEG)

    if image.dtype == tf.string:
        part = tf.cond(tf.io.is_jpeg(image), of_jpeg, lambda: of_pixels(decode(image, channels)))
    else:
        part = of_pixels(image)
    part = tf.image.resize(part, size, antialias=True)
    return _flip(tf.ensure_shape(tf.saturate_cast(tf.round(part), tf.uint8), (*size, channels)), flip_seed)


def _resized_crop_flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return resized_crop_flip(image, seed, tuple(image.shape[:2]), image.shape[-1])


def _none(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    del seed
    return image


def _crop(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    margins = [[_MARGIN, _MARGIN], [_MARGIN, _MARGIN], [0, 0]]
    return tf.image.stateless_random_crop(tf.pad(image, margins), image.shape, seed)


def _flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return tf.image.stateless_random_flip_left_right(image, seed)


def _crop_flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    crop_seed, flip_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    return _flip(_crop(image, crop_seed), flip_seed)


AUGMENTATIONS: dict[str, Augmentation] = {
    "none": _none,
    "crop": _crop,
    "flip": _flip,
    "crop_flip": _crop_flip,
    "resized_crop_flip": _resized_crop_flip,
}
"""Augmentations by name. "crop" pads 4 dark pixels on each side and crops back at random, "flip" mirrors half of the
images left to right, "crop_flip" does both, as is usual for CIFAR-10. "resized_crop_flip" is usual for ImageNet: see
the function of that name, which is given the files of `Dataset.train_files` instead of fitted images, if there are
any."""
